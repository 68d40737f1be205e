"""A recogniser of actions: a 2D network over the frames of a clip, and the average of its scores.

From "Temporal Segment Networks" (TSN, arXiv 1608.00859): every frame passes the same network and
the last layer, and the consensus of a clip is the average over its frames. With a temporal
operation inside the backbone it is TSM (arXiv 1811.08383) or MSTNet (arXiv 2001.06769).
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mixtconv.models.insertion import set_num_frames
from mixtconv.models.sharing import SharedModel
from mixtconv.models.spec import ModelSpec
from mixtconv.ops import fold_time, unfold_time
from mixtconv.ops.folding import check_clip


class VideoClassifier(SharedModel):
    """Logits of a clip: (B, T, C, H, W) -> (B, num_classes).

    C is 3 for pictures, 15 for their differences and 10 for optical flow (`spec.modality`).

    Args:
        backbone: frames (B * T, C, H, W) to features (B * T, D).
        num_features: D.
        spec: what the recogniser is; its classes give the width of the last layer.

    Raises:
        ValueError: in `forward`, clips of another number of frames than `spec.num_frames`.
    """

    def __init__(self, backbone: nn.Module, num_features: int, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.notes: dict[str, Any] = {}  # what its file says of the run that made it
        self.optimized = False  # made for inference alone, see `optimize_for_inference`
        self.backbone = backbone
        self.dropout = nn.Dropout(spec.dropout)
        self.head = nn.Linear(num_features, spec.num_classes)
        self.register_buffer("mean", torch.tensor(spec.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(3, 1, 1), persistent=False)

    def forward(self, video: Tensor) -> Tensor:
        """Logits (B, num_classes) of normalised clips (B, T, C, H, W)."""
        return self.forward_frames(video).mean(dim=1)  # (B, num_classes)

    def forward_frames(self, video: Tensor) -> Tensor:
        """Logits of every frame, before the consensus: (B, T, C, H, W) -> (B, T, num_classes)."""
        return self.head(self.dropout(self.forward_features(video)))  # (B, T, num_classes)

    def forward_features(self, video: Tensor) -> Tensor:
        """Features of every frame, before the last layer: (B, T, C, H, W) -> (B, T, D)."""
        check_clip(video)
        if video.shape[1] != self.num_frames:
            raise ValueError(
                f"got clips of {video.shape[1]} frames, the model takes {self.num_frames}: sample "
                "as many, or call set_num_frames"
            )
        return unfold_time(self.backbone(fold_time(video)), self.num_frames)  # (B, T, D)

    def normalize(self, video: Tensor) -> Tensor:
        """Frames as they are read, uint8 or 0 to 255, to what the network takes, on its device.

        Of modality `rgbdiff`, clips (B, T, 18, H, W) of six pictures each become the five
        differences between them, (B, T, 15, H, W); other clips keep their shape. See `snippet.py`.
        """
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        snippet, is_flow = self.spec.snippet, self.spec.modality == "flow"
        if video.shape[-3] != snippet.channels:
            raise ValueError(
                f"got clips of {video.shape[-3]} channels, of modality {self.spec.modality} they "
                f"have {snippet.channels}: read them with the model's spec"
            )
        values = video.to(mean.device).to(mean.dtype) / 255
        center = mean.new_tensor(self.spec.flow_mean) if is_flow else mean
        values = snippet.normalize(values, center, std)
        if is_flow or self.spec.channel_order == "rgb":
            return values
        return values.unflatten(-3, (-1, 3)).flip(-3).flatten(-4, -3)  # each picture's own colours

    def set_num_frames(self, num_frames: int) -> None:
        """Take clips of another number of frames from now on."""
        set_num_frames(self.backbone, num_frames)
        self.spec = replace(self.spec, num_frames=num_frames)

    @property
    def num_frames(self) -> int:
        """T, frames of a clip."""
        return self.spec.num_frames
