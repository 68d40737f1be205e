"""`mixtconv predict MODEL VIDEO...`."""

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mixtconv._types import Precision
from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress
from mixtconv.data.workers import Backend
from mixtconv.detection.settings import EventSwitch, refuse_views

if TYPE_CHECKING:
    from mixtconv.inference.predicting import Prediction, VideoPrediction, VideoRecognizer
    from mixtconv.video.windows import WindowPlan

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TimelineSettings(EventSwitch):
    """Along each video, instead of one ranking: sliding windows, or events."""

    merge: bool = False
    """Merge neighbouring windows with the same label."""
    out: str | None = None
    """File of the labels, by its suffix: .csv, .parquet, .json or .jsonl, a row or line a video; or
    of the timeline or the events of a video: .json, .csv, .srt (subtitles),
    .mp4 or .mkv (the video with its labels); several with commas between them. Events also go into
    a page, .html, with the video and the scores over time; those of several videos into one page,
    one .json or one .csv, a list of segments that other commands read."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.events:
            if self.merge:
                raise ValueError("--merge belongs to a timeline, and --events finds events")
        elif self.window is None and (self.stride is not None or self.merge):
            raise ValueError(
                "--stride and --merge belong to a timeline or to events; give --window or --events "
                "too"
            )

    @property
    def shared(self) -> tuple[str, ...]:
        return "window", "stride"


def predict(
    model: str,
    videos: list[str],
    timeline: TimelineSettings,
    *,
    top_k: int = 5,
    protocol: str = "1x1",
    device: str = "auto",
    precision: Precision = "auto",
    engine: Backend = "local",
    workers: int | None = None,
) -> Result:
    """Rank the labels of videos.

    An unreadable video is reported and the others are still predicted; the exit status is then 1,
    or 2 if none could be read. With --window every video gets a timeline; with --events it gets the
    stretches in which something happens.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub; or an
            exported model (mixtconv export), known by its suffix.
        videos: Files, folders, patterns such as 'clips/*.mp4', or addresses (https://...) of files.
        timeline: Windows or events, and where they are written.
        top_k: Number of labels of each video; a model of several labels gives all that hold.
        protocol: Views of every video: clips x crops, such as 1x1, 2x3, 1x10 or 10x3, or
            nonlocal-10x3.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
        engine: What predicts: local (threads of this process) or ray (see docs/clusters.md).
        workers: Videos at a time; default one a core, 16 at most; of ray one a core, or a GPU where
            it has any.
    """
    if (timeline.window is not None or timeline.events) and (
        engine != "local" or workers is not None
    ):
        raise ValueError(
            "timelines and events are made in this process; leave --engine and --workers out"
        )
    if timeline.window is not None or timeline.events:
        _refuse_addresses(videos)
    if timeline.events:  # whose scores may be those of windows
        refuse_views(protocol)
        return _events(model, videos, timeline, device=device, precision=precision)
    if timeline.window is not None:
        from mixtconv.inference.loading import load_recognizer
        from mixtconv.video.windows import WindowPlan

        plan = WindowPlan.parse(timeline.window, timeline.stride)
        recognizer = load_recognizer(model, device=device, protocol=protocol, precision=precision)
        return _timelines(recognizer, videos, plan, timeline, top_k=top_k)
    from mixtconv.inference.collection import predict_collection
    from mixtconv.inference.prediction_tables import check_tables, write_predictions

    outputs = [] if timeline.out is None else check_tables(timeline.out)
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
    for path in outputs:
        write_predictions(results, path)
    rows = [
        [result.source if rank == 0 else "", prediction.label, _score(prediction)]
        for result in results
        for rank, prediction in enumerate(result.predictions or _nothing(result))
    ]
    table = Table(["source", "label", "score"], rows)
    content = [result.to_dict() for result in results]
    notes = [f"cannot be read: {result.error}" for result in results if result.error]
    return Result(content, [table], notes, _status(content))


def _refuse_addresses(videos: list[str]) -> None:
    from mixtconv.video.in_memory import is_address

    if addresses := [video for video in videos if is_address(video)]:
        raise ValueError(
            f"{addresses[0]}: timelines and events are of files; download it first, or give it to "
            "mixtconv stream"
        )


def _score(prediction: "Prediction") -> str:
    return "" if math.isnan(prediction.score) else f"{prediction.score:.3f}"


def _nothing(result: "VideoPrediction") -> list["Prediction"]:
    """What the table shows for a video in which no label holds, or that is rejected."""
    from mixtconv.inference.predicting import Prediction

    if result.error:
        return []
    if (best := result.rejected) is not None:
        return [Prediction(f"(none of the classes; best {best.label} {best.score:.3f})", math.nan)]
    return [Prediction("(no label)", math.nan)]


def _timelines(
    recognizer: "VideoRecognizer",
    videos: list[str],
    plan: "WindowPlan",
    settings: TimelineSettings,
    *,
    top_k: int,
) -> Result:
    from mixtconv.inference.timeline import predict_windows
    from mixtconv.inference.timeline_files import Timeline, check_outputs, write_timeline
    from mixtconv.video.find import find_videos
    from mixtconv.video.pictures import UnreadableVideoError

    sources = find_videos(videos)
    outputs = check_outputs(settings.out, sources)
    results: list[dict[str, Any]] = []
    rows: list[list[object]] = []
    for source in sources:
        try:
            predicted = tuple(predict_windows(recognizer, source, plan, top_k=top_k))
        except UnreadableVideoError as error:
            logger.warning("cannot be read: %s", error)  # at once: later videos may take hours
            results.append({"source": str(source), "windows": [], "error": str(error)})
            continue
        timeline = Timeline(str(source), predicted, merge=settings.merge)
        for path in outputs:
            write_timeline(timeline, path)
        results.append(timeline.to_dict())
        rows += [
            [str(source), f"{item.start:.2f}", f"{item.end:.2f}", item.label, f"{item.score:.3f}"]
            for item in timeline.segments
        ]
    table = Table(["source", "from", "to", "label", "score"], rows)
    return Result(results, [table], status=_status(results))


def _events(
    model: str, videos: list[str], settings: TimelineSettings, *, device: str, precision: Precision
) -> Result:
    from mixtconv._atomic_write import refuse_unwritable
    from mixtconv.detection.files import OF_MANY, PAGE, RecordingEvents, write_events
    from mixtconv.detection.predict import predict_events
    from mixtconv.detection.scorers import load_scorer, refuse_pictures
    from mixtconv.events.curves import ScoreCurves
    from mixtconv.events.event import in_order
    from mixtconv.inference.timeline_files import check_outputs
    from mixtconv.video.find import find_videos
    from mixtconv.video.pictures import UnreadableVideoError

    sources = find_videos(videos)
    outputs = check_outputs(settings.out, sources, of_many=OF_MANY)
    refuse_pictures(*sources)
    for path in outputs:
        refuse_unwritable(path)
    scorer = load_scorer(model, settings.times, device=device, precision=precision)
    chosen = settings.applied(scorer.stored.settings)
    with_scores = any(path.suffix.lower() == PAGE for path in outputs)
    results: list[RecordingEvents] = []
    for source in sources:
        curves = ScoreCurves(scorer.classes) if with_scores else None
        try:
            events = in_order(predict_events(scorer, source, chosen, curves=curves))
        except UnreadableVideoError as error:
            logger.warning("cannot be read: %s", error)  # at once: later videos may take hours
            results.append(RecordingEvents(str(source), error=str(error)))
            continue
        results.append(RecordingEvents(str(source), tuple(events), curves=curves))
    for path in outputs:
        write_events(results, path, settings=chosen)
    rows = [
        [one.source, f"{each.start:.2f}", f"{each.end:.2f}", each.label, f"{each.score:.3f}"]
        for one in results
        for each in one.events
    ]
    content = [one.to_dict() for one in results]
    notes = [f"no event in {one.source}" for one in results if not one.events and not one.error]
    table = Table(["source", "from", "to", "label", "score"], rows)
    return Result(content, [table], notes, _status(content))


def _status(results: list[dict[str, Any]]) -> int:
    """The exit status: 1 if some videos cannot be read, 2 if none can."""
    num_faulty = sum("error" in result for result in results)
    return 2 if num_faulty == len(results) else min(num_faulty, 1)
