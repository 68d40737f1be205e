"""A small report, with names that are hard on a page."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixtconv.ops.taps import initial_taps
from mixtconv.visualization import (
    CurvePoint,
    ExampleStrip,
    KernelGroup,
    KernelSite,
    ModelResult,
    Prediction,
    Report,
)

CLASSES = (
    "Moving something from left to right",
    '<b>&"',
    "Moving something from right to left",
    "costs $5 and $6",
)


def _kernels() -> tuple[KernelSite, ...]:
    rng = np.random.default_rng(0)
    initial = tuple(KernelGroup(size, 1, initial_taps(8, size).numpy()) for size in (1, 3, 5, 7))
    learned = tuple(
        replace(group, weights=group.weights + rng.normal(0, 0.1, group.weights.shape))
        for group in initial
    )
    return tuple(KernelSite(f"layer{number}.0.conv1", learned, initial) for number in range(7))


def make_result(**changes: Any) -> ModelResult:
    confusion = np.array([[3, 0, 7, 0], [0, 10, 0, 0], [6, 0, 4, 0], [0, 1, 0, 9]])
    curve = (CurvePoint(1, 1.4, 1.3, 30.0), CurvePoint(2, 1.1, 1.0, 65.0))
    result = ModelResult(
        "tsn_resnet18", "TSN", frames=8, top1=65.0, top5=100.0, params=11_200_000,
        macs=14_500_000_000, seconds=75.0, confusion=confusion, curve=curve,
        protocol="1 clip, centre crop",
    )  # fmt: skip
    return replace(result, **changes)


def make_report(**changes: Any) -> Report:
    better = np.diag([10, 10, 10, 10]) + np.diag([1, 0, 0], k=1)
    frames = np.random.default_rng(1).integers(0, 255, (8, 16, 20, 3), dtype=np.uint8)
    predictions = (
        Prediction("TSN", CLASSES[2], 0.6),
        Prediction("<i>MSTNet</i>", CLASSES[0], 0.9),
    )
    report = Report(
        title="Tests & <trials>",
        classes=CLASSES,
        results=(
            make_result(),
            make_result(
                model="mstnet_resnet18", name="<i>MSTNet</i>", top1=97.5, confusion=better,
                kernels=_kernels(),
            ),
        ),
        intro=("Two models were trained.",),
        settings={"Seed": 0, "Data <of>": "a & b"},
        examples=(ExampleStrip(frames, CLASSES[0], predictions, source="val/<1>.mp4"),),
        version="0.0",
    )  # fmt: skip
    return replace(report, **changes)


@pytest.fixture(scope="session")
def new_result() -> Callable[..., ModelResult]:
    """Makes a model's result, with fields changed at will."""
    return make_result


@pytest.fixture(scope="session")
def new_report() -> Callable[..., Report]:
    """Makes a report of two models on four classes, with fields changed at will."""
    return make_report


def _check_texts(figure: Figure) -> None:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [t.get_window_extent(canvas.get_renderer()) for a in figure.axes for t in a.texts]
    width, height = canvas.get_width_height()
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
    for one, other in itertools.combinations(boxes, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        along = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert across <= 0.5 or along <= 3  # a line's box has room for accents


@pytest.fixture
def check_texts() -> Callable[[Figure], None]:
    """Asserts that no text of a figure is cut off or overlaps another one."""
    return _check_texts
