"""`mixtconv predict MODEL VIDEO...`."""

import logging
from typing import Literal

from mixtconv.cli.console import Format, print_json, print_table, progress

logger = logging.getLogger(__name__)


def predict(
    model: str,
    videos: list[str],
    *,
    top_k: int = 5,
    protocol: str = "1x1",
    device: str = "auto",
    precision: Literal["auto", "32", "bf16", "16"] = "auto",
    format: Format = "table",
) -> int:
    """Rank the labels of videos.

    A video that cannot be read is named, and the others are still predicted; the exit status is
    then 1, or 2 if none could be read.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub.
        videos: Files, folders or patterns such as 'clips/*.mp4'.
        top_k: How many labels of each video.
        protocol: Views of every video, clips x crops, such as 1x1, 2x3 or 10x3.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
        format: How the result is printed, table or json.
    """
    from mixtconv.data.find_videos import find_videos
    from mixtconv.inference.recognizer import Recognizer

    recognizer = Recognizer(model, device=device, protocol=protocol, precision=precision)
    sources = find_videos(videos)
    with progress("predicting") as show:
        results = []
        for result in recognizer.predict_many(sources, top_k=top_k):
            results.append(result)
            show(len(results), len(sources))
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
