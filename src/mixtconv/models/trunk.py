"""The trunk of a recognizer with a head on a feature map: a backbone up to the end of a stage."""

import torch
from torch import Tensor, nn

from mixtconv.models.structure.network_trace import evaluating

LEAST_MAP = 7
"""Height and width of a map in which a head still finds where something is."""


class Trunk(nn.Module):
    """The layers of a backbone of timm up to the end of a stage: (N, C, H, W) -> (N, C', H', W').

    Args:
        backbone: images to features; layers behind the stage are removed from it.
        stage: counted from 0, as in the backbone's `feature_info`; by default the last one whose
            map is at least `LEAST_MAP` wide, or else the last one.
        images: images (1, C, H, W) of the size to be expected, for that.

    Raises:
        ValueError: a backbone that does not give the maps of its stages, or has not as many.
    """

    def __init__(
        self, backbone: nn.Module, stage: int | None = None, *, images: Tensor | None = None
    ) -> None:
        super().__init__()
        name = type(backbone).__name__
        stages = list(getattr(backbone, "feature_info", ()))
        if not stages or not hasattr(backbone, "prune_intermediate_layers"):
            raise ValueError(
                f"{name} does not give the feature maps of its stages, which a head is put on; "
                "choose another backbone, such as resnet18 or tf_efficientnet_lite0"
            )
        self.stage = _default_stage(backbone, images) if stage is None else stage
        if not 0 <= self.stage < len(stages):
            raise ValueError(
                f"feature_stage is {stage}; {name} has the stages 0 to {len(stages) - 1}"
            )
        backbone.prune_intermediate_layers([self.stage], prune_head=True)  # type: ignore[operator]
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        maps = self.backbone.forward_intermediates(  # type: ignore[operator]
            x, indices=[self.stage], intermediates_only=True
        )
        return maps[-1]


@torch.no_grad()
def _default_stage(backbone: nn.Module, images: Tensor | None) -> int:
    last = len(backbone.feature_info) - 1  # type: ignore[arg-type]
    if images is None:
        return last
    with evaluating(backbone):
        maps = backbone.forward_intermediates(images, intermediates_only=True)  # type: ignore
    wide = [stage for stage, each in enumerate(maps) if min(each.shape[2:]) >= LEAST_MAP]
    return wide[-1] if wide else last
