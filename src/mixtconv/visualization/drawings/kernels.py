"""The learned temporal kernels of a model file, against those that training started from."""

from pathlib import Path
from typing import Any

import numpy as np

from mixtconv.models import VideoClassifier, load_model
from mixtconv.ops import MixTConv
from mixtconv.visualization.drawing import Drawing
from mixtconv.visualization.kernels import (
    kernel_sheet,
    learned_kernels,
    relative_change,
    time_shares,
)


def draw_kernels(model: str | Path) -> Drawing:
    """Draw the kernels of every block and group.

    Raises:
        ValueError: a file that is no model, or a model without temporal kernels of its channels, or
            one that has diverged.
    """
    recognizer = load_model(model)
    name = recognizer.spec.name
    sites = learned_kernels(recognizer)
    if not sites:
        raise ValueError(_why_none(recognizer))
    if not all(np.isfinite(group.weights).all() for site in sites for group in site.groups):
        raise ValueError(
            f"the kernels of {model} hold values that are not finite: it has diverged in "
            "training; train it with a smaller --lr"
        )
    groups: list[dict[str, Any]] = [
        {
            "module": site.module,
            "kernel_size": group.kernel_size,
            "dilation": group.dilation,
            "channels": len(group.weights),
            "initial_shares": list(time_shares(initial)),
            "learned_shares": list(time_shares(group)),
            "relative_change": relative_change(group, initial),
        }
        for site in sites
        for group, initial in zip(site.groups, site.initial, strict=True)
    ]
    return Drawing(
        title=f"Temporal kernels of {name}",
        description=(
            "A row is the kernel of one channel, a column a frame, t the present one. Blue adds "
            "the frame, orange subtracts it, blank leaves it out. Above the kernels at the start "
            "of training, below the same channels after it."
        ),
        figure=kernel_sheet(sites),
        numbers={"model": str(model), "name": name, "groups": groups},
        columns=("module", "kernel", "channels", "before / at / after t, start", "learned",
                 "change %"),
        rows=tuple(
            (
                group["module"],
                f"{group['kernel_size']}" + (f" x{group['dilation']}" if group["dilation"] > 1
                                             else ""),
                group["channels"],
                _shares(group["initial_shares"]),
                _shares(group["learned_shares"]),
                100 * group["relative_change"],
            )
            for group in groups
        ),
        notes=(
            "before / at / after t: shares of the absolute weight; change: norm of the difference "
            "from the start over the norm at the start",
        ),
    )  # fmt: skip


def _why_none(model: VideoClassifier) -> str:
    name = model.spec.name
    learned = any(
        parameter.requires_grad
        for key, parameter in model.named_parameters()
        if ".temporal." in key
    )
    if learned:
        why = "its temporal kernels mix all channels, so no channel has one of its own"
    elif any(".temporal" in key for key, _ in model.named_modules()):
        why = "its temporal operation is fixed and learns nothing"
    else:
        why = "it has no temporal operation"
    return f"{name} has no temporal kernels to draw: {why}; give a model of {MixTConv.__name__}"


def _shares(shares: list[float]) -> str:
    return " / ".join(f"{100 * share:.0f} %" for share in shares)
