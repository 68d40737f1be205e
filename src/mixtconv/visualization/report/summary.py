"""The summary of a comparison in sentences, computed from its numbers."""

import math
from collections.abc import Sequence

from mixtconv._names import count_of
from mixtconv.visualization.confusion import top_confusions
from mixtconv.visualization.number_text import joined, percent
from mixtconv.visualization.results import ModelResult, Report

STANDARD_ERRORS = 2
"""A difference below so many standard errors is said to be within the chance of the clips."""


def summary_sentences(report: Report) -> list[str]:
    """Sentences about scores, the lead of the best model, and what is confused with what.

    Missing scores raise nothing: what was not measured is left out.
    """
    if report.several:
        return _of_several(report)
    ranked = sorted(
        (result for result in report.results if math.isfinite(result.top1)),
        key=lambda result: -result.top1,
    )
    if not ranked:
        return []
    sentences = [_scores(ranked, len(report.classes))]
    if len(ranked) > 1:
        sentences.append(_lead(ranked))
    if report.reverse_pairs:
        sentences += _reversals(ranked, report)
    else:
        sentences += _most_confused(ranked[0], report.classes)
    return sentences


def _of_several(report: Report) -> list[str]:
    """The mean average precision of the models, best first."""
    ranked = sorted(
        (each for each in report.results if math.isfinite(each.mean_average_precision)),
        key=lambda result: -result.mean_average_precision,
    )
    if not ranked:
        return []
    clips = count_of(ranked[0].num_clips, "clip")
    scores = joined([f"{each.name} {percent(each.mean_average_precision)}" for each in ranked])
    best = ", best first" if len(ranked) > 1 else ""
    labels = count_of(len(report.classes), "label")
    return [f"Mean average precision of {labels} on {clips}{best}: {scores}."]


def _scores(ranked: Sequence[ModelResult], num_classes: int) -> str:
    clips = f"{count_of(ranked[0].num_clips, 'clip')} of {count_of(num_classes, 'class')}"
    scores = joined([f"{result.name} {percent(result.top1)}" for result in ranked])
    if len(ranked) == 1:
        return f"Of {clips}, top-1 accuracy: {scores}."
    return f"Top-1 accuracy on {clips}, best first: {scores}."


def _lead(ranked: Sequence[ModelResult]) -> str:
    best, second = ranked[:2]
    difference = best.top1 - second.top1
    if difference == 0:
        equal = [result.name for result in ranked if result.top1 == best.top1]
        return f"{joined(equal)} score the same."
    text = f"{best.name} is {difference:.1f} percentage points ahead of {second.name}"
    if difference < STANDARD_ERRORS * _standard_error(best, second):
        return f"{text}, which is within the chance of so few clips."
    return f"{text}, more than the choice of clips explains."


def _standard_error(first: ModelResult, second: ModelResult) -> float:
    """Of the difference of two scores in points, each taken over clips of its own.

    One more clip is counted right and one more wrong, so that a perfect score is not without error.
    """
    variance = 0.0
    for result in (first, second):
        clips = result.num_clips + 2
        right = (result.top1 / 100 * (clips - 2) + 1) / clips
        variance += right * (1 - right) / clips
    return 100 * math.sqrt(variance)


def _reversals(ranked: Sequence[ModelResult], report: Report) -> list[str]:
    """How many errors take a class for its own reverse in time."""
    place = {name: index for index, name in enumerate(report.classes)}
    pairs = [(place[a], place[b]) for a, b in report.reverse_pairs]
    parts = []
    for result in ranked:
        wrong = int(result.confusion.sum() - result.confusion.trace())
        if wrong:
            reversed_ = sum(int(result.confusion[a, b] + result.confusion[b, a]) for a, b in pairs)
            parts.append(f"{reversed_} of {wrong} for {result.name}")
    if not parts:
        return []
    return [f"Errors that take a motion for its own reverse in time: {joined(parts)}."]


def _most_confused(result: ModelResult, classes: Sequence[str]) -> list[str]:
    found = top_confusions(result.confusion, limit=1)
    if not found:
        return []
    true_class, predicted = classes[found[0].true_class], classes[found[0].predicted_class]
    return [
        f"{result.name} errs most on \N{LEFT DOUBLE QUOTATION MARK}{true_class}"
        f"\N{RIGHT DOUBLE QUOTATION MARK}: {percent(100 * found[0].share, decimals=0)} of its "
        f"clips are taken for \N{LEFT DOUBLE QUOTATION MARK}{predicted}"
        "\N{RIGHT DOUBLE QUOTATION MARK}."
    ]
