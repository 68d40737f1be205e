"""The report's maps of features: a picture a model, one legend in the numbers of the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from mixtconv._names import count_of
from mixtconv.visualization.class_marks import mark_svg
from mixtconv.visualization.feature_map import FeatureMap, are_numbered, feature_map
from mixtconv.visualization.inline_svg import inline_svg
from mixtconv.visualization.neighbours import NUM_NEIGHBOURS
from mixtconv.visualization.number_text import percent
from mixtconv.visualization.report_data import Report


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
