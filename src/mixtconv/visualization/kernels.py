"""Temporal kernels of a model: as plain data, and drawn beside those that training started from."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from mixtconv.models import VideoClassifier
from mixtconv.ops import MixTConv
from mixtconv.visualization.results import KernelGroup, KernelSite
from mixtconv.visualization.style import (
    LINE,
    MUTED,
    axes_at,
    chart_style,
    heat_colors,
    new_figure,
)

WIDTH = 360
LEFT, RIGHT, TOP, BOTTOM = 26, 12, 34, 66
GAP, ROW_GAP, ROW_HEIGHT = 14, 12, 104
MIN_TAP, MAX_TAP = 17, 40
MIN_TAPS_WIDE = 2.4
"""Smallest width of a group in taps, so that its title fits."""
MAX_COLUMNS = 4
TITLE_HEIGHT = 26
"""Of a sheet of all places."""


class TimeShares(NamedTuple):
    """Absolute weight of a group of kernels before, at and after the present frame, sum 1."""

    before: float
    present: float
    after: float


def time_shares(group: KernelGroup) -> TimeShares:
    """Sum the absolute weights of all channels before, at and after the present frame.

    >>> time_shares(KernelGroup(3, 1, np.array([[1.0, 2.0, -1.0]])))
    TimeShares(before=0.25, present=0.5, after=0.25)
    """
    weight = np.abs(np.nan_to_num(group.weights)).sum(axis=0)
    sides = np.sign(group.offsets)
    whole = float(weight.sum()) or 1.0
    return TimeShares(*(float(weight[sides == side].sum()) / whole for side in (-1, 0, 1)))


def channel_order(group: KernelGroup) -> NDArray[np.intp]:
    """Channels from those that look back to those that look ahead: (C, K) -> (C,).

    A channel's place is the mean offset of its taps, each counted with its absolute weight.
    """
    weight = np.abs(np.nan_to_num(group.weights))
    mean_offset = weight @ np.array(group.offsets) / np.maximum(weight.sum(axis=1), 1e-12)
    return np.argsort(mean_offset, kind="stable")


def temporal_kernels(site: KernelSite) -> Figure:
    """Draw the kernels of one place: a column a group, a row a channel, a field a tap.

    The initial kernels, where known, are drawn above the learned ones, with the same order of
    channels.

    >>> site = KernelSite("layer1", (KernelGroup(3, 1, np.eye(3)),))
    >>> len(temporal_kernels(site).axes)
    2
    """
    with chart_style():
        figure = new_figure(*site_size(site))
        draw_site(figure, site)
        return figure


def site_size(site: KernelSite) -> tuple[float, float]:
    """Width and height in pixels of the picture of one place."""
    widths, tap = _group_widths(site)
    width = max(WIDTH, LEFT + RIGHT + GAP * (len(widths) - 1) + tap * sum(widths))
    num_rows = 2 if site.initial else 1
    return width, TOP + num_rows * (ROW_HEIGHT + ROW_GAP) - ROW_GAP + BOTTOM


def draw_site(figure: Figure, site: KernelSite, *, left: float = 0, top: float = 0) -> None:
    """Draw one place into a figure; `left` and `top` are pixels from its upper left corner."""
    rows = [("at the start", site.initial)] if site.initial else []
    rows.append(("learned", site.groups))
    orders = [channel_order(group) for group in site.groups]
    limit = _color_limit(site)
    widths, tap = _group_widths(site)
    for row, (title, groups) in enumerate(rows):
        y, x = top + TOP + row * (ROW_HEIGHT + ROW_GAP), left + LEFT
        for index, (group, order) in enumerate(zip(groups, orders, strict=True)):
            axes = _axes(figure, x, y, tap * group.kernel_size, ROW_HEIGHT)
            axes.imshow(heat_colors(group.weights[order] / limit))
            for between in range(group.kernel_size - 1):
                axes.axvline(between + 0.5, color=LINE, linewidth=0.5)
            if index == 0:
                place, middle = -0.5 - 9 / tap, float(np.mean(axes.get_ylim()))
                axes.text(place, middle, title, ha="center", rotation=90, rotation_mode="anchor")
            if row == 0:
                _title_group(axes, group, len(order))
            if row == len(rows) - 1:
                _label_taps(axes, group, len(order))
            x += tap * widths[index] + GAP
    _draw_scale(figure, limit, left + LEFT, top + site_size(site)[1] - 34)


def _group_widths(site: KernelSite) -> tuple[list[float], float]:
    """How many taps wide each group is drawn, and how many pixels a tap."""
    widths = [max(group.kernel_size, MIN_TAPS_WIDE) for group in site.groups]
    free = WIDTH - LEFT - RIGHT - GAP * (len(widths) - 1)
    return widths, min(MAX_TAP, max(MIN_TAP, free / sum(widths)))


def _color_limit(site: KernelSite) -> float:
    """Weight with the full colour, one for the whole place; the largest 0.2 % may exceed it."""
    values = np.concatenate([np.abs(group.weights).ravel() for group in site.groups + site.initial])
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, 0.998)) or 1.0 if finite.size else 1.0


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Any:
    axes = axes_at(figure, left, top, width, height, frame=MUTED)
    axes.spines[:].set_linewidth(0.6)
    return axes


def _title_group(axes: Any, group: KernelGroup, channels: int) -> None:
    dilated = f"\N{MULTIPLICATION SIGN}{group.dilation}" if group.dilation > 1 else ""
    above = -0.5 - 8 * channels / ROW_HEIGHT
    axes.text(-0.5, above, f"size {group.kernel_size}{dilated}")


def _label_taps(axes: Any, group: KernelGroup, channels: int) -> None:
    offsets = group.offsets
    below = channels - 0.5 + 15 * channels / ROW_HEIGHT
    for tap in sorted({0, offsets.index(0), len(offsets) - 1}):
        axes.text(tap, below, tap_name(offsets[tap]), ha="center", size=11, color=MUTED)


def tap_name(offset: int) -> str:
    """The frame at an offset, as in t−3, t, t+1."""
    return f"t{offset:+d}".replace("-", "\N{MINUS SIGN}") if offset else "t"


def _draw_scale(figure: Figure, limit: float, left: float, top: float) -> None:
    """The legend of the colours, below the kernels."""
    axes = _axes(figure, left, top, 120, 9)
    axes.imshow(heat_colors(np.linspace(-1, 1, 121)[None]))
    texts = (f"\N{MINUS SIGN}{limit:.2g}", "0", f"+{limit:.2g}")
    for place, text in zip((0, 60, 120), texts, strict=True):
        axes.text(place, 0.5 + 13 / 9, text, ha="center", size=11, color=MUTED)
    axes.text(136, 0.4, "weight of the frame", size=11, color=MUTED)


def learned_kernels(model: VideoClassifier) -> tuple[KernelSite, ...]:
    """The temporal kernels of a model's mixed convolutions, beside those they started from."""
    return tuple(
        KernelSite(
            # `attn.qkv.temporal.key` is the operation on the keys of `attn.qkv`
            f"{name}.".removeprefix("backbone.").replace(".temporal.", ".").removesuffix("."),
            _groups(layer, list(layer.weights)),
            _groups(layer, layer.initial_weights()),
        )
        for name, layer in model.named_modules()
        if isinstance(layer, MixTConv)
    )


def _groups(layer: MixTConv, weights: Sequence[Tensor]) -> tuple[KernelGroup, ...]:
    return tuple(
        KernelGroup(size, dilation, weight.detach().cpu().numpy(), layer.causal)
        for size, dilation, weight in zip(layer.kernel_sizes, layer.dilations, weights, strict=True)
    )


def relative_change(group: KernelGroup, initial: KernelGroup) -> float:
    """How far training moved kernels: norm of the difference over the norm at the start.

    >>> start = KernelGroup(1, 1, np.array([[1.0], [1.0]]))
    >>> relative_change(KernelGroup(1, 1, np.array([[1.5], [1.5]])), start)
    0.5
    """
    moved = float(np.linalg.norm(group.weights - initial.weights))
    return moved / (float(np.linalg.norm(initial.weights)) or 1.0)


def kernel_sheet(sites: Sequence[KernelSite]) -> Figure:
    """Draw the kernels of all places, in the order of the network, row by row.

    >>> site = KernelSite("layer1", (KernelGroup(3, 1, np.eye(3)),))
    >>> len(kernel_sheet([site, site]).axes)
    4
    """
    columns = min(len(sites), MAX_COLUMNS)
    sizes = [site_size(site) for site in sites]
    width, height = (max(size[axis] for size in sizes) for axis in (0, 1))
    height += TITLE_HEIGHT
    whole = (columns * width, -(-len(sites) // columns) * height)
    with chart_style():
        figure = new_figure(*whole)
        for index, site in enumerate(sites):
            left, top = index % columns * width, index // columns * height
            x, y = (left + 26) / whole[0], 1 - (top + TITLE_HEIGHT - 6) / whole[1]
            figure.text(x, y, site.module, size=13)
            draw_site(figure, site, left=left, top=top + TITLE_HEIGHT)
        return figure
