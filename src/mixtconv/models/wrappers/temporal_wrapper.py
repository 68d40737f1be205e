"""A module of a 2D network with a temporal operation before it.

In training, the result of the operation is recomputed in the backward pass instead of being kept:
it is one cheap pass away from the feature map before it, which the network keeps anyway, and would
cost a copy of the feature map per block.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from mixtconv.models.structure.token_layout import TokenLayout, TokenOperation
from mixtconv.models.wrappers.wrapping import WrappedModule
from mixtconv.ops import fold_time, unfold_time


class TemporalWrapper(WrappedModule):
    """A module of a 2D network with a temporal operation before it: frames in, frames out.

    In state dictionaries the module's weights keep the names that they had without the operation
    (`conv1.weight`); the operation's are beside them (`conv1.temporal.weights.0`).

    Args:
        temporal: the operation, (B, T, C, H, W) -> same.
        module: takes the operation's result, folded to (B * T, C, H, W).
        num_frames: T.
        channels: C.
    """

    layout: TokenLayout | None = None
    """The form of tokens; None for feature maps."""

    def __init__(
        self, temporal: nn.Module, module: nn.Module, num_frames: int, channels: int
    ) -> None:
        super().__init__(module)
        self.channels = channels
        self.temporal = temporal
        self.num_frames = num_frames
        self.recomputes = True  # False where the whole block is computed again

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        frames = self._mix(x)  # (B * T, C, H, W)
        is_cheap = hasattr(self.temporal, "depthwise_taps")  # one multiplication per tap and value
        recomputes = self.recomputes and is_cheap and torch.is_grad_enabled()
        if not recomputes or torch.compiler.is_compiling():
            return self.module(frames, *args, **kwargs)
        with recompute_in_backward(frames, lambda: self._mix(x), x):
            return self.module(frames, *args, **kwargs)

    def _mix(self, x: Tensor) -> Tensor:
        return fold_time(self.temporal(unfold_time(x, self.num_frames)))

    def separated(self, operation: nn.Module) -> nn.Module:
        """The module with another form of the operation, feature maps (B * T, C, H, W) to same."""
        return nn.Sequential(operation, self.module)


class TokenWrapper(TemporalWrapper):
    """A module that takes tokens, with a temporal operation before it.

    Args:
        temporal: the operation, (B, T, C, H, W) -> same.
        module: takes tokens (B * T * P, ..., C).
        num_frames: T.
        channels: C.
        layout: the form of the tokens.
    """

    def __init__(
        self,
        temporal: nn.Module,
        module: nn.Module,
        num_frames: int,
        channels: int,
        layout: TokenLayout,
    ) -> None:
        super().__init__(temporal, module, num_frames, channels)
        self.layout: TokenLayout = layout

    def _mix(self, x: Tensor) -> Tensor:
        return self.layout.from_maps(super()._mix(self.layout.as_maps(x)), x)

    def separated(self, operation: nn.Module) -> nn.Module:
        """The module after another form of the operation, feature maps (B * T, C, H, W) to same."""
        return _Preceded(TokenOperation(operation, self.layout), self.module)


class _Preceded(nn.Module):
    """An operation on the tokens that a module takes; other arguments of the module pass."""

    def __init__(self, operation: nn.Module, module: nn.Module) -> None:
        super().__init__()
        self.operation, self.module = operation, module

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        return self.module(self.operation(x), *args, **kwargs)


def temporal_wrappers(network: nn.Module) -> Iterator[TemporalWrapper]:
    """The modules with a temporal operation before them, in the order of the network's modules."""
    return (module for module in network.modules() if isinstance(module, TemporalWrapper))


@dataclass(frozen=True)
class _Recipe:
    """Kept by autograd in place of a tensor."""

    compute: Callable[[], Tensor]
    source: Tensor
    version: int


@contextmanager
def recompute_in_backward(
    result: Tensor, compute: Callable[[], Tensor], source: Tensor
) -> Iterator[None]:
    """Within this context, autograd does not keep `result` but recomputes it in the backward pass.

    Args:
        result: a tensor that operations in the context read.
        compute: makes it again.
        source: the tensor that `result` is computed from.

    Raises:
        RuntimeError: in the backward pass, if `source` was modified in place before.

    >>> import torch
    >>> x = torch.tensor([2.0], requires_grad=True)
    >>> doubled = 2 * x
    >>> with recompute_in_backward(doubled, lambda: 2 * x, x):
    ...     y = doubled**2
    >>> y.backward()
    >>> x.grad
    tensor([16.])
    """
    address, shape, strides = result.data_ptr(), result.shape, result.stride()
    recipe = _Recipe(compute, source, source._version)

    def pack(tensor: Tensor) -> Tensor | _Recipe:
        # autograd may pass an alias of `result`, so it is recognized by its memory
        is_result = tensor.data_ptr() == address and tensor.shape == shape
        return recipe if is_result and tensor.stride() == strides else tensor

    def unpack(kept: Tensor | _Recipe) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        if kept.source._version != kept.version:
            raise RuntimeError(
                "the input of a temporal operation was written to in place before the backward "
                "pass, which computes the operation again; make that write a new tensor"
            )
        return kept.compute()  # autograd records this if second derivatives are requested

    with saved_tensors_hooks(pack, unpack):
        yield
