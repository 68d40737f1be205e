"""Non-local blocks: every place of a clip attends to all others.

From "Non-local Neural Networks" (arXiv 1711.07971), the embedded Gaussian: with 1x1x1 convolutions
theta, phi, g to half of the channels, and places pooled 2x2 in space for phi and g,

    y = x + norm(out(softmax(scale * theta(x)^T phi(x)) g(x)))

and a normalisation that begins at zero, so that a network with the block starts as the one without.
There are two forms, each equal to published code:

    original   phi(pool(x)), g(pool(x)), scaled by the root of the channels inside
    tsm        pool(phi(x)), pool(g(x)), not scaled; of TSM (arXiv 1811.08383)

Different here: the attention is torch's fused one, which does not keep the matrix of all pairs.
"""

import logging
from collections.abc import Sequence
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv._names import unknown_name
from mixtconv.models.structure.network_trace import find_outputs
from mixtconv.models.structure.residual_branches import find_residual_sites
from mixtconv.models.wrappers.wrapping import WrappedModule, replace_module
from mixtconv.ops import fold_time, unfold_time

NonLocalForm = Literal["original", "tsm"]

logger = logging.getLogger(__name__)


def attend(theta: Tensor, phi: Tensor, g: Tensor, *, scale: float) -> Tensor:
    """Attention of each place to all others: softmax over j of scale * theta_i . phi_j, times g_j.

    Args:
        theta: (B, C, N), the queries.
        phi, g: (B, C, M), the keys and the values.
        scale: factor of the products.

    Returns:
        (B, C, N).

    >>> import torch
    >>> attend(torch.zeros(2, 8, 6), torch.zeros(2, 8, 4), torch.zeros(2, 8, 4), scale=1.0).shape
    torch.Size([2, 8, 6])
    """
    query, key, value = (x.transpose(1, 2)[:, None] for x in (theta, phi, g))  # (B, 1, N or M, C)
    gathered = F.scaled_dot_product_attention(query, key, value, scale=scale)  # (B, 1, N, C)
    return gathered[:, 0].transpose(1, 2)  # (B, C, N)


class NonLocalBlock(nn.Module):
    """A non-local block over clips in the layout of 3D convolutions: (B, C, T, H, W) -> same.

    Args:
        channels: C.
        form: `original` or `tsm`.

    >>> import torch
    >>> NonLocalBlock(16)(torch.zeros(2, 16, 4, 6, 6)).shape
    torch.Size([2, 16, 4, 6, 6])
    """

    def __init__(self, channels: int, *, form: NonLocalForm = "original") -> None:
        super().__init__()
        if form not in get_args(NonLocalForm):
            raise ValueError(f"form is {form!r}; allowed are 'original' and 'tsm'")
        inner = max(1, channels // 2)
        self.pools_first = form == "original"
        self.scale = inner**-0.5 if form == "original" else 1.0
        self.theta = nn.Conv3d(channels, inner, 1)
        self.phi = nn.Conv3d(channels, inner, 1)
        self.g = nn.Conv3d(channels, inner, 1)
        # TSM's code leaves out the last row and column of maps of odd size
        self.pool = nn.MaxPool3d((1, 2, 2), ceil_mode=form == "original")
        self.out = nn.Conv3d(inner, channels, 1)
        self.norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        theta = self.theta(x).flatten(2)  # (B, C / 2, T * H * W)
        if self.pools_first:
            pooled = self.pool(x)  # (B, C, T, H / 2, W / 2)
            phi, g = self.phi(pooled), self.g(pooled)
        else:
            phi, g = self.pool(self.phi(x)), self.pool(self.g(x))  # (B, C / 2, T, H / 2, W / 2)
        gathered = attend(theta, phi.flatten(2), g.flatten(2), scale=self.scale)
        return x + self.norm(self.out(gathered.unflatten(2, x.shape[2:])))


class NonLocalFrames(nn.Module):
    """A non-local block over the frames of a 2D network: (B * T, C, H, W) -> same.

    Args:
        block: (B, C, T, H, W) -> same.
        num_frames: T.
    """

    def __init__(self, block: NonLocalBlock, num_frames: int) -> None:
        super().__init__()
        self.block = block
        self.num_frames = num_frames

    def forward(self, x: Tensor) -> Tensor:
        clip = unfold_time(x, self.num_frames).transpose(1, 2)  # (B, C, T, H, W)
        return fold_time(self.block(clip).transpose(1, 2))  # (B * T, C, H, W)


class NonLocalOutput(WrappedModule):
    """A module of a 2D network followed by a non-local block.

    Args:
        module: frames (B * T, ...) to feature maps (B * T, C, H, W).
        non_local: feature maps (B * T, C, H, W) to the same.
    """

    def __init__(self, module: nn.Module, non_local: NonLocalFrames) -> None:
        super().__init__(module)
        self.non_local = non_local

    def forward(self, x: Tensor) -> Tensor:
        return self.non_local(self.module(x))


def insert_non_local(
    network: nn.Module,
    *,
    num_frames: int,
    after: Sequence[str] | None = None,
    form: NonLocalForm = "tsm",
    image_size: int | None = None,
    in_channels: int | None = None,
) -> nn.Module:
    """Insert non-local blocks into a 2D network, in place; it may have temporal operations already.

    Args:
        network: takes frames (B * T, C, H, W).
        num_frames: T.
        after: dotted names of modules that give feature maps; by default every second residual
            block, from the first, of the two stages before the last (TSM's code in ResNet-50:
            layer2.0, layer2.2, layer3.0, layer3.2, layer3.4).
        form: as in `NonLocalBlock`.
        image_size, in_channels: as in `insert_temporal`.

    Raises:
        ValueError: a module that does not exist or gives no feature map, fewer than three stages of
            residual blocks to choose from, or a network that has non-local blocks already.

    >>> import timm, torch
    >>> network = timm.create_model("resnet18", num_classes=0)
    >>> insert_non_local(network, num_frames=4, after=["layer3"])(torch.zeros(8, 3, 64, 64)).shape
    torch.Size([8, 512])
    """
    if any(isinstance(module, NonLocalFrames) for module in network.modules()):
        raise ValueError("the network has non-local blocks already; start from one without")
    if num_frames < 1:
        raise ValueError(f"num_frames is {num_frames}; a clip has at least 1 frame")
    if after is None:
        after = _middle_blocks(network, image_size, in_channels)
    channels = _channels_given(network, after, image_size, in_channels)
    parameter = next(network.parameters())
    for name in sorted(after, key=lambda name: -name.count(".")):
        block = NonLocalBlock(channels[name], form=form).to(parameter)
        wrapped = NonLocalOutput(network.get_submodule(name), NonLocalFrames(block, num_frames))
        replace_module(network, name, wrapped)
    logger.info("non-local blocks go after %s", ", ".join(after))
    return network


def _middle_blocks(
    network: nn.Module, image_size: int | None, in_channels: int | None
) -> list[str]:
    sites = find_residual_sites(network, image_size=image_size, in_channels=in_channels)
    stages: dict[str, dict[str, None]] = {}
    for site in sites:
        stages.setdefault(site.stage, {})[site.block] = None
    if len(stages) < 3:
        raise ValueError(
            f"{type(network).__name__} has {len(stages)} stages of residual blocks, of which the "
            "two before the last take non-local blocks; name modules with after=[...]"
        )
    return [block for stage in list(stages.values())[-3:-1] for block in list(stage)[::2]]


def _channels_given(
    network: nn.Module, names: Sequence[str], image_size: int | None, in_channels: int | None
) -> dict[str, int]:
    """Channels of the modules' feature maps, by running the network once."""
    modules = dict(network.named_modules())
    for name in names:
        if not name or name not in modules:
            raise unknown_name("module of the network", name, filter(None, modules))
    shapes = find_outputs(network, image_size=image_size, in_channels=in_channels)
    for name in names:
        if len(shapes.get(name, ())) != 4:
            raise ValueError(
                f"module {name!r} gives no feature map (N, C, H, W) when the network runs, so no "
                "non-local block can go after it; name a residual block"
            )
    return {name: shapes[name][1] for name in names}
