"""The temporal kernels of a model as plain data, and all of them as one picture."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from mixtconv.models import VideoClassifier
from mixtconv.ops import MixTConv
from mixtconv.visualization.kernels import draw_site, site_size
from mixtconv.visualization.palette import INK, chart_style, new_figure
from mixtconv.visualization.report_data import KernelGroup, KernelSite

MAX_COLUMNS = 4
TITLE_HEIGHT = 26


def learned_kernels(model: VideoClassifier) -> tuple[KernelSite, ...]:
    """The temporal kernels of a model's mixed convolutions, beside those they started from."""
    return tuple(
        KernelSite(
            name.removeprefix("backbone.").removesuffix(".temporal"),
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
            figure.text(x, y, site.module, ha="left", va="baseline", size=13, color=INK)
            draw_site(figure, site, left=left, top=top + TITLE_HEIGHT)
        return figure
