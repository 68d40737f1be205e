"""ECO: a 2D network over the frames of a clip, and a 3D network over its feature maps.

From "ECO: Efficient Convolutional Network for Online Video Understanding" (arXiv 1804.09066), as
its published model descriptions have it:

- the frames pass the beginning of BN-Inception, up to the first 3x3 convolution of the longest
  branch of block 3c: 96 channels of a resolution of H / 8;
- stacked in time, they pass a 3D ResNet-18 from its third stage on, whose blocks normalise first
  and whose strided shortcuts are 3x3x3 convolutions: 512 channels for the clip;
- in the full network (`eco_8`, `eco_16`) the frames also pass the rest of BN-Inception, whose
  average over the frames, 1024 channels, is concatenated; ECO Lite has no such branch.

Weights of BN-Inception start its 2D part.
"""

import torch
from torch import Tensor, nn

from mixtconv.models.systems.bn_inception import BLOCKS, BNInception
from mixtconv.ops import fold_time, unfold_time

FRAMES_MULTIPLE = 4
"""The 3D part halves the number of frames twice."""


class EcoNetwork(nn.Module):
    """Clips to features: (B, T, C, H, W) -> (B, 1536), or (B, 512) for ECO Lite.

    Args:
        frames: BN-Inception without its last layer.
        lite: leave out the second half of the 2D network.

    >>> import torch
    >>> EcoNetwork(BNInception(0), lite=True).eval()(torch.zeros(1, 4, 3, 32, 32)).shape
    torch.Size([1, 512])
    """

    network_names = ("frames", "volume")
    """Attributes with its 2D and its 3D network."""

    def __init__(self, frames: BNInception, *, lite: bool = False) -> None:
        super().__init__()
        self.frames = EcoFrames(frames, lite=lite)
        self.volume = Eco3d()
        self.num_features = Eco3d.num_features + (0 if lite else frames.num_features)

    def forward(self, video: Tensor) -> Tensor:
        num_frames = video.shape[1]
        early, late = self.frames(fold_time(video))  # (B * T, 96, H / 8, W / 8), (B * T, 1024)
        clip = unfold_time(early, num_frames).transpose(1, 2)  # (B, 96, T, H / 8, W / 8)
        volume = self.volume(clip)  # (B, 512)
        if late is None:
            return volume
        return torch.cat([unfold_time(late, num_frames).mean(dim=1), volume], dim=1)  # (B, 1536)


class EcoFrames(nn.Module):
    """The 2D part: N frames (N, C, H, W) to (N, 96, H / 8, W / 8) and to (N, 1024), pooled.

    The first is for the 3D part. ECO Lite has None in place of the second.
    """

    def __init__(self, network: BNInception, *, lite: bool) -> None:
        super().__init__()
        if lite:
            network.keep_until(BLOCKS[2])
        self.network, self.lite = network, lite

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        x = self.network.stem(x)
        for block in BLOCKS[:2]:
            x = self.network.run_block(block, x)
        early = self.network.start_double(BLOCKS[2], x)
        if self.lite:
            return early, None
        x = self.network.run_block(BLOCKS[2], x, double=early)
        for block in BLOCKS[3:]:
            x = self.network.run_block(block, x)
        return early, self.network.global_pool(x).flatten(1)


class Eco3d(nn.Module):
    """The 3D part: (B, 96, T, H, W) -> (B, 512).

    A block passes its sum to the next shortcut, and the normalised sum to the next convolution.

    >>> import torch
    >>> Eco3d().eval()(torch.zeros(1, 96, 4, 4, 4)).shape
    torch.Size([1, 512])
    """

    num_features = 512

    def __init__(self, in_channels: int = 96) -> None:
        super().__init__()
        self.res3a_2 = _conv(in_channels, 128)
        self.res3a_bn = nn.BatchNorm3d(128)
        self.res3a_relu = nn.ReLU(inplace=True)
        self.res3b = _Block(128, 128)
        self.res4a = _Block(128, 256, stride=2)
        self.res4b = _Block(256, 256)
        self.res5a = _Block(256, 512, stride=2)
        self.res5b = _Block(512, 512)

    def forward(self, x: Tensor) -> Tensor:
        total = self.res3a_2(x)
        normed = self.res3a_relu(self.res3a_bn(total))
        for block in (self.res3b, self.res4a, self.res4b, self.res5a, self.res5b):
            total, normed = block(total, normed)
        return normed.flatten(2).mean(dim=2)  # (B, 512)


class _Block(nn.Module):
    """A residual block that normalises after the sum: (sum, normalised sum) -> the same two.

    All are (B, C, T, H, W). The shortcut is the input's sum; with a stride of 2 it is a convolution
    of the normalised one.
    """

    def __init__(self, channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = _conv(channels, width, stride)
        self.bn1 = nn.BatchNorm3d(width)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = _conv(width, width)
        self.down = _conv(channels, width, stride) if stride > 1 else None
        self.bn = nn.BatchNorm3d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, total: Tensor, normed: Tensor) -> tuple[Tensor, Tensor]:
        shortcut = total if self.down is None else self.down(normed)
        total = self.conv2(self.relu1(self.bn1(self.conv1(normed)))) + shortcut
        return total, self.relu(self.bn(total))


def _conv(channels: int, width: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(channels, width, 3, stride=stride, padding=1)
