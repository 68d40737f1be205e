"""`mixtconv predict MODEL VIDEO...`."""

import logging
from typing import Literal

from mixtconv.cli.console import Format, print_json, print_table, progress
from mixtconv.data.engine import Engine

logger = logging.getLogger(__name__)


def predict(
    model: str,
    videos: list[str],
    *,
    top_k: int = 5,
    protocol: str = "1x1",
    device: str = "auto",
    precision: Literal["auto", "32", "bf16", "16"] = "auto",
    engine: Engine = "local",
    workers: int | None = None,
    format: Format = "table",
) -> int:
    """Rank the labels of videos.

    A video that cannot be read is named, and the others are still predicted; the exit status is
    then 1, or 2 if none could be read.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub.
        videos: Files, folders or patterns such as 'clips/*.mp4'.
        top_k: How many labels of each video.
        protocol: Views of every video: clips x crops, such as 1x1, 2x3, 1x10 or 10x3, or
            nonlocal-10x3.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
        engine: What works on them: local (this process) or ray (see docs/clusters.md).
        workers: Processes of ray; default one a core, or a GPU where it has any.
        format: How the result is printed, table or json.
    """
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
