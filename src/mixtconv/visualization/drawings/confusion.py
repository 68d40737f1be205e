"""The confusion matrix of a model on videos, or of scores in a file."""

from pathlib import Path

import numpy as np

from mixtconv._types import Progress
from mixtconv.data.listing import DataSource
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.scores_file import SavedScores, load_scores
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.video.pictures import Unreadable
from mixtconv.visualization.confusion import (
    confusion_matrix,
    confusion_order,
    confusion_spots,
    names_fit,
    top_confusions,
)
from mixtconv.visualization.drawing import Drawing
from mixtconv.visualization.style import add_legend_below

MAX_LISTED = 20
_OF_SEVERAL = (
    "A row holds the clips with a true label, a column those that were given a label; a clip with "
    "several is in several fields. Colour is the share of the clips of the row."
)

LEGEND_WIDTH = 1240
"""Of pictures whose classes are listed below, for three columns of long names."""


def draw_confusion(
    source: str | Path,
    data: str | Path | DataSource | None = None,
    *,
    reading: EvaluationSettings | None = None,
    progress: Progress | None = None,
) -> Drawing:
    """Draw which class is taken for which, with confused classes side by side.

    Args:
        source: a model file, or without `data` a file of scores (`mixtconv evaluate --scores`).
        data: labelled videos, for a model.
        reading: which videos, and how they are read.
        progress: called with the videos done and all of them.

    Raises:
        ValueError: a model, scores or data that cannot be used, or no video could be read.
    """
    if data is None:
        scores = load_scores(source)
    else:
        scores = evaluate_model(source, data, settings=reading, progress=progress).scores
    return drawing_of_scores(scores, title=f"Confusions of {source}")


def drawing_of_scores(scores: SavedScores, *, title: str) -> Drawing:
    """Draw the confusion matrix of scores that are there already."""
    counts = scores.confusion().numpy()
    if not scores.readable.any():
        raise ValueError("none of the videos could be read, so there are no confusions to draw")
    order = confusion_order(counts)
    totals = scores.labels[scores.readable].sum(dim=0).numpy() if scores.several else None
    figure = confusion_matrix(counts, scores.classes, order=order, totals=totals)
    place = {index: number for number, index in enumerate(order, start=1)}
    if not names_fit(scores.classes):  # the matrix shows their places alone
        names = [f"{place[index]} {scores.classes[index]}" for index in order]
        add_legend_below(figure, names, min_width=LEGEND_WIDTH)
    found = top_confusions(counts, totals, limit=MAX_LISTED)
    right = int(counts.trace())
    clips = int(counts.sum() if totals is None else scores.readable.sum())
    if totals is None:
        notes = [f"{right} of {clips} clips are on the diagonal"]
        if not found:
            notes.append("no class is taken for another")
    else:
        notes = [f"{right} of {int(totals.sum())} labels are on the diagonal, of {clips} clips"]
    num_empty = int(((counts.sum(axis=1) if totals is None else totals) == 0).sum())
    if num_empty:
        notes.append(f"{num_empty} classes have no clips")
    listed = [
        {
            "true_class": scores.classes[item.true_class],
            "predicted_class": scores.classes[item.predicted_class],
            "count": item.count,
            "share": item.share,
        }
        for item in found
    ]
    return Drawing(
        title=title,
        description=_OF_SEVERAL
        if scores.several
        else (
            "A row holds the clips of a true class, a column those that were given one class; "
            "colour is the share of the row. Confused classes are side by side."
        ),
        figure=figure,
        numbers={
            "num_clips": clips,
            "num_right": right,
            "order": [scores.classes[index] for index in order],
            "matrix": counts[np.ix_(order, order)].tolist(),
            "top_confusions": listed,
        },
        columns=("true class", "given" if scores.several else "taken for", "clips", "share %"),
        rows=tuple(
            (
                f"{place[item.true_class]} {scores.classes[item.true_class]}",
                f"{place[item.predicted_class]} {scores.classes[item.predicted_class]}",
                item.count,
                100 * item.share,
            )
            for item in found
        ),
        notes=tuple(notes),
        spots=confusion_spots(figure, counts, scores.classes, order, totals),
        unreadable=tuple(
            Unreadable(Path(key), reason) for key, reason in scores.unreadable.items()
        ),
    )
