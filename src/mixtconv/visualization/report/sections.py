"""The sections of the report, from plain data to what the page writes out.

Pictures come as safe markup with alternative text, numbers as text.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from mixtconv.visualization.confusion import (
    Confusion,
    confusion_matrix,
    names_fit,
    row_shares,
    top_confusions,
)
from mixtconv.visualization.curves import learning_curves
from mixtconv.visualization.frame_sheet import frame_uris
from mixtconv.visualization.inline_svg import inline_svg
from mixtconv.visualization.kernels import TimeShares, temporal_kernels, time_shares
from mixtconv.visualization.number_text import NOT_MEASURED, number, percent
from mixtconv.visualization.results import KernelSite, ModelResult, Report

FRAMES_IN_A_ROW = 8
OPEN_KERNEL_SITES = 6
"""Places whose kernels are shown at once; those between them can be unfolded."""


# learning curves


@dataclass(frozen=True)
class CurveRow:
    name: str
    epoch: int
    train_loss: str
    val_loss: str
    top1: str


def curves(results: Sequence[ModelResult]) -> list[Markup]:
    """Pictures of the learning curves; none where no model has one."""
    if not any(result.curve for result in results):
        return []
    loss = inline_svg(
        learning_curves(results, panels=["loss"]),
        id_prefix="curves-loss",
        title="Loss, epoch by epoch",
        description=_describe_curves(results, "val_loss", "validation loss", decimals=2),
    )
    top1 = inline_svg(
        learning_curves(results, panels=["top1"]),
        id_prefix="curves-top1",
        title="Validation top-1, epoch by epoch",
        description=_describe_curves(results, "top1", "top-1 in percent", decimals=1),
    )
    return [loss, top1]


def _describe_curves(
    results: Sequence[ModelResult], field: str, what: str, *, decimals: int
) -> str:
    parts = []
    for result in results:
        if result.curve:
            first, last = (
                number(getattr(result.curve[place], field), decimals=decimals) for place in (0, -1)
            )
            epochs = f"epoch {result.curve[0].epoch} to {result.curve[-1].epoch}"
            parts.append(f"{result.name}: {what} from {first} to {last}, {epochs}.")
    return " ".join(parts)


def curve_rows(results: Sequence[ModelResult]) -> list[CurveRow]:
    """The learning curves as numbers."""
    return [
        CurveRow(
            result.name,
            point.epoch,
            number(point.train_loss, decimals=3),
            number(point.val_loss, decimals=3),
            number(point.top1, decimals=1),
        )
        for result in results
        for point in result.curve
    ]


# confusions


@dataclass(frozen=True)
class ClassRow:
    number: int
    name: str
    clips: int
    right: list[str]


@dataclass(frozen=True)
class ConfusionRow:
    true_class: str
    predicted_class: str
    share: str
    count: int
    clips: int


@dataclass(frozen=True)
class ConfusionView:
    name: str
    pictures: list[tuple[str, Markup]]
    """For which screens, and the picture."""
    top: list[ConfusionRow]


def class_rows(report: Report, order: Sequence[int]) -> list[ClassRow]:
    """The legend of the numbers, with every model's share of right answers."""
    shares = [row_shares(result.confusion).diagonal() for result in report.results]
    clips = [result.confusion.sum(axis=1) for result in report.results]
    return [
        ClassRow(
            place,
            report.classes[index],
            int(clips[0][index]),
            [
                percent(100 * share[index] if count[index] else math.nan, decimals=0)
                for share, count in zip(shares, clips, strict=True)
            ],
        )
        for place, index in enumerate(order, start=1)
    ]


def confusion_section(report: Report, order: Sequence[int], index: int) -> ConfusionView:
    """Pictures of one model's confusions, and the largest of them in words."""
    result = report.results[index]
    place = {index: number for number, index in enumerate(order, start=1)}
    found = top_confusions(result.confusion)
    by_screen = {"narrow": "numbers", "wide": "names"} if names_fit(report.classes) else {"": ""}
    pictures = [
        (
            screen,
            inline_svg(
                confusion_matrix(
                    result.confusion,
                    report.classes,
                    order=order,
                    labels="names" if labels == "names" else "numbers",
                ),
                id_prefix=f"confusion-{index}{screen and '-' + screen}",
                title=f"Confusion matrix of {result.name}",
                description=_describe_confusion(result.confusion, found, report.classes),
            ),
        )
        for screen, labels in by_screen.items()
    ]
    top = [
        ConfusionRow(
            f"{place[item.true_class]} {report.classes[item.true_class]}",
            f"{place[item.predicted_class]} {report.classes[item.predicted_class]}",
            percent(100 * item.share, decimals=0),
            item.count,
            int(result.confusion[item.true_class].sum()),
        )
        for item in found
    ]
    return ConfusionView(result.name, pictures, top)


def _describe_confusion(
    counts: NDArray[np.int64], found: Sequence[Confusion], classes: Sequence[str]
) -> str:
    right, clips = int(counts.trace()), int(counts.sum())
    text = f"{right} of {clips} clips are on the diagonal: the predicted class is the true one."
    if not found:
        return f"{text} No class is taken for another."
    worst = found[0]
    return (
        f"{text} The largest share off it: {percent(100 * worst.share, decimals=0)} of "
        f"{classes[worst.true_class]} taken for {classes[worst.predicted_class]}."
    )


# examples


@dataclass(frozen=True)
class Guess:
    model: str
    label: str
    score: str
    is_right: bool


@dataclass(frozen=True)
class ExampleView:
    true_label: str
    source: str
    frames: list[str]
    in_a_row: int
    guesses: list[Guess]


def example_section(report: Report) -> list[ExampleView]:
    """The examples, with their frames as pictures."""
    return [
        ExampleView(
            example.true_label,
            example.source,
            frame_uris(example.frames),
            min(len(example.frames), FRAMES_IN_A_ROW),
            [
                Guess(
                    guess.model,
                    guess.label,
                    percent(100 * guess.score, decimals=0),
                    guess.label == example.true_label,
                )
                for guess in example.predictions
            ],
        )
        for example in report.examples
    ]


# kernels


@dataclass(frozen=True)
class SiteView:
    module: str
    picture: Markup
    is_open: bool


@dataclass(frozen=True)
class KernelRow:
    module: str
    kernel: str
    channels: int
    initial: list[str]
    learned: list[str]


@dataclass(frozen=True)
class ModelKernels:
    name: str
    sites: list[SiteView]
    rows: list[KernelRow]
    has_initial: bool


def kernel_section(index: int, result: ModelResult) -> ModelKernels:
    """Pictures of one model's kernels at every place, and their sums as numbers."""
    count = len(result.kernels)
    spread = np.linspace(0, count - 1, min(count, OPEN_KERNEL_SITES)).round()
    shown = set(spread.astype(int).tolist())
    sites = [
        SiteView(
            site.module,
            inline_svg(
                temporal_kernels(site),
                id_prefix=f"kernels-{index}-{number}",
                title=f"Temporal kernels of {result.name} at {site.module}",
                description=_describe_kernels(site),
            ),
            number in shown,
        )
        for number, site in enumerate(result.kernels)
    ]
    rows = [row for site in result.kernels for row in _kernel_rows(site)]
    has_initial = any(site.initial for site in result.kernels)
    return ModelKernels(result.name, sites, rows, has_initial)


def _kernel_rows(site: KernelSite) -> list[KernelRow]:
    rows = []
    for place, group in enumerate(site.groups):
        dilated = f", every {group.dilation}. frame" if group.dilation > 1 else ""
        rows.append(
            KernelRow(
                site.module,
                f"{group.kernel_size}{dilated}",
                len(group.weights),
                _shares(time_shares(site.initial[place])) if site.initial else 3 * [NOT_MEASURED],
                _shares(time_shares(group)),
            )
        )
    return rows


def _shares(shares: TimeShares) -> list[str]:
    values = (shares.before, shares.present, shares.after)
    return [percent(100 * value, decimals=0) for value in values]


def _describe_kernels(site: KernelSite) -> str:
    parts = []
    for row in _kernel_rows(site):
        start = f", at the start {' / '.join(row.initial)}" if site.initial else ""
        parts.append(f"size {row.kernel}: {' / '.join(row.learned)}{start}")
    return (
        "Share of the absolute weight before / at / after the present frame, by kernel size. "
        + "; ".join(parts)
        + "."
    )
