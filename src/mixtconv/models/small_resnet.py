"""A residual network of under a million parameters, for training from nothing on few videos.

One basic block a stage ("Deep Residual Learning for Image Recognition", arXiv 1512.03385), four
stages. Different here: the stem is one 7x7 convolution of stride 4 with the width of the first
stage. On small pictures the usual one of stride 2, 64 wide, with its max pooling takes over half of
the time of such a network, and on real clips of 64 pixels is no better for it
(docs/real-videos.md). There are no published weights.
"""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from mixtconv.models.spec import IMAGENET_MEAN, IMAGENET_STD

default_cfgs = generate_default_cfgs(
    {
        "small_resnet10": {
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "input_size": (3, 64, 64),
            "first_conv": "conv1",
            "classifier": "fc",
        }
    }
)


class SmallResNet(ResNet):
    """Images (N, C, H, W) -> features (N, D), one block a stage.

    Args:
        channels: widths of the stages, the first also that of the stem, the last D.
        in_chans: C.
        settings: those of timm's `ResNet`.
    """

    def __init__(
        self, *, channels: tuple[int, int, int, int], in_chans: int = 3, **settings: Any
    ) -> None:
        super().__init__(
            block=BasicBlock, layers=(1, 1, 1, 1), channels=channels, in_chans=in_chans, **settings
        )
        width = channels[0]
        self.conv1 = nn.Conv2d(in_chans, width, kernel_size=7, stride=4, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity()
        self.layer1 = nn.Sequential(BasicBlock(width, width))
        self.feature_info[0] |= {"num_chs": width, "reduction": 4}
        self.init_weights()


@register_model
def small_resnet10(pretrained: bool = False, **settings: Any) -> SmallResNet:
    """0.61 million parameters."""
    return build_model_with_cfg(
        SmallResNet, "small_resnet10", pretrained, channels=(32, 64, 96, 160), **settings
    )
