"""Parameters and multiply-accumulates of a recogniser, as the field's tables count them.

Counted: convolutions, linear layers and matrix products, and every tap of a temporal operation.
Not counted: normalisation, activations, pooling, additions.
"""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mixtconv.models import VideoClassifier
from mixtconv.ops import MixTConv


@dataclass(frozen=True)
class Complexity:
    """The cost of one clip."""

    params: int
    """All learnable parameters."""
    macs: int
    """Multiply-accumulates of one clip, one view."""


def complexity(model: VideoClassifier) -> Complexity:
    """Count the cost of one clip of the size that the model takes, without computing anything.

    >>> from mixtconv import create_model
    >>> complexity(create_model("mstnet_resnet18", num_classes=400))
    Complexity(params=11387600, macs=14539833344)
    """
    params = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    abstract = copy.deepcopy(model).to("meta").eval()
    spec = model.spec
    channels, size = spec.snippet.in_channels, spec.image_size
    clip = torch.empty(1, model.num_frames, channels, size, size, device="meta")
    taps = 0

    def count_taps(layer: nn.Module, args: tuple[torch.Tensor, ...], result: torch.Tensor) -> None:
        nonlocal taps
        assert isinstance(layer, MixTConv)
        positions = result.numel() // result.shape[2]  # B * T * H * W
        taps += positions * sum(weight.numel() for weight in layer.weights)

    for layer in abstract.modules():
        if isinstance(layer, MixTConv):
            layer.register_forward_hook(count_taps)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        abstract(clip)
    return Complexity(params, counter.get_total_flops() // 2 + taps)
