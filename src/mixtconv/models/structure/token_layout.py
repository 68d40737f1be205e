"""Tokens of a transformer as feature maps, which temporal operations take, and back.

A transformer keeps the places of a picture as tokens, channels last, in one of these forms:

    (N, L, C)            places of a picture in a row, after its class and register tokens
    (N, H, W, C)         places in rows and columns
    (N * P, L, C)        the P windows of a picture one after the other

The frames of a clip have their tokens in the same order, so that a token and its namesakes in the
other frames are one place: of a map (N, C, P * L, 1) in the memory of the tokens.
"""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class TokenLayout:
    """The form in which a layer gives the tokens of pictures.

    >>> import torch
    >>> TokenLayout().as_maps(torch.zeros(8, 197, 64)).shape
    torch.Size([8, 64, 197, 1])
    >>> TokenLayout(parts=4).as_maps(torch.zeros(8 * 4, 7, 7, 64)).shape
    torch.Size([8, 64, 196, 1])
    """

    parts: int = 1
    """P, windows of a picture, each an element of the batch."""
    channels_last: bool = True
    """Tokens (N * P, ..., C), or feature maps (N * P, C, H, W)."""

    def as_maps(self, x: Tensor) -> Tensor:
        """Tokens as feature maps (N, C, P * L, 1), a view; (N, C, P * H, W) of feature maps."""
        if self.channels_last:
            return x.reshape(x.shape[0] // self.parts, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
        if self.parts == 1:
            return x
        return x.unflatten(0, (-1, self.parts)).transpose(1, 2).flatten(2, 3)

    def from_maps(self, maps: Tensor, like: Tensor) -> Tensor:
        """The inverse, for tokens of the shape of `like`."""
        if self.channels_last:
            return maps.permute(0, 2, 3, 1).reshape(like.shape)
        if self.parts == 1:
            return maps
        return maps.unflatten(2, (self.parts, -1)).transpose(1, 2).flatten(0, 1)


class TokenOperation(nn.Module):
    """An operation on feature maps, on tokens: (N * P, ..., C) -> same.

    Args:
        operation: feature maps (N, C, H, W) to the same, place by place.
        layout: the form of the tokens.
    """

    def __init__(self, operation: nn.Module, layout: TokenLayout) -> None:
        super().__init__()
        self.operation = operation
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        return self.layout.from_maps(self.operation(self.layout.as_maps(x)), x)
