"""The scores of every class of an evaluation, with what they may be by chance."""

from dataclasses import dataclass

from mixtconv.data.class_sizes import wilson_interval
from mixtconv.evaluation.multi_label import class_average_precisions, class_f1
from mixtconv.evaluation.scores_file import SavedScores


@dataclass(frozen=True)
class ClassScore:
    """How much of a class was recognised, and how sure that is."""

    name: str
    """Its name."""
    num_videos: int
    """Its videos; without any there is no score."""
    accuracy: float | None
    """Of them, those recognised, in percent."""
    interval: tuple[float, float] | None
    """What that may be by chance, in percent: Wilson's interval, of 95 %."""


@dataclass(frozen=True)
class LabelScore:
    """How well one of several labels was recognised."""

    name: str
    """Its name."""
    num_videos: int
    """Videos that have it; without any there is no score."""
    average_precision: float | None
    """In percent."""
    f1: float | None
    """At the threshold, in percent."""
    threshold: float
    """The score from which it holds."""


def class_scores(scores: SavedScores) -> tuple[ClassScore | LabelScore, ...]:
    """The scores of each class, in their order."""
    return _label_scores(scores) if scores.several else _class_scores(scores)


def class_sizes(scores: SavedScores) -> dict[str, int]:
    """Videos of each class."""
    return dict(zip(scores.classes, _numbers(scores), strict=True))


def _numbers(scores: SavedScores) -> list[int]:
    if scores.several:
        return [int(number) for number in scores.labels.sum(dim=0)]
    return [int(number) for number in scores.labels.bincount(minlength=len(scores.classes))]


def _class_scores(scores: SavedScores) -> tuple[ClassScore, ...]:
    accuracies = scores.class_accuracies().tolist()
    found = []
    for name, number, accuracy in zip(scores.classes, _numbers(scores), accuracies, strict=True):
        if not number:
            found.append(ClassScore(name, 0, None, None))
            continue
        low, high = wilson_interval(accuracy / 100, number)
        found.append(ClassScore(name, number, accuracy, (100 * low, 100 * high)))
    return tuple(found)


def _label_scores(scores: SavedScores) -> tuple[LabelScore, ...]:
    probabilities, labels, thresholds = scores.of_several()
    numbers = _numbers(scores)
    precisions = class_average_precisions(probabilities, labels, scores.readable).tolist()
    values = class_f1(probabilities, labels, thresholds, scores.readable).tolist()
    return tuple(
        LabelScore(
            name, number, precision if number else None, value if number else None, threshold
        )
        for name, number, precision, value, threshold in zip(
            scores.classes, numbers, precisions, values, thresholds, strict=True
        )
    )
