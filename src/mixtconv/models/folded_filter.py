"""A depthwise temporal operation on folded frames, for inference.

Its result is read by the next convolution only, so all such layers of a recognizer write into one
buffer: new memory for each would cost more, in page faults, than the arithmetic.
"""

import threading

import torch
from torch import Tensor, nn

from mixtconv.ops import fold_time, unfold_time
from mixtconv.ops.filter import DepthwiseTaps


class Scratch(threading.local):
    """A buffer that is reused, one per thread; it grows to the largest size requested."""

    def __init__(self) -> None:
        self._memory: Tensor | None = None

    def like(self, x: Tensor) -> Tensor:
        """Uninitialised memory with the size, strides, precision and device of `x`."""
        memory = self._memory
        if (
            memory is None
            or memory.numel() < x.numel()
            or (memory.dtype, memory.device) != (x.dtype, x.device)
            or memory.is_inference() != torch.is_inference_mode_enabled()
        ):
            self._memory = memory = torch.empty(x.numel(), dtype=x.dtype, device=x.device)
        return memory[: x.numel()].as_strided(x.shape, x.stride())

    def __reduce__(self) -> tuple[type["Scratch"], tuple[()]]:
        return Scratch, ()


class FoldedTemporalFilter(nn.Module):
    """A depthwise temporal filter on folded frames: (B * T, C, H, W) -> same.

    Args:
        taps: the operation.
        num_frames: T.
    """

    scratch: Scratch | None = None
    """Buffer for the result, if its only consumer reads it immediately; None for new memory."""

    def __init__(self, taps: DepthwiseTaps, num_frames: int) -> None:
        super().__init__()
        self.register_buffer("weights", taps.weights.float())
        self.groups, self.edges = taps.groups, taps.edges
        self.num_frames = num_frames

    @property
    def taps(self) -> DepthwiseTaps:
        """The operation."""
        return DepthwiseTaps(self.get_buffer("weights"), self.groups, self.edges)

    def forward(self, x: Tensor) -> Tensor:
        clip = unfold_time(x, self.num_frames)  # (B, T, C, H, W)
        return fold_time(self.taps.apply(clip, out=self._buffer_for(clip)))

    def _buffer_for(self, clip: Tensor) -> Tensor | None:
        """The buffer for the result; None where autograd or the compiler may keep the result."""
        recorded = torch.is_grad_enabled() or torch.compiler.is_compiling()
        if self.scratch is None or recorded or clip.device.type != "cpu":
            return None
        pairs = zip(clip.shape, clip.stride(), strict=True)
        is_dense = sum((size - 1) * stride for size, stride in pairs) + 1 == clip.numel()
        return self.scratch.like(clip) if is_dense else None

    def extra_repr(self) -> str:
        channels, kernel_sizes = sum(self.groups.channels), self.groups.num_taps
        return f"{channels}, kernel_sizes={kernel_sizes}, num_frames={self.num_frames}"
