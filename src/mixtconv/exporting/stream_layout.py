"""The past of streams, and the layouts of it in which engines run temporal operations fast.

A temporal operation of a stream sees the new frame (B, C, H, W) and the last D frames of its past,
together D + 1 frames with taps that are some frames apart. The past is an input of the network, of
each group of channels that looks back; it is kept in one of two ways.

Windows hold the last D frames, the latest last, and the network gives the window of the next frame.
With the new frame appended, the operation is one convolution over time.

    state, D = 2:  | frame 3 | frame 4 |  and frame 5 comes
    next state:    | frame 4 | frame 5 |

    volume    (B, C, D, H, W): a depthwise 3D convolution of K x 1 x 1, which most engines run fast.
    rows      (B, C, D * H, W): frames below each other, a depthwise 2D convolution of K x 1 whose
              taps are H rows apart. XNNPACK, the kernels of ExecuTorch, has 2D convolutions alone.
    rows_last (B, D * H, W, C): the same with the channels last, as LiteRT keeps every feature map.

Rings stay where they are: the network gives only the new frame, which its user puts in the slot of
the oldest, and takes the number of the frame, from which it knows the frame of each slot.

    ring, D = 3:   | frame 3 | frame 4 | frame 2 |  and frame 5 comes
    next ring:     | frame 3 | frame 4 | frame 5 |

    ring      (B, C, D * H, W): as rows. The sum over the past of a channel is a product of
              matrices, 1 x D with D x (H * W), which reads every value once and writes one frame.
    ring_last (B, 1, D * L, C), of the L = H * W places of a feature map: as OpenVINO keeps it, so
              that nothing is moved. Tokens have such rings in every engine.
"""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from itertools import accumulate
from typing import Literal, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv.exporting.clip_layout import TimeKernel
from mixtconv.inference.engines.past import NUMBER, Ring, State

StreamLayoutName = Literal["volume", "rows", "rows_last", "ring", "ring_last"]


class Past:
    """What a network of one frame takes and gives of its past; at the start of streams, zeros."""

    def __init__(self) -> None:
        self.before: dict[str, Tensor] = {}
        """Inputs by name; empty in a first run, which finds out the states."""
        self.after: dict[str, Tensor] = {}
        """Outputs by name."""
        self.states: dict[str, State] = {}
        """All states by name, in the order of the first run."""
        self._slots: dict[int, Tensor] = {}

    def begin(self, before: dict[str, Tensor]) -> None:
        """Begin a frame.

        Args:
            before: inputs by name.
        """
        self.before, self.after, self._slots = before, {}, {}

    def window(self, name: str, x: Tensor, depth: int, *, axis: int = 2) -> Tensor:
        """A state's past with the new frame appended: (B, C, H, W) -> (B, C, D + 1, H, W).

        Args:
            name: of the state.
            x: the new frame.
            depth: D.
            axis: that of time in the state and the result.
        """
        return self.joined(name, x.unsqueeze(axis), depth, axis=axis)

    def joined(self, name: str, new: Tensor, length: int, *, axis: int) -> Tensor:
        """A state, and a new part after it along an axis.

        Args:
            name: of the state.
            new: the frame, in the layout of the past.
            length: size of the past along that axis.
            axis: that of time.
        """
        shape = (*new.shape[:axis], length, *new.shape[axis + 1 :])
        state = State(name, tuple(shape[1:]))
        past = self._of(state, new)
        window = torch.cat([past, new], dim=axis)
        self.after[state.next_name] = window.narrow(axis, new.shape[axis], length)
        return window

    def ring(self, name: str, x: Tensor, *, output: str, channels: slice, slots: int) -> Tensor:
        """A ring (B, C_m, D * H, W), with the new frame as an output.

        Args:
            name: of the ring.
            x: the new frame (B, C, H, W) of all channels.
            output: name of the output.
            channels: those that are remembered, C_m.
            slots: D.
        """
        self.after[output] = x
        C, H, W = x.shape[1:]
        ring = Ring(slots, output, (C, H, W), channels.start)
        return self._of(State(name, (channels.stop - channels.start, slots * H, W), ring), x)

    def slot(self, slots: int) -> Tensor:
        """The slot (B,) of the new frame of each stream in a ring of so many."""
        if slots not in self._slots:
            # Not `remainder`, which OpenVINO 2025.1 does not know; numbers are not negative.
            self._slots[slots] = torch.fmod(self.before[NUMBER], slots)
        return self._slots[slots]

    def _of(self, state: State, new: Tensor) -> Tensor:
        self.states.setdefault(state.name, state)
        if not self.before:
            self.before[NUMBER] = torch.zeros(len(new), dtype=torch.int64)
        if state.name not in self.before:
            return new.new_zeros(len(new), *state.shape)
        return self.before[state.name]


class Remember(Protocol):
    """Appends a new frame to the past of an operation, and keeps the past of the next frame."""

    def __call__(self, new: Tensor, length: int, *, axis: int) -> Tensor:
        """The past and the new frame, one after the other along an axis.

        Args:
            new: the frame, in the layout of the past.
            length: size of the past along that axis.
            axis: that of time.
        """
        ...


class VolumeStep(nn.Module):
    """A kernel that looks back, on the new frame and its past: (B, C, H, W) -> same."""

    num_axes = 3
    """Axes of the past after the channels."""

    def __init__(self, kernel: TimeKernel) -> None:
        super().__init__()
        self.depth, self.stride, self.groups = -kernel.first, kernel.step, kernel.groups
        # A parameter of its final shape: ExecuTorch takes no weight that is computed.
        weight = kernel.weight.reshape(*kernel.weight.shape, *(self.num_axes - 1) * [1])
        self.weight = nn.Parameter(weight.clone(), requires_grad=False)

    def forward(self, x: Tensor, remember: Remember) -> Tensor:
        window = remember(x.unsqueeze(2), self.depth, axis=2)  # (B, C, D + 1, H, W)
        dilation = (self.stride, 1, 1)
        stepped = F.conv3d(window, self.weight, dilation=dilation, groups=self.groups)
        return stepped.squeeze(2)  # (B, C, 1, H, W) -> (B, C, H, W)

    @staticmethod
    def split(x: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
        """The groups of channels of a frame."""
        return x.split(list(sizes), dim=1)


class RowsStep(VolumeStep):
    """The same on frames below each other."""

    num_axes = 2

    def forward(self, x: Tensor, remember: Remember) -> Tensor:
        rows = x.shape[2]
        return self._along_rows(remember(x, self.depth * rows, axis=2), rows)

    def _along_rows(self, window: Tensor, rows: int) -> Tensor:
        """The convolution over D + 1 frames of some rows: (B, C, (D + 1) * H, W) -> one frame."""
        return F.conv2d(window, self.weight, dilation=(self.stride * rows, 1), groups=self.groups)

    @staticmethod
    def split(x: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
        """The groups of channels of a frame, as slices: XNNPACK has no split of unequal sizes."""
        ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
        return [x[:, end - size : end] for end, size in zip(ends, sizes, strict=True)]


class LastChannelsStep(RowsStep):
    """The same with the channels of the past last."""

    def forward(self, x: Tensor, remember: Remember) -> Tensor:
        rows, frame = x.shape[2], x.permute(0, 2, 3, 1)  # (B, H, W, C)
        window = remember(frame, self.depth * rows, axis=1)  # (B, (D + 1) * H, W, C)
        return self._along_rows(window.permute(0, 3, 1, 2), rows)


class FrameStep(nn.Module):
    """A temporal operation, frame by frame: (B, C, H, W) -> same.

    Args:
        name: of its states, which have numbers after it.
        kernels: of the groups of channels, in order.
        past: holds its states.
    """

    def __init__(self, name: str, kernels: Sequence[TimeKernel], past: Past) -> None:
        super().__init__()
        self.name, self.kernels, self.past = name, tuple(kernels), past
        self.is_identity = [kernel.is_identity for kernel in kernels]
        self.sizes = [len(kernel.weight) for kernel in kernels]

    def state_name(self, number: int) -> str:
        """The name of the state of a kernel."""
        return f"{self.name}_{number}"

    def looking_back(self, make: Callable[[TimeKernel], nn.Module]) -> nn.ModuleDict:
        """A module of each kernel that looks back, by the name of its state."""
        return nn.ModuleDict(
            {
                self.state_name(number): make(kernel)
                for number, kernel in enumerate(self.kernels)
                if kernel.first
            }
        )


class WindowStep(FrameStep):
    """The same with a window for each kernel that looks back.

    Args:
        name, kernels, past: as of `FrameStep`.
        step: of a kernel that looks back.
    """

    def __init__(
        self, name: str, kernels: Sequence[TimeKernel], past: Past, step: type[VolumeStep]
    ) -> None:
        super().__init__(name, kernels, past)
        self.split = step.split
        self.steps = self.looking_back(step)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.kernels) == 1:
            return self._step(0, x)
        parts = self.split(x, self.sizes)
        return torch.cat([self._step(number, part) for number, part in enumerate(parts)], dim=1)

    def _step(self, number: int, x: Tensor) -> Tensor:
        """One kernel on the new frame (B, C_m, H, W) and those before it."""
        kernel, name = self.kernels[number], self.state_name(number)
        if self.is_identity[number]:
            return x
        if kernel.first == 0:
            return F.conv2d(x, kernel.weight[..., None], groups=kernel.groups)
        return self.steps[name](x, partial(self.past.joined, name))


class RingKernel(nn.Module):
    """A depthwise kernel over a ring, without its last tap, which meets the new frame."""

    def __init__(self, kernel: TimeKernel) -> None:
        super().__init__()
        self.num_slots = -kernel.first
        lags = range(self.num_slots, 0, -kernel.step)  # of all taps but the last, which is now
        # (D, C, D): the weight of every slot by the slot that the new frame will have.
        weights = kernel.weight.new_zeros(self.num_slots, len(kernel.weight), self.num_slots)
        for now in range(self.num_slots):
            for tap, lag in enumerate(lags):
                weights[now, :, (now - lag) % self.num_slots] = kernel.weight[:, 0, tap]
        self.register_buffer("weights", weights)

    def forward(self, ring: Tensor, slot: Tensor) -> Tensor:
        """(B, C, D * H, W), and the slot (B,) of the new frame -> (B, C, 1, H * W)."""
        B, C, rows, columns = ring.shape
        frames = ring.reshape(B, C, self.num_slots, rows // self.num_slots * columns)
        return torch.matmul(self._weights(slot).unsqueeze(2), frames)

    def of_tokens(self, new: Tensor, name: str, past: Past) -> Tensor:
        """The sum over the tokens before: (B, L, C) -> same.

        With a product and a sum for each slot, which OpenVINO joins; ONNX Runtime is as fast with
        these as with a product of matrices.

        Args:
            new: the tokens of the new frame, which are an output.
            name: of the ring (B, 1, D * L, C).
            past: has the ring.
        """
        ring = past.ring(
            name,
            new.unsqueeze(1),
            output=f"new_{name}",
            channels=slice(0, 1),
            slots=self.num_slots,
        )
        of_slots = self._weights(past.slot(self.num_slots))
        frames = ring.squeeze(1).split(new.shape[1], dim=1)  # D of (B, L, C)
        weights = of_slots.transpose(1, 2).split(1, dim=1)  # D of (B, 1, C)
        products = [frame * weight for frame, weight in zip(frames, weights, strict=True)]
        return reduce(torch.add, products)

    def _weights(self, slot: Tensor) -> Tensor:
        """(B, C, D)"""
        return self.get_buffer("weights").index_select(0, slot)


class _Rings(FrameStep):
    """What steps with a ring for each kernel that looks back have; all kernels are depthwise."""

    def __init__(self, name: str, kernels: Sequence[TimeKernel], past: Past) -> None:
        super().__init__(name, kernels, past)
        self.sums = self.looking_back(RingKernel)
        starts = accumulate(self.sizes, initial=0)
        self.channels = [
            slice(start, start + size) for start, size in zip(starts, self.sizes, strict=False)
        ]
        for number, kernel in enumerate(kernels):
            self.register_buffer(f"now_{number}", kernel.weight[:, 0, -1].view(1, -1, 1, 1))


class RingStep(_Rings):
    """The same with rings (C_m, D * H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        parts = x.split(self.sizes, dim=1)
        return torch.cat([self._step(n, part, x) for n, part in enumerate(parts)], dim=1)

    def _step(self, number: int, part: Tensor, x: Tensor) -> Tensor:
        """One kernel on its channels of the new frame and those before it."""
        if self.is_identity[number]:
            return part
        now = part * self.get_buffer(f"now_{number}")
        if self.kernels[number].first == 0:
            return now
        return now + self._before(number, x).reshape(part.shape)

    def _before(self, number: int, x: Tensor) -> Tensor:
        """The sum of one kernel over the frames before: (B, C_m, 1, H * W)."""
        name = self.state_name(number)
        total = cast(RingKernel, self.sums[name])
        ring = self.past.ring(
            name,
            x,
            output=f"new_{self.name}",
            channels=self.channels[number],
            slots=total.num_slots,
        )
        return total(ring, self.past.slot(total.num_slots))


class LastRingStep(_Rings):
    """The same with rings whose channels are last (1, D * H * W, C_m).

    Only outputs of the network and sums over the past are tokens. The product with the new frame
    and the addition are of feature maps: OpenVINO would move the map for tokens that it computes
    with further.
    """

    def forward(self, x: Tensor) -> Tensor:
        weights = [self.get_buffer(f"now_{number}") for number in range(len(self.kernels))]
        before = torch.cat([self._before(n, x) for n in range(len(self.kernels))], dim=2)
        return x * torch.cat(weights, dim=1) + before.transpose(1, 2).reshape(x.shape)

    def _before(self, number: int, x: Tensor) -> Tensor:
        """The sum of one kernel over the frames before: (B, H * W, C_m)."""
        B, _, H, W = x.shape
        if self.kernels[number].first == 0:
            return x.new_zeros(B, H * W, self.sizes[number])
        name = self.state_name(number)
        tokens = x[:, self.channels[number]].flatten(2).transpose(1, 2)
        return cast(RingKernel, self.sums[name]).of_tokens(tokens, name, self.past)


WINDOWS: dict[StreamLayoutName, type[VolumeStep]] = {
    "volume": VolumeStep,
    "rows": RowsStep,
    "rows_last": LastChannelsStep,
}
"""The step of a kernel by the layout of its window."""
RINGS: dict[StreamLayoutName, type[_Rings]] = {"ring": RingStep, "ring_last": LastRingStep}


def frame_step(
    layout: StreamLayoutName, name: str, kernels: Sequence[TimeKernel], past: Past
) -> FrameStep:
    """A temporal operation, frame by frame, in a layout of its past.

    Args:
        layout: of the past; ordinary convolutions have windows where others have rings.
        name, kernels, past: as of `FrameStep`.
    """
    if layout in RINGS and all(kernel.is_depthwise for kernel in kernels):
        return RINGS[layout](name, kernels, past)
    return WindowStep(name, kernels, past, WINDOWS.get(layout, VolumeStep))
