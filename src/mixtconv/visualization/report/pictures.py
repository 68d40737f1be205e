"""The charts of the report as safe markup, each with its alternative text.

Classes have the number of their place in `order` on the whole page.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from mixtconv._names import count_of
from mixtconv.visualization.confusion import (
    AxisLabels,
    confusion_matrix,
    names_fit,
    top_confusions,
)
from mixtconv.visualization.curves import Panel, learning_curves
from mixtconv.visualization.feature_map import FeatureMap, are_numbered, feature_map
from mixtconv.visualization.inline_svg import inline_svg
from mixtconv.visualization.kernels import temporal_kernels, time_shares
from mixtconv.visualization.number_text import number, percent
from mixtconv.visualization.results import KernelGroup, KernelSite, ModelResult, Report

_CURVES: dict[Panel, tuple[str, str, str, int]] = {
    "loss": ("Loss", "val_loss", "validation loss", 2),
    "top1": ("Validation top-1", "top1", "top-1 in percent", 1),
    "map": (
        "Mean average precision in validation",
        "mean_average_precision",
        "mean average precision in percent",
        1,
    ),
}
"""Panel -> its title; the field of its points, what that is, and how many decimals it has."""


def curve_pictures(results: Sequence[ModelResult]) -> list[Markup]:
    """Loss and top-1 (of several labels mAP) by epoch; nothing where no model has a curve."""
    if not any(result.curve for result in results):
        return []
    return [
        inline_svg(
            learning_curves(results, panels=[panel]),
            id_prefix=f"curves-{panel}",
            title=f"{name}, epoch by epoch",
            description=_describe_curves(results, field, what, decimals),
        )
        for panel, (name, field, what, decimals) in _CURVES.items()
        if panel in ("loss", "top1" if results[0].labels is None else "map")
    ]


def _describe_curves(results: Sequence[ModelResult], field: str, what: str, decimals: int) -> str:
    parts = []
    for result in results:
        if result.curve:
            first, last = (
                number(getattr(result.curve[place], field), decimals=decimals) for place in (0, -1)
            )
            epochs = f"epoch {result.curve[0].epoch} to {result.curve[-1].epoch}"
            parts.append(f"{result.name}: {what} from {first} to {last}, {epochs}.")
    return " ".join(parts)


def confusion_pictures(report: Report, order: Sequence[int], index: int) -> dict[str, Markup]:
    """The confusion matrix of the model at an index, by the kind of screen that it is for."""
    result = report.results[index]
    by_screen: dict[Literal["narrow", "wide", ""], AxisLabels] = (
        {"narrow": "numbers", "wide": "names"} if names_fit(report.classes) else {"": "numbers"}
    )
    return {
        screen: inline_svg(
            confusion_matrix(
                result.confusion, report.classes, order=order, labels=labels, totals=result.totals
            ),
            id_prefix=f"confusion-{index}{screen and '-' + screen}",
            title=f"{matrix_name(report)} of {result.name}",
            description=_describe_confusion(result, report.classes),
        )
        for screen, labels in by_screen.items()
    }


def matrix_name(report: Report) -> str:
    """What the matrix of true and given classes is called."""
    return "Co-occurrence matrix" if report.several else "Confusion matrix"


def _describe_confusion(result: ModelResult, classes: Sequence[str]) -> str:
    counts = result.confusion
    if result.labels is not None:
        true = int(result.totals.sum())
        return (
            f"{int(counts.trace())} of {true} labels are on the diagonal: they hold and were given."
        )
    right, clips = int(counts.trace()), int(counts.sum())
    text = f"{right} of {clips} clips are on the diagonal: the predicted class is the true one."
    found = top_confusions(counts, limit=1)
    if not found:
        return f"{text} No class is taken for another."
    worst = found[0]
    return (
        f"{text} The largest share off it: {percent(100 * worst.share, decimals=0)} of "
        f"{classes[worst.true_class]} taken for {classes[worst.predicted_class]}."
    )


def kernel_pictures(report: Report, index: int) -> list[Markup]:
    """The temporal kernels of the model at an index, a picture a place."""
    result = report.results[index]
    return [
        inline_svg(
            temporal_kernels(site),
            id_prefix=f"kernels-{index}-{place}",
            title=f"Temporal kernels of {result.name} at {site.module}",
            description=_describe_kernels(site),
        )
        for place, site in enumerate(result.kernels)
    ]


def size_in_words(group: KernelGroup) -> str:
    """The size of a group's kernels, and over which frames they reach."""
    dilated = f", every {group.dilation}. frame" if group.dilation > 1 else ""
    return f"{group.kernel_size}{dilated}"


def _describe_kernels(site: KernelSite) -> str:
    parts = [f"size {size_in_words(group)}: {_shares(group)}" for group in site.groups]
    if site.initial:
        parts = [
            f"{part}, at the start {_shares(initial)}"
            for part, initial in zip(parts, site.initial, strict=True)
        ]
    return (
        "Share of the absolute weight before / at / after the present frame, by kernel size. "
        + "; ".join(parts)
        + "."
    )


def _shares(group: KernelGroup) -> str:
    return " / ".join(percent(100 * share, decimals=0) for share in time_shares(group))


def map_pictures(report: Report, places: NDArray[np.int64]) -> list[Markup]:
    """The maps of the features, a picture a model.

    Args:
        report: what is shown.
        places: (N,) of the classes of the clips.
    """
    return [
        inline_svg(
            feature_map(item.points, places, numbered=are_numbered(report.classes)),
            id_prefix=f"map-{index}",
            title=f"Map of the features of {item.name}",
            description=_describe_map(item),
        )
        for index, item in enumerate(report.maps.maps if report.maps else ())
    ]


def _describe_map(item: FeatureMap) -> str:
    clips = f"{count_of(len(item.points), 'clip')} on a plane."
    if not math.isfinite(item.accuracy):
        return clips
    return f"{clips} Of {percent(item.accuracy)} the nearest are mostly of their own class."
