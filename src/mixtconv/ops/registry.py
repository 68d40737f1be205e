"""The named temporal operations: for each name, a factory from the number of channels to a layer.

The names are the rows of the ablation in "MixTConv" (arXiv 2001.06769, kernel sizes compared).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from mixtconv._names import unknown_name
from mixtconv.ops.mixed import MixTConv
from mixtconv.ops.ordinary import TemporalConv
from mixtconv.ops.shift import TemporalShift

OperationFactory = Callable[..., nn.Module]

OPERATIONS: dict[str, OperationFactory] = {
    "mixtconv": partial(MixTConv, kernel_sizes=(1, 3, 5, 7)),
    "ks3": partial(MixTConv, kernel_sizes=(3,)),
    "ks5": partial(MixTConv, kernel_sizes=(5,)),
    "ks7": partial(MixTConv, kernel_sizes=(7,)),
    "ks13": partial(MixTConv, kernel_sizes=(1, 3)),
    "ks135": partial(MixTConv, kernel_sizes=(1, 3, 5)),
    "ks1357": partial(MixTConv, kernel_sizes=(1, 3, 5, 7)),
    "ks357dilated": partial(MixTConv, kernel_sizes=(3, 3, 3), dilations=(1, 2, 3)),
    "conv1d": TemporalConv,
    "shift": lambda channels, **options: TemporalShift(**options),
}


def register_operation(name: str) -> Callable[[OperationFactory], OperationFactory]:
    """Register `factory(channels, **options)` under a name for `create_operation`, as a decorator.

    Raises:
        ValueError: the name is registered already.
    """

    def register(factory: OperationFactory) -> OperationFactory:
        if name in OPERATIONS:
            raise ValueError(f"an operation named {name!r} exists already; choose another name")
        OPERATIONS[name] = factory
        return factory

    return register


def create_operation(name: str, channels: int, **options: Any) -> nn.Module:
    """Make a temporal operation, (B, T, C, H, W) -> same, by name.

    Args:
        name: one of `OPERATIONS`.
        channels: C.
        options: keyword arguments of the operation, such as `causal`, `init`, `shift_fraction`.

    Raises:
        ValueError: an unknown name; the message lists near ones.

    >>> create_operation("ks3", 64).kernel_sizes
    (3,)
    """
    if name not in OPERATIONS:
        raise unknown_name("operation", name, OPERATIONS)
    return OPERATIONS[name](channels, **options)
