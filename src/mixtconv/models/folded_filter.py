"""A depthwise temporal operation on folded frames, for inference.

What it writes is read by the next convolution and by nothing else, so all such layers of a
recognizer write into one piece of memory: fresh memory for each would cost more, in page faults,
than the arithmetic.
"""

import threading
from typing import Any

import torch
from torch import Tensor, nn

from mixtconv.ops import fold_time, unfold_time
from mixtconv.ops.filter import DepthwiseTaps


class Scratch(threading.local):
    """Memory that is written again and again, one piece a thread; it grows to the largest size."""

    def __init__(self) -> None:
        self._memory: Tensor | None = None

    def like(self, x: Tensor) -> Tensor:
        """A piece with the size, strides, precision and device of `x`."""
        memory = self._memory
        if (
            memory is None
            or memory.numel() < x.numel()
            or (memory.dtype, memory.device) != (x.dtype, x.device)
            or memory.is_inference() != torch.is_inference_mode_enabled()
        ):
            self._memory = memory = torch.empty(x.numel(), dtype=x.dtype, device=x.device)
        return memory[: x.numel()].as_strided(x.shape, x.stride())

    def __deepcopy__(self, memo: dict[int, Any]) -> "Scratch":
        return Scratch()

    def __reduce__(self) -> tuple[type["Scratch"], tuple[()]]:
        return Scratch, ()


class FoldedTemporalFilter(nn.Module):
    """Frames (B * T, C, H, W) to the same, each having met its neighbours in time.

    Args:
        taps: the operation.
        num_frames: T.
        scratch: memory for the result, where one module reads it at once and lets go of it; None
            gives every result memory of its own.
    """

    def __init__(self, taps: DepthwiseTaps, num_frames: int, scratch: Scratch | None) -> None:
        super().__init__()
        self.register_buffer("weights", taps.taps.float())
        self.channels, self.num_taps, self.offsets = taps.channels, taps.num_taps, taps.offsets
        self.num_frames = num_frames
        self.scratch = scratch

    @property
    def taps(self) -> DepthwiseTaps:
        """The operation."""
        weights = self.get_buffer("weights")
        return DepthwiseTaps(weights, self.channels, self.num_taps, self.offsets)

    def forward(self, x: Tensor) -> Tensor:
        clip = unfold_time(x, self.num_frames)  # (B, T, C, H, W)
        return fold_time(self.taps.apply(clip, out=self._reused(clip)))

    def _reused(self, clip: Tensor) -> Tensor | None:
        """Memory for the result; none where a graph is recorded, which keeps what it reads."""
        recorded = torch.is_grad_enabled() or torch.compiler.is_compiling()
        if self.scratch is None or recorded or clip.device.type != "cpu":
            return None
        pairs = zip(clip.shape, clip.stride(), strict=True)
        is_dense = sum((size - 1) * stride for size, stride in pairs) + 1 == clip.numel()
        return self.scratch.like(clip) if is_dense else None

    def extra_repr(self) -> str:
        return f"{sum(self.channels)}, kernel_sizes={self.num_taps}, num_frames={self.num_frames}"
