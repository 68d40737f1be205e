"""Class activation over a whole clip: where in its frames a network finds a class.

"Grad-CAM" (arXiv 1610.02391), for a clip: the feature map is that of all frames, (C, T, h, w), the
weight of a channel is the mean gradient of the class's logit over time and place, and the map is
the positive part of the weighted sum. Different here: the whole clip passes the network, as in
prediction. Single frames would show another network than one that mixes time.

The last feature map before the global pooling is found by running the network, never by name: it is
the last one with more than one place that the logit depends on.
"""

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
        # from the last map backwards, the first one that has a gradient
        for name, output in reversed(outputs):
            if not output.requires_grad:
                continue
            (gradient,) = torch.autograd.grad(
                logits[chosen], output, retain_graph=True, allow_unused=True
            )
            if gradient is None or not gradient.any():
                continue
            if output.ndim != 4:
                raise ValueError(
                    f"the last layer of {model.spec.name} with more than one place, {name}, gives "
                    "a sequence of tokens and no map; class activation needs a backbone whose "
                    "last features are a map"
                )
            width = model.head.in_features if isinstance(model.head, nn.Linear) else None
            features = _channels_first(output.detach(), width)
            slopes = _channels_first(gradient, width)  # (T, C, h, w)
            weights = slopes.float().mean(dim=(0, 2, 3))  # (C,)
            maps = torch.einsum("c,tchw->thw", weights, features.float()).relu()
            return ClipActivation(maps, logits.detach().float(), chosen, name)
    raise ValueError(
        f"{model.spec.name} has no feature map of more than one place that its scores depend on; "
        "class activation needs a convolutional backbone and frames larger than its stride"
    )


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
