"""Networks as others published them, in plain torch, to hold imported weights against.

Written after the papers and the names in their files, with slices for shifts and `nn.Conv3d` for
temporal filters; nothing of mixtconv is used.
"""

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn


class Shift(nn.Module):
    """A convolution of TSM: before it an eighth of the channels moves each way in time."""

    def __init__(self, net: nn.Module, num_frames: int) -> None:
        super().__init__()
        self.net, self.num_frames = net, num_frames

    def forward(self, x: Tensor) -> Tensor:
        return self.net(shifted(x, self.num_frames))


def shifted(x: Tensor, num_frames: int) -> Tensor:
    """Frames (B * T, C, H, W); the first eighth takes the next frame, the second the one before."""
    clip = x.reshape(-1, num_frames, *x.shape[1:])
    fold = clip.shape[2] // 8
    out = torch.zeros_like(clip)
    out[:, :-1, :fold] = clip[:, 1:, :fold]
    out[:, 1:, fold : 2 * fold] = clip[:, :-1, fold : 2 * fold]
    out[:, :, 2 * fold :] = clip[:, :, 2 * fold :]
    return out.reshape(x.shape)


class Mixed(nn.Module):
    """A convolution of MixTConv: before it each quarter of the channels has its own filter."""

    def __init__(self, net: nn.Conv2d, num_frames: int) -> None:
        super().__init__()
        quarter = net.in_channels // 4
        for k in (1, 3, 5, 7):
            conv = nn.Conv3d(
                quarter,
                quarter,
                (k, 1, 1),
                padding=((k - 1) // 2, 0, 0),
                bias=False,
                groups=quarter,
            )
            self.add_module(f"conv1{k}d", conv)
        self.net, self.num_frames = net, num_frames

    def forward(self, x: Tensor) -> Tensor:
        clip = x.reshape(-1, self.num_frames, *x.shape[1:]).transpose(1, 2)  # (B, C, T, H, W)
        filters = (self.conv11d, self.conv13d, self.conv15d, self.conv17d)
        parts = [conv(part) for conv, part in zip(filters, clip.chunk(4, dim=1), strict=True)]
        return self.net(torch.cat(parts, dim=1).transpose(1, 2).reshape(x.shape))


class NonLocal(nn.Module):
    """A block of the temporal-shift-module repository, followed by attention over the clip."""

    def __init__(self, block: nn.Module, channels: int, num_frames: int) -> None:
        super().__init__()
        self.block, self.num_frames = block, num_frames
        inner = channels // 2
        self.nl = nn.Module()
        self.nl.theta = nn.Conv3d(channels, inner, 1)
        self.nl.phi = nn.Sequential(nn.Conv3d(channels, inner, 1), nn.MaxPool3d((1, 2, 2)))
        self.nl.g = nn.Sequential(nn.Conv3d(channels, inner, 1), nn.MaxPool3d((1, 2, 2)))
        self.nl.W = nn.Sequential(nn.Conv3d(inner, channels, 1), nn.BatchNorm3d(channels))

    def forward(self, x: Tensor) -> Tensor:
        frames = self.block(x)
        clip = frames.reshape(-1, self.num_frames, *frames.shape[1:]).transpose(1, 2)
        looks, at = self.nl.theta(clip).flatten(2), self.nl.phi(clip).flatten(2)  # (B, C / 2, N)
        weights = torch.einsum("bci,bcj->bij", looks, at).softmax(dim=2)
        seen = torch.einsum("bij,bcj->bci", weights, self.nl.g(clip).flatten(2))
        out = clip + self.nl.W(seen.unflatten(2, clip.shape[2:]))
        return out.transpose(1, 2).reshape(frames.shape)


def with_non_local(network: nn.Module, num_frames: int) -> nn.Module:
    """Attention after every second block of the second and third stage of ResNet-50."""
    for stage, channels in ((network.layer2, 512), (network.layer3, 1024)):
        for index in range(0, len(stage), 2):
            stage[index] = NonLocal(stage[index], channels, num_frames)
    return network


class TSN(nn.Module):
    """The recognizer of the temporal-shift-module repository: clips (B, T, C, H, W) to logits."""

    def __init__(self, base_model: nn.Module, num_classes: int, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.base_model = base_model
        self.dropout = dropout
        width = base_model.fc.in_features
        if dropout:
            base_model.fc = nn.Dropout(dropout)
            self.new_fc = nn.Linear(width, num_classes)
        else:
            base_model.fc = nn.Linear(width, num_classes)

    def forward(self, clips: Tensor) -> Tensor:
        out = self.base_model(clips.flatten(0, 1))
        out = self.new_fc(out) if self.dropout else out
        return out.reshape(*clips.shape[:2], -1).mean(dim=1)


def resnet(depth: int, *, in_channels: int = 3, num_classes: int = 1000) -> nn.Module:
    network = getattr(torchvision.models, f"resnet{depth}")(num_classes=num_classes)
    if in_channels != 3:
        network.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
    return network


def wrap(network: nn.Module, wrapper: type[nn.Module], num_frames: int, step: int = 1) -> nn.Module:
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for index, block in enumerate(stage):
            if index % step == 0:
                block.conv1 = wrapper(block.conv1, num_frames)
    return network


class ConvBN(nn.Module):
    """A convolution with its normalisation, as mmaction2 has it."""

    def __init__(
        self, c_in: int, c_out: int, size: int, stride: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, size, stride, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x.relu() if self.relu else x


class MMBlock(nn.Module):
    """A bottleneck of mmaction2."""

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(c_in, width, 1)
        self.conv2 = ConvBN(width, width, 3, stride)
        self.conv3 = ConvBN(width, 4 * width, 1, relu=False)
        if stride != 1 or c_in != 4 * width:
            self.downsample = ConvBN(c_in, 4 * width, 1, stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        return (self.conv3(self.conv2(self.conv1(x))) + shortcut).relu()


class MMBackbone(nn.Module):
    """ResNet-50 of mmaction2."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = ConvBN(in_channels, 64, 7, 2)
        c_in = 64
        for stage, (depth, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True)):
            blocks = []
            for index in range(depth):
                blocks.append(MMBlock(c_in, width, 2 if index == 0 and stage else 1))
                c_in = 4 * width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.conv1(x), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean(dim=(2, 3))


class MMRecognizer(nn.Module):
    """TSM or TSN of mmaction2; TSN averages features where TSM averages logits."""

    def __init__(self, num_classes: int, num_frames: int | None, in_channels: int = 3) -> None:
        super().__init__()
        self.backbone = MMBackbone(in_channels)
        self.cls_head = nn.Module()
        self.cls_head.fc_cls = nn.Linear(2048, num_classes)
        self.num_frames = num_frames
        for block in (m for m in self.backbone.modules() if isinstance(m, MMBlock)):
            if num_frames is not None:
                block.conv1.conv = Shift(block.conv1.conv, num_frames)

    def forward(self, clips: Tensor) -> Tensor:
        features = self.backbone(clips.flatten(0, 1)).reshape(*clips.shape[:2], -1)
        if self.num_frames is None:
            return self.cls_head.fc_cls(features.mean(dim=1))
        return self.cls_head.fc_cls(features).mean(dim=1)


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights, statistics and filters, none of which is what networks begin with."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.2),
                (module.bias, -0.2, 0.2),
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.6, 1.8),
            ):
                tensor.data.uniform_(low, high, generator=generator)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        elif isinstance(module, nn.Conv3d) and module.groups == 1:
            module.weight.data.normal_(0, 0.7 / module.in_channels**0.5, generator=generator)
        elif isinstance(module, nn.Conv3d):
            module.weight.data.uniform_(-0.6, 0.9, generator=generator)
        elif isinstance(module, nn.Linear):
            module.bias.data.uniform_(-1, 1, generator=generator)
    return network.eval()


def save(network: nn.Module, path: Path, *, prefix: str = "module.", **others: object) -> Path:
    """A checkpoint as training scripts write it; legacy pickles end in `.pth.tar`."""
    state = {prefix + key: value for key, value in network.state_dict().items()}
    torch.save(
        {**others, "state_dict": state},
        path,
        _use_new_zipfile_serialization=not path.name.endswith(".pth.tar"),
    )
    return path
