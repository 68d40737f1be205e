"""A learned vector for each frame of a clip, added to its tokens before the first block.

Of AIM (arXiv 2302.03024) and ZeroI2V (arXiv 2310.01324); it begins at zero.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mixtconv.models.wrappers.wrapping import WrappedModule, replace_module
from mixtconv.ops import fold_time, unfold_time


class TemporalPosition(WrappedModule):
    """A module that takes tokens, to which the vector of their frame is added.

    Args:
        module: takes tokens (B * T, ..., D).
        num_frames: T.
        channels: D.
    """

    def __init__(self, module: nn.Module, num_frames: int, channels: int) -> None:
        super().__init__(module)
        self.frames = nn.Parameter(torch.zeros(num_frames, channels))

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.frames)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        vectors = self.frames.unflatten(1, (1,) * (x.ndim - 2) + (-1,))  # (T, 1, ..., D)
        clip = unfold_time(x, self.num_frames) + vectors  # (B, T, ..., D)
        return self.module(fold_time(clip), *args, **kwargs)


def insert_temporal_position(
    network: nn.Module, block: str, *, num_frames: int, channels: int
) -> str:
    """Add vectors of frames to the tokens of a transformer, in place.

    Args:
        network: takes frames (B * T, C, H, W).
        block: name of the first block; where the network has a `norm_pre`, they are added before.
        num_frames: T.
        channels: D of the tokens.

    Returns:
        The name of the module that they are added before.
    """
    name = "norm_pre" if hasattr(network, "norm_pre") else block
    module = network.get_submodule(name)
    replace_module(network, name, TemporalPosition(module, num_frames, channels))
    return name
