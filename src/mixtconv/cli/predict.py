"""`mixtconv predict MODEL VIDEO...`."""

import logging
from typing import TYPE_CHECKING, Any

from mixtconv._types import Precision
from mixtconv.cli.console import Format, print_json, print_table, progress
from mixtconv.data.workers import Backend

if TYPE_CHECKING:
    from mixtconv.inference.predicting import VideoRecognizer

logger = logging.getLogger(__name__)


def predict(
    model: str,
    videos: list[str],
    *,
    top_k: int = 5,
    protocol: str = "1x1",
    window: str | None = None,
    stride: str | None = None,
    merge: bool = False,
    out: str | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    engine: Backend = "local",
    workers: int | None = None,
    format: Format = "table",
) -> int:
    """Rank the labels of videos.

    A video that cannot be read is named, and the others are still predicted; the exit status is
    then 1, or 2 if none could be read. With --window every video gets a timeline.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub; or an
            exported model (mixtconv export): .onnx, .xml or .pt2.
        videos: Files, folders or patterns such as 'clips/*.mp4'.
        top_k: How many labels of each video.
        protocol: Views of every video: clips x crops, such as 1x1, 2x3, 1x10 or 10x3, or
            nonlocal-10x3.
        window: Length of the windows of a timeline: seconds such as 4s, or frames such as 32f.
        stride: From the start of a window to that of the next; default the window's length.
        merge: Make one of neighbouring windows with the same label.
        out: File of the timeline of one video, by its suffix: .json, .csv, .srt (subtitles), .mp4
            or .mkv (the video with its labels); several with commas between them.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
        engine: What works on them: local (this process) or ray (see docs/clusters.md).
        workers: Processes of ray; default one a core, or a GPU where it has any.
        format: How the result is printed, table or json.
    """
    if window is not None:
        if engine != "local" or workers is not None:
            raise ValueError("timelines are made in this process; leave --engine and --workers out")
        from mixtconv.inference.loading import load_recognizer

        recognizer = load_recognizer(model, device=device, protocol=protocol, precision=precision)
        return _timelines(recognizer, videos, window, stride, merge, out, top_k, format)
    if stride is not None or merge or out is not None:
        raise ValueError("--stride, --merge and --out belong to a timeline; give --window too")
    from mixtconv.inference.collection import predict_collection

    with progress("predicting") as show:
        results = predict_collection(
            model,
            videos,
            top_k=top_k,
            protocol=protocol,
            device=device,
            precision=precision,
            engine=engine,
            workers=workers,
            progress=show,
        )
    unreadable = [result for result in results if result.error]
    for result in unreadable:
        logger.error("cannot be read: %s", result.error)
    if format == "json":
        print_json([result.to_dict() for result in results])
    else:
        rows = [
            [result.source if rank == 0 else "", prediction.label, f"{prediction.score:.3f}"]
            for result in results
            for rank, prediction in enumerate(result.predictions)
        ]
        print_table(["source", "label", "score"], rows)
    if len(unreadable) == len(results):
        return 2
    return 1 if unreadable else 0


def _timelines(
    recognizer: "VideoRecognizer",
    videos: list[str],
    window: str,
    stride: str | None,
    merge: bool,
    out: str | None,
    top_k: int,
    format: Format,
) -> int:
    """Labels along videos instead of one ranking each."""
    from mixtconv.inference.timeline import predict_windows
    from mixtconv.inference.timeline_files import Timeline, check_outputs, write_timeline
    from mixtconv.video.find import find_videos
    from mixtconv.video.pictures import UnreadableVideoError
    from mixtconv.video.windows import WindowPlan

    plan = WindowPlan.parse(window, stride)
    sources = find_videos(videos)
    outputs = check_outputs(out, sources)
    results: list[dict[str, Any]] = []
    rows: list[list[object]] = []
    unreadable = 0
    for source in sources:
        try:
            predicted = tuple(predict_windows(recognizer, source, plan, top_k=top_k))
        except UnreadableVideoError as error:
            unreadable += 1
            logger.error("cannot be read: %s", error)
            results.append({"source": str(source), "windows": [], "error": str(error)})
            continue
        timeline = Timeline(str(source), predicted, merge=merge)
        for path in outputs:
            write_timeline(timeline, path)
        results.append(timeline.to_dict())
        rows += [
            [str(source), f"{item.start:.2f}", f"{item.end:.2f}", item.label, f"{item.score:.3f}"]
            for item in timeline.segments
        ]
    if format == "json":
        print_json(results)
    else:
        print_table(["source", "from", "to", "label", "score"], rows)
    if unreadable == len(sources):
        return 2
    return 1 if unreadable else 0
