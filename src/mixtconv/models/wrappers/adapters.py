"""Adapters with a temporal operation on the residual stream of a transformer.

From "ST-Adapter" (arXiv 2206.13559): tokens of places are projected to fewer channels, mixed over
time, and projected back, beside a shortcut; class and register tokens pass. The image model around
it can stay frozen. Different here: any temporal operation, such as a mixed temporal convolution;
the last layer begins at zero instead of the operation, so that the network begins as the image
model and the operation as it does elsewhere (`init`); and no bias of the operation, which that of
the last layer makes up for. `start="operation"` begins as published.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mixtconv._types import AdapterPlaces
from mixtconv.models.structure.token_blocks import Branch, TokenBlock, adapt_stream
from mixtconv.models.structure.token_layout import TokenLayout
from mixtconv.models.wrappers.temporal_wrapper import TokenWrapper
from mixtconv.models.wrappers.wrapping import device_of
from mixtconv.ops.registry import OperationFactory

logger = logging.getLogger(__name__)

Start = Literal["up", "operation"]


class TemporalAdapter(nn.Module):
    """Tokens to fewer channels, mixed over time, back and added: (B * T * P, ..., D) -> same.

    Args:
        channels: D.
        width: channels in between.
        make: the operation for a number of channels.
        num_frames: T.
        num_prefix: class and register tokens, which pass unchanged.
        layout: the form of the tokens, by default of whole pictures.
        start: what begins at zero, the layer back (`up`) or the taps of the `operation`.

    >>> from mixtconv.ops import MixTConv
    >>> adapter = TemporalAdapter(64, 32, MixTConv, num_frames=4, num_prefix=1)
    >>> x = torch.rand(2 * 4, 197, 64)
    >>> bool((adapter(x) == x).all())
    True
    """

    def __init__(
        self,
        channels: int,
        width: int,
        make: OperationFactory,
        *,
        num_frames: int,
        num_prefix: int = 0,
        layout: TokenLayout | None = None,
        start: Start = "up",
    ) -> None:
        super().__init__()
        self.num_prefix = num_prefix
        self.down = nn.Linear(channels, width)
        up, operation = nn.Linear(width, channels), make(width)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(up.bias)
        for parameter in operation.parameters() if start == "operation" else [up.weight]:
            nn.init.zeros_(parameter)
        self.up = TokenWrapper(operation, up, num_frames, width, layout or TokenLayout())

    def forward(self, x: Tensor) -> Tensor:
        if not self.num_prefix:
            return x + self.up(self.down(x))
        prefix, places = x[:, : self.num_prefix], x[:, self.num_prefix :]
        return torch.cat([prefix, places + self.up(self.down(places))], dim=1)


def insert_adapters(
    network: nn.Module,
    blocks: Sequence[TokenBlock],
    make: OperationFactory,
    *,
    num_frames: int,
    width: float = 0.5,
    places: AdapterPlaces = "both",
    start: Start = "up",
) -> list[str]:
    """Put adapters on the residual stream of a transformer's blocks, in place.

    Args:
        network: takes frames (B * T, C, H, W).
        blocks: where; see `find_token_blocks`.
        make: the operation for a number of channels.
        num_frames: T.
        width: channels of the adapters as a fraction of those of the tokens.
        places: the branches that they come before: `attention`, `mlp`, or `both`.
        start: as in `TemporalAdapter`.

    Returns:
        The names of the adapters inside the network.

    Raises:
        ValueError: no block can take them.
    """
    branches: tuple[Branch, ...] = ("attention", "mlp") if places == "both" else (places,)
    device = device_of(network)
    names, reasons = [], Counter[str]()
    for block in blocks:
        adapters: dict[Branch, nn.Module] = {
            branch: TemporalAdapter(
                block.channels,
                max(1, round(width * block.channels)),
                make,
                num_frames=num_frames,
                num_prefix=block.num_prefix,
                layout=block.layout,
                start=start,
            ).to(device)
            for branch in branches
        }
        try:
            adapted = adapt_stream(network.get_submodule(block.name), block, adapters)
        except ValueError as error:
            reasons[str(error)] += 1
            continue
        network.set_submodule(block.name, adapted)
        names += [f"{block.name}.adapter_{branch}" for branch in branches]
    if not names:
        raise ValueError(
            f"no block of {type(network).__name__} takes adapters "
            f"({'; '.join(reasons) or 'found no block of tokens'}): use mstvit, on keys and values"
        )
    if reasons:
        logger.info("%d blocks take no adapters: %s", reasons.total(), "; ".join(reasons))
    return names
