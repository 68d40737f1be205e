"""Memory of training: a cheap intermediate result is computed again instead of being kept.

The convolution behind a temporal operation keeps its input for the gradient of its weights. That
input is one cheap pass away from the feature map before the operation, which the network keeps
anyway; to keep both would cost a copy of the feature map a block.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


@dataclass(frozen=True)
class _Recipe:
    compute: Callable[[], Tensor]
    source: Tensor
    version: int


@contextmanager
def recomputed(result: Tensor, compute: Callable[[], Tensor], source: Tensor) -> Iterator[None]:
    """Within this context, what autograd would keep of `result` it computes again when needed.

    Args:
        result: a tensor that operations in the context read.
        compute: makes it again.
        source: what it is made from; it must not have been written to in between.

    >>> import torch
    >>> x = torch.tensor([2.0], requires_grad=True)
    >>> doubled = 2 * x
    >>> with recomputed(doubled, lambda: 2 * x, x):
    ...     y = doubled**2
    >>> y.backward()
    >>> x.grad
    tensor([16.])
    """
    address, shape, strides = result.data_ptr(), result.shape, result.stride()
    recipe = _Recipe(compute, source, source._version)

    def pack(tensor: Tensor) -> Tensor | _Recipe:
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
        return kept.compute()  # recorded by autograd where second derivatives are asked for

    with saved_tensors_hooks(pack, unpack):
        yield
