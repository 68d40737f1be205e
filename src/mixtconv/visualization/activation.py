"""Class activation over a whole clip: where in its frames a network finds a class.

"Grad-CAM" (arXiv 1610.02391), for a clip: the feature map is that of all frames, (C, T, h, w), the
weight of a channel is the mean gradient of the class's logit over time and place, and the map is
the positive part of the weighted sum. Different here: the whole clip passes the network, as in
prediction. Single frames would show another network than one that mixes time.

The last feature map before the global pooling is found by running the network, never by name: it is
the last one with more than one place that the logit depends on. Of a transformer it is that of the
patches' tokens, without class and register tokens. Where the class token alone is read at the end,
the last tokens of patches that the logit depends on are those that the last attention takes.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mixtconv.models import VideoClassifier
from mixtconv.models.wrappers.temporal_wrapper import TemporalWrapper


@dataclass(frozen=True)
class ClipActivation:
    """Class activation of a clip."""

    maps: Tensor
    """float32 (T, h, w), 0 or more, in units of the logit: behind global average pooling and a
    linear layer it is what each place adds to it."""
    logits: Tensor
    """float32 (K,), of the clip."""
    label: int
    """The class that the maps are of."""
    module: str
    """Dotted name of the layer, in the backbone, whose feature map was used."""


def class_activation(
    model: VideoClassifier, clip: Tensor, *, label: int | None = None
) -> ClipActivation:
    """Compute where in the frames of one clip a class is found.

    Args:
        model: in evaluation mode, not optimised for inference.
        clip: normalised frames (T, C, H, W).
        label: the class; by default the one that the model predicts.

    Raises:
        ValueError: a backbone without a feature map, a class that the model does not have, or a
            model that has diverged.

    >>> from mixtconv import create_model
    >>> model = create_model("mstnet_resnet18", num_classes=4, image_size=64).eval()
    >>> found = class_activation(model, torch.randn(8, 3, 64, 64), label=2)
    >>> found.maps.shape, found.module
    (torch.Size([8, 2, 2]), 'layer4')
    """
    if label is not None and not 0 <= label < model.spec.num_classes:
        raise ValueError(
            f"class {label} is not one of the model's {model.spec.num_classes}; give 0 to "
            f"{model.spec.num_classes - 1}"
        )
    with torch.enable_grad(), _recorded(model.backbone) as outputs:
        logits = model(clip[None])[0]  # (K,)
        if not logits.isfinite().all():
            raise ValueError(
                f"{model.spec.name} gives scores that are not finite: it has diverged in "
                "training; train it with a smaller --lr"
            )
        chosen = int(logits.argmax()) if label is None else label
        found = _last_map(model, outputs, logits[chosen])
    if found is None:
        raise ValueError(
            f"{model.spec.name} has no feature map of more than one place that its scores depend "
            "on; class activation needs a backbone of convolutions, or a transformer whose tokens "
            "are the patches of a square, and frames larger than its stride"
        )
    name, features, slopes = found  # (T, C, h, w)
    weights = slopes.float().mean(dim=(0, 2, 3))  # (C,)
    maps = torch.einsum("c,tchw->thw", weights, features.float()).relu()
    return ClipActivation(maps, logits.detach().float(), chosen, name)


def _last_map(
    model: VideoClassifier, outputs: list[tuple[str, Tensor]], logit: Tensor
) -> tuple[str, Tensor, Tensor] | None:
    """The last feature map (T, C, h, w) that a logit depends on: its module, values, gradient."""
    width = model.head.in_features if isinstance(model.head, nn.Linear) else None
    num_prefix = getattr(model.backbone, "num_prefix_tokens", None)
    sizes = {(x.shape[1], x.shape[2]) for _, x in outputs if x.ndim == 3}  # L, C of all tokens
    tokens: torch.Size | None = None  # of a transformer, the size of its last ones
    for name, output in reversed(outputs):
        if not output.requires_grad or tokens not in (None, output.shape):
            continue
        if output.ndim == 4 and (output.shape[2], output.shape[1] * output.shape[3]) in sizes:
            continue  # queries or keys (N, heads, L, C / heads) of tokens
        if output.ndim == 3 and (output.shape[2] != width or _is_projection(model, name)):
            continue  # queries, keys and values of tokens, or a hidden layer
        (gradient,) = torch.autograd.grad(logit, output, retain_graph=True, allow_unused=True)
        if gradient is None or not gradient.any():
            continue
        if output.ndim == 3:
            tokens = output.shape
            patches = _patches(output.detach(), num_prefix)
            slopes = _patches(gradient, num_prefix)
            if patches is None or slopes is None or not slopes.any():
                continue
            return name, patches, slopes
        return name, _channels_first(output.detach(), width), _channels_first(gradient, width)
    return None


def _is_projection(model: VideoClassifier, name: str) -> bool:
    module = model.backbone.get_submodule(name)
    return isinstance(module.module if isinstance(module, TemporalWrapper) else module, nn.Linear)


def _patches(tokens: Tensor, num_prefix: int | None) -> Tensor | None:
    """Tokens (N, L, C) of the patches of a square as a map (N, C, h, h); None of other tokens.

    Args:
        tokens: after class and register tokens those of the patches, row by row.
        num_prefix: number of the tokens before; None if the network does not say, and then as few
            as leave a square.
    """
    side = math.isqrt(tokens.shape[1] - (num_prefix or 0))
    before = tokens.shape[1] - side**2
    if side < 2 or num_prefix not in (None, before):
        return None
    return tokens[:, before:].unflatten(1, (side, side)).permute(0, 3, 1, 2)


_PLACES_AXIS = {4: 2, 3: 1}
"""An axis of places, of maps (N, C, h, w) or (N, h, w, C) and of tokens (N, L, C)."""


@contextmanager
def _recorded(network: nn.Module) -> Iterator[list[tuple[str, Tensor]]]:
    """Record the maps and tokens that modules give, in order.

    A tensor that several modules give is recorded under the name of the outermost.
    """
    outputs: list[tuple[str, Tensor]] = []

    def record(name: str, result: Any) -> None:
        if (
            isinstance(result, Tensor)
            and result.ndim in _PLACES_AXIS
            and (result.shape[_PLACES_AXIS[result.ndim]] > 1)
        ):
            if outputs and outputs[-1][1] is result:
                outputs.pop()
            outputs.append((name, result))

    handles = [
        module.register_forward_hook(lambda _, args, result, name=name: record(name, result))
        for name, module in network.named_modules()
        if name
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _channels_first(feature_map: Tensor, num_features: int | None) -> Tensor:
    """A map (N, C, h, w); some networks have (N, h, w, C), which the features' number shows."""
    shape = feature_map.shape
    is_last = shape[3] == num_features != shape[1]
    return feature_map.permute(0, 3, 1, 2) if is_last else feature_map


OPACITY = 0.65
"""Of the colour where activation is strongest; frames without activation stay as they are."""


def overlay(
    frames: NDArray[np.uint8], maps: NDArray[Any], *, strongest: float
) -> NDArray[np.uint8]:
    """Lay activation over frames, as colour from purple (weak) to yellow (strong).

    Args:
        frames: (T, H, W, 3).
        maps: (T, h, w), 0 or more; enlarged to the frames.
        strongest: activation drawn in yellow, the same for all frames that are compared.

    Returns:
        (T, H, W, 3).

    >>> frames = np.zeros((1, 4, 4, 3), np.uint8)
    >>> bool((overlay(frames, np.zeros((1, 2, 2)), strongest=1.0) == frames).all())
    True
    """
    size = frames.shape[1:3]
    enlarged = F.interpolate(
        torch.as_tensor(maps, dtype=torch.float32)[:, None], size, mode="bilinear"
    )[:, 0]  # (T, H, W)
    strength = (enlarged / (strongest or 1.0)).clamp(0, 1).numpy()
    colors = matplotlib.colormaps["plasma"](strength)[..., :3] * 255  # (T, H, W, 3)
    alpha = OPACITY * np.sqrt(strength)[..., None]
    return np.round((1 - alpha) * frames + alpha * colors).astype(np.uint8)
