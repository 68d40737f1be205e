"""The scores of a model file on videos, made as `mixtconv evaluate` makes them."""

from pathlib import Path

from mixtconv.data.source import DataSource
from mixtconv.evaluation.evaluate import Evaluation, Progress, evaluate_model
from mixtconv.evaluation.reading import Reading


def score_model(
    model: str | Path,
    data: str | Path | DataSource,
    reading: Reading,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a model on the videos that `reading` names."""
    return evaluate_model(
        model,
        data,
        split=reading.split,
        protocol=reading.protocol,
        batch_size=reading.batch_size,
        workers=reading.workers,
        device=reading.device,
        precision=reading.precision,
        progress=progress,
    )
