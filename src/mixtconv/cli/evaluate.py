"""`mixtconv evaluate MODEL DATA`."""

import logging

from mixtconv.cli.console import Format, print_json, print_table, progress
from mixtconv.data.listing import DataSource
from mixtconv.evaluation.settings import EvaluationSettings

logger = logging.getLogger(__name__)


def evaluate(
    model: str,
    data: DataSource,
    reading: EvaluationSettings,
    *,
    scores: str | None = None,
    format: Format = "table",
) -> int:
    """Score a trained recognizer on labelled videos.

    An unreadable video is reported and counts as wrong; the exit status is then 1.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub.
        data: The videos.
        reading: Which of them, and how they are read.
        scores: File for the scores of every video, as mixtconv fuse takes them; usually ends in
            .safetensors.
        format: How the result is printed, table or json.
    """
    from mixtconv.evaluation.evaluate import evaluate_model

    with progress("scoring videos") as show:
        result = evaluate_model(model, data, settings=reading, scores_path=scores, progress=show)
    split = reading.split
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
