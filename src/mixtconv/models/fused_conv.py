"""A convolution with what follows it, for inference: activation, or addition and activation.

On the CPU oneDNN applies both while the result is still in registers, through the operators that
torch's compiler uses; elsewhere, and where a gradient or another precision is asked for, plain
torch does the same in several passes.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class _Activation:
    name: str
    scalars: tuple[float, ...] = ()


_ACTIVATIONS: dict[type, _Activation] = {
    type(None): _Activation("none"),
    nn.Identity: _Activation("none"),
    nn.ReLU: _Activation("relu"),
    nn.ReLU6: _Activation("hardtanh", (0.0, 6.0)),
    nn.SiLU: _Activation("swish"),
    nn.Hardswish: _Activation("hardswish"),
}
"""What oneDNN calls an activation."""


@dataclass(frozen=True)
class _PackedWeight:
    origin: Tensor
    size: tuple[int, ...]  # H and W of the feature maps that it is packed for
    values: Tensor


def can_fuse(conv: nn.Module, activation: nn.Module | None = None) -> bool:
    """Whether `FusedConv2d` can be made of them."""
    return (
        type(conv) is nn.Conv2d
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and type(activation) in _ACTIVATIONS
    )


class FusedConv2d(nn.Module):
    """activation(conv(x)), or activation(conv(x) + other).

    Args:
        conv: the convolution; its parameters become this module's.
        activation: ReLU, ReLU6, SiLU or Hardswish; None for none.
    """

    overwrites = False
    """Put the sum where `other` lies, which must then not be needed any more."""

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
        if not self._fuses(x) or (other is not None and not self._adds(x, other)):
            geometry = (self.stride, self.padding, self.dilation, self.groups)
            y = F.conv2d(x, self.weight, self.bias, *geometry)
            y = y if other is None else y + other
            return y if self.activation is None else self.activation(y)
        geometry = (self.padding, self.stride, self.dilation, self.groups)
        conv = (self._packed_weight(x), self.bias, *geometry)
        fused = _ACTIVATIONS[type(self.activation)]
        name, scalars = fused.name, list(fused.scalars)
        operators = torch.ops.mkldnn
        if other is None:
            return operators._convolution_pointwise(x, *conv, name, scalars, "")
        after = (None if name == "none" else name, scalars, "")
        if self.overwrites:
            return operators._convolution_pointwise_.binary(other, x, *conv, "add", 1.0, *after)
        return operators._convolution_pointwise.binary(x, other, *conv, "add", 1.0, *after)

    def _fuses(self, x: Tensor) -> bool:
        return (
            x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and x.numel() > 0
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
            and torch.backends.mkldnn.is_available()
        )

    def _adds(self, x: Tensor, other: Tensor) -> bool:
        """Whether `other` has the shape of the result, and the memory format that is asked for."""
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
        """The weight in the order that oneDNN wants for feature maps of this size.

        Without the size it guesses, and where it guesses wrong a convolution takes twice the time.
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
        return f"{tuple(self.weight.shape)}, {_ACTIVATIONS[type(self.activation)].name}"
