"""Tables of the report as text: scores, settings, and the legend of the maps of features.

Settings that differ between the models come first; those that no model was given are not listed, as
their default follows from the model.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from mixtconv._names import count_of
from mixtconv.visualization.embedding import NUM_NEIGHBOURS
from mixtconv.visualization.feature_map import FeatureMap, are_numbered, feature_map, mark_svg
from mixtconv.visualization.inline_svg import inline_svg
from mixtconv.visualization.number_text import (
    NOT_MEASURED,
    duration,
    in_common_unit,
    joined,
    number,
    percent,
)
from mixtconv.visualization.results import ModelResult, Report


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
    """The protocols by which scores were measured, each with its models."""
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


@dataclass(frozen=True)
class SettingRow:
    name: str
    values: list[str]


@dataclass(frozen=True)
class SettingsView:
    names: list[str]
    """Of the models whose settings are known."""
    different: list[SettingRow]
    common: list[SettingRow]
    """With one value each."""


def settings_section(report: Report) -> SettingsView:
    """Split settings into different and common ones; models without any are left out."""
    known = [result for result in report.results if result.settings]
    rows = [SettingRow(name, _values(known, name)) for name in _all_names(known)]
    different = [row for row in rows if len(set(row.values)) > 1]
    common = [SettingRow(row.name, row.values[:1]) for row in rows if len(set(row.values)) == 1]
    shared = [SettingRow(name, [_text(value)]) for name, value in report.settings.items()]
    return SettingsView([result.name for result in known], different, shared + common)


def _all_names(results: Sequence[ModelResult]) -> list[str]:
    """Names of settings with a value in at least one model, in the order of the models."""
    with_value = {
        name for result in results for name, value in result.settings.items() if value is not None
    }
    names = dict.fromkeys(name for result in results for name in result.settings)
    return [name for name in names if name in with_value]


def _values(results: Sequence[ModelResult], name: str) -> list[str]:
    return [_of(result.settings, name) for result in results]


def _of(settings: Mapping[str, object], name: str) -> str:
    return _text(settings[name]) if name in settings else NOT_MEASURED


def _text(value: object) -> str:
    """A setting as a user types it.

    >>> _text(True), _text(None), _text([1.0, 0.875])
    ('true', 'by default', '[1.0, 0.875]')
    """
    if value is None:
        return "by default"
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class MapView:
    name: str
    picture: Markup
    accuracy: str
    map_accuracy: str


@dataclass(frozen=True)
class LegendEntry:
    mark: Markup
    number: str
    """Empty where classes have no numbers on the maps."""
    name: str


@dataclass(frozen=True)
class MapsView:
    num_clips: int
    num_neighbours: int
    maps: list[MapView]
    legend: list[LegendEntry]
    notes: tuple[str, ...]


def maps_section(report: Report, order: Sequence[int]) -> MapsView | None:
    """Pictures of the maps; classes have the numbers that they have on the whole page.

    Args:
        report: what is shown.
        order: the classes in the order of their numbers.
    """
    if report.maps is None:
        return None
    places = np.empty(len(order), dtype=np.int64)
    places[list(order)] = np.arange(len(order))
    labels = places[report.maps.labels]
    numbered = are_numbered(report.classes)
    maps = [
        MapView(
            item.name,
            inline_svg(
                feature_map(item.points, labels, numbered=numbered),
                id_prefix=f"map-{index}",
                title=f"Map of the features of {item.name}",
                description=_description(item, len(labels)),
            ),
            percent(item.accuracy),
            percent(item.map_accuracy),
        )
        for index, item in enumerate(report.maps.maps)
    ]
    legend = [
        LegendEntry(
            mark_svg(place), str(place + 1) if numbered else "", report.classes[order[place]]
        )
        for place in np.unique(labels).tolist()
    ]
    return MapsView(len(labels), NUM_NEIGHBOURS, maps, legend if maps else [], report.maps.notes)


def _description(item: FeatureMap, num_clips: int) -> str:
    clips = f"{count_of(num_clips, 'clip')} on a plane."
    if not math.isfinite(item.accuracy):
        return clips
    return f"{clips} Of {percent(item.accuracy)} the nearest are mostly of their own class."
