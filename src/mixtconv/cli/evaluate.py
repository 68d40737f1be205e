"""`mixtconv evaluate MODEL DATA`."""

import logging
from typing import Literal

from mixtconv.cli.console import Format, print_json, print_table, progress
from mixtconv.data.source import DataSource

logger = logging.getLogger(__name__)


def evaluate(
    model: str,
    data: DataSource,
    *,
    split: Literal["val", "train", "test", "all"] | None = None,
    protocol: str = "1x1",
    batch_size: int = 8,
    workers: int | None = None,
    device: str = "auto",
    precision: Literal["auto", "32", "bf16", "16"] = "auto",
    scores: str | None = None,
    format: Format = "table",
) -> int:
    """Score a trained recogniser on labelled videos.

    A video that cannot be read is named and counts as wrong; the exit status is then 1.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub.
        data: The videos.
        split: Videos to score: val, train, test or all; default val where the data have splits,
            else all.
        protocol: Views of every video: clips x crops, such as 1x1, 2x3, 1x10 or 10x3, or
            nonlocal-10x3.
        batch_size: Views that pass the network together.
        workers: Processes that read videos; default one a core, at most 8.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
        scores: File for the scores of every video, as mixtconv fuse takes them; usually ends in
            .safetensors.
        format: How the result is printed, table or json.
    """
    from mixtconv.evaluation.evaluate import evaluate_model

    with progress("scoring videos") as show:
        result = evaluate_model(
            model,
            data,
            split=split,
            protocol=protocol,
            batch_size=batch_size,
            workers=workers,
            device=device,
            precision=precision,
            scores_path=scores,
            progress=show,
        )
    chosen = f"split {split}" if split else "its val split, or all where it has no splits"
    logger.info("scored %d videos of %s (%s)", result.num_videos, result.data, chosen)
    if scores is not None:
        logger.info("scores of every video: %s", scores)
    for video in result.unreadable:
        logger.warning("counted as wrong, cannot be read: %s (%s)", video.path, video.reason)
    if format == "json":
        print_json(result.to_dict())
    else:
        print_table(
            ["model", "videos", "unreadable", "top-1 %", "top-5 %", "mean class %"],
            [
                [
                    result.model,
                    result.num_videos,
                    len(result.unreadable),
                    result.accuracy.top1,
                    result.accuracy.top5,
                    result.accuracy.mean_class_accuracy,
                ]
            ],
            title=f"protocol {result.protocol_description}",
        )
    return 1 if result.unreadable else 0
