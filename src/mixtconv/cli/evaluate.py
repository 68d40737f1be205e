"""`mixtconv evaluate MODEL DATA`."""

import math
from dataclasses import astuple
from typing import TYPE_CHECKING

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress
from mixtconv.data.class_sizes import size_notes
from mixtconv.data.listing import DataSource
from mixtconv.evaluation.settings import EvaluationSettings

if TYPE_CHECKING:
    from mixtconv.evaluation.evaluate import Evaluation


def evaluate(
    model: str,
    data: DataSource,
    reading: EvaluationSettings,
    *,
    scores: str | None = None,
) -> Result:
    """Score a trained recognizer on labelled videos.

    An unreadable video is reported and counts as wrong; the exit status is then 1.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub.
        data: The videos.
        reading: Which of them, and how they are read.
        scores: File for the scores of every video, as mixtconv fuse takes them; usually ends in
            .safetensors.
    """
    from mixtconv.evaluation.evaluate import evaluate_model

    with progress("scoring videos") as show:
        result = evaluate_model(model, data, settings=reading, scores_path=scores, progress=show)
    split = reading.split
    chosen = f"split {split}" if split else "its val split, or all where it has no splits"
    notes = [f"scored {result.num_videos} videos of {result.data} ({chosen})"]
    if (apart := result.background) is not None:
        notes.append(
            f"background: {apart.recall:.2f} % of its clips recognised, {apart.missed:.2f} % of "
            f"the others taken for it; top-1 of the others among themselves "
            f"{apart.top1_without:.2f} %"
        )
    notes += size_notes(result.class_sizes)
    if scores is not None:
        notes.append(f"scores of every video: {scores}")
    notes += [f"counted as wrong, cannot be read: {video}" for video in result.unreadable]
    several = result.several
    columns = ["top-1 %", "top-5 %", "mean class %"]
    if several is not None:
        columns = ["mAP %", "micro AP %", "macro F1 %", "micro F1 %"]
    table = Table(
        ["model", "videos", "unreadable", *columns],
        [[result.model, result.num_videos, len(result.unreadable),
          *astuple(several or result.accuracy)]],
        title=f"protocol {result.protocol_description}",
    )  # fmt: skip
    tables = [table] if several is None else [_labels(result), table]
    return Result(result.to_dict(), tables, notes, status=1 if result.unreadable else 0)


def _labels(result: "Evaluation") -> Table:
    """The scores of each of several labels."""
    from mixtconv.evaluation.class_scores import LabelScore, class_scores

    rows: list[list[object]] = [
        [
            each.name,
            each.num_videos,
            *(math.nan if value is None else value for value in (each.average_precision, each.f1)),
            f"{each.threshold:.3f}",
        ]
        for each in class_scores(result.scores)
        if isinstance(each, LabelScore)
    ]
    return Table(["label", "videos", "AP %", "F1 %", "threshold"], rows)
