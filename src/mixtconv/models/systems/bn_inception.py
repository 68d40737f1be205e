"""BN-Inception, the 2D network of TSN, TRN and ECO, which timm lacks; registered with timm.

From "Batch Normalization" (arXiv 1502.03167), as `bn_inception.yaml` of TSN's published models has
it. Its modules are named as in those models (`inception_3a_double_3x3_1_bn.weight`), so that their
weights load as they are. Those take pixels as B, G, R of 0 to 255, less a mean.

Each block begins with an identity (`inception_3a_input`): a place for a temporal operation, since
there is no residual branch to put one into. TSM's published code shifts the same
inputs. Different here: the last pooling takes maps of any size, and batch normalisation averages
its statistics at torch's usual rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

__all__ = ["BNInception"]

StateDict = Mapping[str, Tensor]

MEAN_RGB = (128.0, 117.0, 104.0)
"""Mean of R, G and B in 0 to 255 that the published weights expect, with a deviation of 1."""


@dataclass(frozen=True)
class _Block:
    """Channels of an inception block: four branches side by side."""

    name: str
    single: int
    """The 1x1 convolution; 0 where there is none, which is where the stride is 2."""
    reduced: tuple[int, int]
    """1x1, 3x3."""
    double: tuple[int, int]
    """1x1, then two 3x3 of the same width."""
    pooled: int
    """Pooling and a 1x1 convolution; 0 passes the pooled map through."""
    pooling: type[nn.Module] = nn.AvgPool2d

    @property
    def stride(self) -> int:
        return 1 if self.single else 2

    def out_channels(self, in_channels: int) -> int:
        pooled = self.pooled or in_channels
        return self.single + self.reduced[1] + self.double[1] + pooled


BLOCKS = (
    _Block("inception_3a", 64, (64, 64), (64, 96), 32),
    _Block("inception_3b", 64, (64, 96), (64, 96), 64),
    _Block("inception_3c", 0, (128, 160), (64, 96), 0, nn.MaxPool2d),
    _Block("inception_4a", 224, (64, 96), (96, 128), 128),
    _Block("inception_4b", 192, (96, 128), (96, 128), 128),
    _Block("inception_4c", 160, (128, 160), (128, 160), 128),
    _Block("inception_4d", 96, (128, 192), (160, 192), 128),
    _Block("inception_4e", 0, (128, 192), (192, 256), 0, nn.MaxPool2d),
    _Block("inception_5a", 352, (192, 320), (160, 224), 128),
    _Block("inception_5b", 352, (192, 320), (192, 224), 128, nn.MaxPool2d),
)
STEM_CHANNELS = 192


class BNInception(nn.Module):
    """Images to logits or pooled features: (N, C, H, W) -> (N, num_classes) or (N, 1024).

    Height and width are multiples of 32, so that the branches of every block meet at one size.

    Args:
        num_classes: width of the last layer; 0 leaves it out.
        in_chans: C.

    >>> BNInception(num_classes=0)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 1024])
    """

    channel_order = "bgr"
    """Order of the colours of a pixel that published weights expect."""
    flow_mean = 128 / 255
    """Pixel value of zero flow, in 0 to 1, that published weights for optical flow expect."""
    temporal_stages: ClassVar[dict[str, tuple[str, ...]]] = {
        "conv2": ("conv2_input",),
        "inception_3": ("inception_3a_input", "inception_3b_input", "inception_3c_input"),
        "inception_4": tuple(f"inception_4{letter}_input" for letter in "abcde"),
        "inception_5": ("inception_5a_input", "inception_5b_input"),
    }
    """Places for a temporal operation: stage -> modules before which it can be inserted."""

    def __init__(self, num_classes: int = 1000, in_chans: int = 3) -> None:
        super().__init__()
        self.num_classes = num_classes
        self._add_conv("conv1_7x7_s2", in_chans, 64, kernel=7, stride=2)
        self.pool1_3x3_s2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2_input = nn.Identity()
        self._add_conv("conv2_3x3_reduce", 64, 64)
        self._add_conv("conv2_3x3", 64, STEM_CHANNELS, kernel=3)
        self.pool2_3x3_s2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        channels = STEM_CHANNELS
        for block in BLOCKS:
            self._add_block(block, channels)
            channels = block.out_channels(channels)
        self.num_features = channels
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        features = self.forward_features(x)  # (N, 1024, H / 32, W / 32)
        return self.fc(self.global_pool(features).flatten(1))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last feature map: (N, C, H, W) -> (N, 1024, H / 32, W / 32)."""
        x = self.stem(x)
        for block in BLOCKS:
            x = self.run_block(block, x)
        return x

    def stem(self, x: Tensor) -> Tensor:
        """The layers before the first block: (N, C, H, W) -> (N, 192, H / 8, W / 8)."""
        x = self.pool1_3x3_s2(self.run_conv("conv1_7x7_s2", x))
        x = self.run_conv("conv2_3x3_reduce", self.conv2_input(x))
        return self.pool2_3x3_s2(self.run_conv("conv2_3x3", x))

    def run_block(self, block: _Block, x: Tensor, *, double: Tensor | None = None) -> Tensor:
        """One inception block: (N, C, H, W) -> (N, C', H / stride, W / stride).

        Args:
            block: one of `BLOCKS`.
            x: its input.
            double: the result of `start_double` for `x`, if it was computed before.
        """
        name = block.name
        x = self.get_submodule(f"{name}_input")(x)
        branches = [self.run_conv(f"{name}_1x1", x)] if block.single else []
        branches.append(self.run_conv(f"{name}_3x3", self.run_conv(f"{name}_3x3_reduce", x)))
        if double is None:
            double = self.start_double(block, x)
        branches.append(self.run_conv(f"{name}_double_3x3_2", double))
        pooled = self.get_submodule(f"{name}_pool")(x)
        branches.append(self.run_conv(f"{name}_pool_proj", pooled) if block.pooled else pooled)
        return torch.cat(branches, dim=1)

    def start_double(self, block: _Block, x: Tensor) -> Tensor:
        """The branch of two 3x3 up to the first: (N, C, H, W) -> (N, C', H, W)."""
        reduced = self.run_conv(f"{block.name}_double_3x3_reduce", x)
        return self.run_conv(f"{block.name}_double_3x3_1", reduced)

    def run_conv(self, name: str, x: Tensor) -> Tensor:
        """A convolution with its normalisation and activation."""
        for part in (name, f"{name}_bn", f"{name}_relu"):
            x = self.get_submodule(part)(x)
        return x

    def keep_until(self, block: _Block) -> None:
        """Delete all modules but those of `stem`, earlier blocks, and this `start_double`."""
        later = tuple(other.name for other in BLOCKS[BLOCKS.index(block) + 1 :])
        kept = (f"{block.name}_double_3x3_reduce", f"{block.name}_double_3x3_1")
        for name in list(self._modules):
            is_behind = name.startswith((*later, "global_pool", "fc"))
            if is_behind or (name.startswith(block.name) and not name.startswith(kept)):
                del self._modules[name]

    def _add_block(self, block: _Block, channels: int) -> None:
        name, stride = block.name, block.stride
        self.add_module(f"{name}_input", nn.Identity())
        reduce, wide = block.reduced
        double_reduce, double = block.double
        if block.single:
            self._add_conv(f"{name}_1x1", channels, block.single)
        self._add_conv(f"{name}_3x3_reduce", channels, reduce)
        self._add_conv(f"{name}_3x3", reduce, wide, kernel=3, stride=stride)
        self._add_conv(f"{name}_double_3x3_reduce", channels, double_reduce)
        self._add_conv(f"{name}_double_3x3_1", double_reduce, double, kernel=3)
        self._add_conv(f"{name}_double_3x3_2", double, double, kernel=3, stride=stride)
        pool = block.pooling(3, stride=stride, padding=2 - stride, ceil_mode=True)
        self.add_module(f"{name}_pool", pool)
        if block.pooled:
            self._add_conv(f"{name}_pool_proj", channels, block.pooled)

    def _add_conv(
        self, name: str, channels: int, width: int, *, kernel: int = 1, stride: int = 1
    ) -> None:
        conv = nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2)
        self.add_module(name, conv)
        self.add_module(f"{name}_bn", nn.BatchNorm2d(width))
        self.add_module(f"{name}_relu", nn.ReLU(inplace=True))


def read_published(state: StateDict, network: nn.Module) -> dict[str, Tensor]:
    """Published weights of BN-Inception under this network's names.

    Normalisation is stored as (1, C) in some files, and the last layer named `last_linear`.
    """
    target = network.state_dict()
    renamed = {key.replace("last_linear.", "fc."): value for key, value in state.items()}
    return {
        key: value.reshape(target[key].shape)
        if key in target and "_bn." in key and value.numel() == target[key].numel()
        else value
        for key, value in renamed.items()
    }


default_cfgs = generate_default_cfgs(
    {
        "bninception": {
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "crop_pct": 0.875,
            "interpolation": "bilinear",
            "mean": tuple(value / 255 for value in MEAN_RGB),
            "std": (1 / 255,) * 3,
            "first_conv": "conv1_7x7_s2",
            "classifier": "fc",
        }
    }
)


@register_model
def bninception(pretrained: bool = False, **settings: Any) -> BNInception:
    """BN-Inception by timm's registry; its weights come from files alone."""
    return build_model_with_cfg(
        BNInception, "bninception", pretrained, pretrained_filter_fn=read_published, **settings
    )
