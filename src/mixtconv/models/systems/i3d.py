"""I3D of ResNet-50: a 2D network whose filters are inflated over time.

From "Quo Vadis, Action Recognition?" (arXiv 1705.07750) and "Non-local Neural Networks" (arXiv
1711.07971, which made it of ResNet-50), in the form of "Videos as Space-Time Region Graphs" (arXiv
1806.01810), whose last stage keeps its resolution: this is the form whose cost the tables of
"MixTConv" (arXiv 2001.06769) print. Of a clip of 32 frames of 224 pixels:

    conv1  5x7x7, stride 1x2x2          64 x 32 x 112 x 112
    pool   1x3x3, stride 1x2x2          64 x 32 x 56 x 56
    layer1 3 blocks, 3x1x1 in each     256 x 32 x 56 x 56
    pool   2x1x1, stride 2x1x1         256 x 16 x 56 x 56
    layer2 4 blocks, 3x1x1 in 0, 2     512 x 16 x 28 x 28
    layer3 6 blocks, 3x1x1 in 0, 2, 4 1024 x 16 x 14 x 14
    layer4 3 blocks, 3x1x1 in 1       2048 x 16 x 14 x 14

Modules are named as in the 2D ResNet-50 of timm and torchvision, so that its weights fit.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mixtconv.models.wrappers.non_local import NonLocalBlock

EXPANSION = 4
NUM_FEATURES = 2048


@dataclass(frozen=True)
class _Stage:
    name: str
    width: int
    num_blocks: int
    stride: int
    temporal: tuple[int, ...]
    """Blocks whose first convolution sees three frames."""


STAGES = (
    _Stage("layer1", 64, 3, 1, (0, 1, 2)),
    _Stage("layer2", 128, 4, 2, (0, 2)),
    _Stage("layer3", 256, 6, 2, (0, 2, 4)),
    _Stage("layer4", 512, 3, 1, (1,)),
)

NON_LOCAL_AFTER = ("layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5")
"""The five blocks of "Non-local Neural Networks"."""


class I3D(nn.Module):
    """Clips to feature maps: (B, T, C, H, W) -> (B, 2048, T / 2, H / 16, W / 16).

    Args:
        in_channels: C.
        non_local_after: blocks that a non-local block follows, such as `NON_LOCAL_AFTER`.

    >>> import torch
    >>> I3D()(torch.zeros(1, 4, 3, 32, 32)).shape
    torch.Size([1, 2048, 2, 2, 2])
    """

    def __init__(self, in_channels: int = 3, *, non_local_after: Collection[str] = ()) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(
            in_channels, 64, (5, 7, 7), stride=(1, 2, 2), padding=(2, 3, 3), bias=False
        )
        self.bn1 = nn.BatchNorm3d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        self.pool_time = nn.MaxPool3d((2, 1, 1))
        channels = 64
        for stage in STAGES:
            blocks = []
            for index in range(stage.num_blocks):
                block = Bottleneck3d(
                    channels,
                    stage.width,
                    kernel_time=3 if index in stage.temporal else 1,
                    stride=stage.stride if index == 0 else 1,
                    non_local=f"{stage.name}.{index}" in non_local_after,
                )
                channels = stage.width * EXPANSION
                blocks.append(block)
            self.add_module(stage.name, nn.Sequential(*blocks))

    def forward(self, video: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(video.transpose(1, 2))))  # (B, 64, T, H / 2, W / 2)
        x = self.maxpool(x)  # (B, 64, T, H / 4, W / 4)
        for stage in STAGES:
            x = self.get_submodule(stage.name)(x)
            if stage.name == "layer1":
                x = self.pool_time(x)  # (B, 256, T / 2, H / 4, W / 4)
        return x  # (B, 2048, T / 2, H / 16, W / 16)


class Bottleneck3d(nn.Module):
    """A residual block (B, C, T, H, W) -> (B, 4 * width, T, H / stride, W / stride).

    Args:
        channels: C.
        width: channels inside.
        kernel_time: frames that the first convolution sees.
        stride: of the 3x3 convolution.
        non_local: whether a non-local block follows.
    """

    def __init__(
        self, channels: int, width: int, *, kernel_time: int, stride: int, non_local: bool
    ) -> None:
        super().__init__()
        out = width * EXPANSION
        self.conv1 = nn.Conv3d(
            channels, width, (kernel_time, 1, 1), padding=(kernel_time // 2, 0, 0), bias=False
        )
        self.bn1 = nn.BatchNorm3d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv3d(
            width, width, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False
        )
        self.bn2 = nn.BatchNorm3d(width)
        self.act2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv3d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(out)
        self.act3 = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if channels != out:
            shortcut = nn.Conv3d(channels, out, 1, stride=(1, stride, stride), bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(out))
        self.non_local = NonLocalBlock(out) if non_local else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.bn1(self.conv1(x)))
        y = self.act2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y)) + self.downsample(x)
        return self.non_local(self.act3(y))


def inflate(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Weights of a 2D network for one that has its modules as 3D ones.

    A filter (O, I, H, W) is repeated K times over time and divided by K: on a static clip, the 3D
    filter gives the result of the 2D one on a frame, except near both ends of the clip, which is
    padded with zeros.

    Args:
        state: of the 2D network.
        network: the 3D network; weights that it alone has are not returned.

    >>> import torch
    >>> kernel = inflate({"weight": torch.ones(1, 1, 3, 3)}, nn.Conv3d(1, 1, (2, 3, 3)))["weight"]
    >>> kernel.shape, kernel.unique()
    (torch.Size([1, 1, 2, 3, 3]), tensor([0.5000]))
    """
    target = network.state_dict()
    return {
        key: value
        if value.ndim != 4
        else (value[:, :, None] / target[key].shape[2]).expand_as(target[key]).contiguous()
        for key, value in state.items()
        if key in target
    }
