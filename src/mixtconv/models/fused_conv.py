"""A convolution with what follows it, for inference: activation, or addition and activation.

On the CPU oneDNN applies both while the result is still in registers, through the operators that
torch's compiler uses. They are private to torch (pytorch/pytorch#86581 and #86583 added them), so
they are tried before their first use (`fusion_fault`). Where one is missing or computes something
else, and on other devices, in other precisions and where a gradient is needed, plain torch does the
same in several passes.
"""

import logging
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

logger = logging.getLogger(__name__)


_ACTIVATIONS: dict[type, tuple[str, list[float]]] = {
    type(None): ("none", []),
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.SiLU: ("swish", []),
    nn.Hardswish: ("hardswish", []),
}
"""Module -> oneDNN's name of the activation, and its parameters."""

_AFTER_SUM = (type(None), nn.Identity, nn.ReLU)
"""Activations that oneDNN applies after an addition as well."""


@dataclass(frozen=True)
class _PackedWeight:
    origin: Tensor
    size: tuple[int, ...]  # H and W of the feature maps that it is packed for
    values: Tensor


def can_fuse(
    conv: nn.Module, activation: nn.Module | None = None, *, after_sum: bool = False
) -> bool:
    """Whether `FusedConv2d` supports the pair, with an addition between them if `after_sum`."""
    return (
        type(conv) is nn.Conv2d
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and type(activation) in (_AFTER_SUM if after_sum else _ACTIVATIONS)
    )


class FusedConv2d(nn.Module):
    """activation(conv(x)), or activation(conv(x) + other) if `can_fuse` with `after_sum`.

    Args:
        conv: the convolution; its parameters become this module's.
        activation: ReLU, ReLU6, SiLU or Hardswish; None for none.
    """

    overwrites = False
    """Write the sum into `other`, whose values must not be needed afterwards."""

    def __init__(self, conv: nn.Conv2d, activation: nn.Module | None = None) -> None:
        super().__init__()
        assert can_fuse(conv, activation)
        self.weight, self.bias = conv.weight, conv.bias
        assert not isinstance(conv.padding, str)
        self.stride, self.padding = list(conv.stride), list(conv.padding)
        self.dilation, self.groups = list(conv.dilation), conv.groups
        self.activation = activation
        self._packed: _PackedWeight | None = None

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        if self._can_use_onednn(x, other) and fusion_fault() is None:
            return self._fused(x, other)
        return self._plain(x, other)

    def _plain(self, x: Tensor, other: Tensor | None) -> Tensor:
        geometry = (self.stride, self.padding, self.dilation, self.groups)
        y = F.conv2d(x, self.weight, self.bias, *geometry)
        y = y if other is None else y + other
        return y if self.activation is None else self.activation(y)

    def _fused(self, x: Tensor, other: Tensor | None) -> Tensor:
        geometry = (self.padding, self.stride, self.dilation, self.groups)
        conv = (self._packed_weight(x), self.bias, *geometry)
        name, scalars = _ACTIVATIONS[type(self.activation)]
        operators = torch.ops.mkldnn
        if other is None:
            return operators._convolution_pointwise(x, *conv, name, scalars, "")
        after = (None if name == "none" else name, scalars, "")
        if self.overwrites:
            return operators._convolution_pointwise_.binary(other, x, *conv, "add", 1.0, *after)
        return operators._convolution_pointwise.binary(x, other, *conv, "add", 1.0, *after)

    def _can_use_onednn(self, x: Tensor, other: Tensor | None) -> bool:
        return (
            x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and x.numel() > 0
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
            and torch.backends.mkldnn.is_available()
            and (other is None or self._can_add(x, other))
        )

    def _can_add(self, x: Tensor, other: Tensor) -> bool:
        """Whether `other` has the shape of the result, and is channels-last as oneDNN needs it."""
        reach = [
            d * (kernel - 1) for d, kernel in zip(self.dilation, self.weight.shape[2:], strict=True)
        ]
        size = [
            (x.shape[axis + 2] + 2 * self.padding[axis] - reach[axis] - 1) // self.stride[axis] + 1
            for axis in (0, 1)
        ]
        fits = list(other.shape) == [len(x), len(self.weight), *size]
        return fits and other.is_contiguous(memory_format=torch.channels_last)

    def _packed_weight(self, x: Tensor) -> Tensor:
        """The weight in oneDNN's memory layout for feature maps of this size.

        Without the size oneDNN guesses, and a convolution in the wrong layout takes twice the time.
        """
        packed, size = self._packed, tuple(x.shape[2:])
        if packed is None or packed.origin is not self.weight or packed.size != size:
            with torch.inference_mode(False), torch.no_grad():
                values = torch.ops.aten.mkldnn_reorder_conv2d_weight(
                    self.weight.detach().to_mkldnn(),
                    self.padding,
                    self.stride,
                    self.dilation,
                    self.groups,
                    list(x.shape),
                )
            self._packed = packed = _PackedWeight(self.weight, size, values)
        return packed.values

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": None}

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, {_ACTIVATIONS[type(self.activation)][0]}"


def fusion_in_use(device: torch.device) -> str:
    """How the convolutions of optimised recognizers run in float32 on a device, in words.

    >>> fusion_in_use(torch.device("meta"))
    'plain torch'
    """
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return "plain torch"
    fault = fusion_fault()
    return "oneDNN, fused" if fault is None else f"plain torch, which is slower ({fault})"


@cache
def fusion_fault() -> str | None:
    """Why oneDNN's operators cannot be used with this torch; None if they can.

    Tried once per process: every operator with every activation on a small feature map, against
    plain torch. Padding, stride and dilation differ, so that another order of arguments is noticed.
    """
    # Random values of the module are not used, so the user's generator keeps its state.
    with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(devices=[]):
        conv = nn.Conv2d(4, 4, 3, padding=(2, 1), stride=(1, 2), dilation=(2, 2), groups=2)
        conv.to("cpu", torch.float32)
        for parameter in conv.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view(parameter.shape))
        fault = next(filter(None, (_try_out(conv, *form) for form in _FORMS)), None)
    if fault is not None:
        logger.info("%s: optimised recognizers use plain torch, which is slower", fault)
    return fault


_FORMS: tuple[tuple[type, bool, bool], ...] = (
    *((activation, False, False) for activation in _ACTIVATIONS),
    *((activation, True, overwrites) for activation in _AFTER_SUM for overwrites in (False, True)),
)
"""Activation, whether another tensor is added before it, and whether the sum overwrites that."""


def _try_out(conv: nn.Conv2d, activation: type, adds: bool, overwrites: bool) -> str | None:
    """What is wrong with one operator with one activation, if anything."""
    fused = FusedConv2d(conv, None if activation is type(None) else activation())
    fused.overwrites = overwrites
    x = torch.linspace(-3, 6, 100, dtype=torch.float32, device="cpu").view(1, 4, 5, 5)
    x = x.contiguous(memory_format=torch.channels_last)
    other = FusedConv2d(conv)._plain(x, None).sin() if adds else None
    expected = fused._plain(x, other)
    steps = ("add, " if adds else "") + _ACTIVATIONS[activation][0]
    title = f"torch {torch.__version__}, oneDNN convolution ({steps})"
    try:
        result = fused._fused(x, other)
        is_right = torch.allclose(result, expected, rtol=1e-4, atol=1e-4)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        return f"{title}: {' '.join(str(error).split())[:120]}"
    return None if is_right else f"{title}: other values than plain torch"
