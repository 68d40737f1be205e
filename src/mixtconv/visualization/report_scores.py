"""The report's tables of scores, from plain data to text."""

from collections.abc import Sequence
from dataclasses import dataclass

from mixtconv.visualization.number_text import (
    NOT_MEASURED,
    duration,
    in_common_unit,
    joined,
    number,
)
from mixtconv.visualization.report_data import ModelResult


@dataclass(frozen=True)
class Score:
    text: str
    is_best: bool


@dataclass(frozen=True)
class ScoreRow:
    name: str
    model: str
    frames: int
    params: str
    macs: str
    top1: Score
    top5: Score
    time: str


@dataclass(frozen=True)
class ScoreTable:
    rows: list[ScoreRow]
    params_unit: str
    macs_unit: str


@dataclass(frozen=True)
class ProtocolRow:
    name: str
    description: str
    top1: Score
    top5: Score
    mean_class: Score


def score_table(results: Sequence[ModelResult]) -> ScoreTable:
    """The table of scores, each column in one unit."""
    params_unit, params = in_common_unit([result.params for result in results])
    macs_unit, macs = in_common_unit([result.macs for result in results])
    columns = zip(
        results,
        params,
        macs,
        _mark_best([result.top1 for result in results]),
        _mark_best([result.top5 for result in results]),
        strict=True,
    )
    rows = [
        ScoreRow(r.name, r.model, r.frames, p, m, top1, top5, duration(r.seconds))
        for r, p, m, top1, top5 in columns
    ]
    return ScoreTable(rows, params_unit, macs_unit)


def protocol_rows(results: Sequence[ModelResult]) -> list[ProtocolRow]:
    """The scores by protocol: all results by the first one, then by the next; the best of each."""
    rows = []
    for scores in zip(*(result.protocol_scores for result in results), strict=True):
        top1, top5, mean_class = (
            _mark_best([getattr(score, name) for score in scores])
            for name in ("top1", "top5", "mean_class_accuracy")
        )
        rows += [
            ProtocolRow(result.name, score.description, *marked)
            for result, score, *marked in zip(results, scores, top1, top5, mean_class, strict=True)
        ]
    return rows


def protocols(results: Sequence[ModelResult]) -> list[str]:
    """What is to be said about how scores were measured: each way with its models."""
    by_text: dict[str, list[str]] = {}
    for result in results:
        if result.protocol:
            by_text.setdefault(result.protocol, []).append(result.name)
    if len(by_text) == 1 and len(next(iter(by_text.values()))) == len(results):
        return list(by_text)
    return [f"{joined(names)}: {text}" for text, names in by_text.items()]


def _mark_best(values: Sequence[float]) -> list[Score]:
    """Scores as text; the best is marked where it is better than another."""
    texts = [number(value, decimals=1) for value in values]
    measured = [float(text) for text in texts if text != NOT_MEASURED]
    differ = len(set(measured)) > 1
    return [
        Score(text, differ and text != NOT_MEASURED and float(text) == max(measured))
        for text in texts
    ]
