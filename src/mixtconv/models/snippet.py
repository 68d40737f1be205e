"""What a network takes at each of the T places of a clip: a picture, differences, optical flow.

From "Temporal Segment Networks" (arXiv 1608.00859): five differences of consecutive pictures, or
five fields of optical flow, x and y in turn, are the channels of one input. Of the values:

- pictures: less the mean of R, G and B, over their standard deviation, as the backbone expects;
- differences: of pictures made so, in which the means cancel. Different here: TSN's published code
  does not scale them, though it names a deviation (twice that of pictures) for it;
- flow: less what stands for no motion, over the mean of the three deviations, as in TSN's code.
  It is 0.5 as for TSN's ResNet, which makes a mirrored x exactly the negative, or what the spec
  says: 128 / 255 for the published weights of BN-Inception;
- both, for two streams: a picture, and five fields that begin there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Modality = Literal["rgb", "rgbdiff", "flow", "rgbflow"]


@dataclass(frozen=True)
class Snippet:
    """A short run of consecutive frames as one input of the network."""

    num_frames: int
    """Consecutive frames of the video, or fields of flow, that it is made of."""
    frame_channels: int
    """Channels of each of them as they are read."""
    in_channels: int
    """Channels that the network takes."""
    normalize: Callable[[Tensor, Tensor, Tensor], Tensor]
    """Values (..., num_frames * frame_channels, H, W) in 0 to 1, means (3, 1, 1) of R, G, B, what
    stands for no motion where flow is among them (the only or the fourth mean), and deviations
    (3, 1, 1) of R, G, B -> (..., in_channels, H, W)."""
    picture_channels: int
    """How many channels of the network, from the first, are R, G, B in turn."""

    @property
    def channels(self) -> int:
        """C of a clip (T, C, H, W) as it is read."""
        return self.num_frames * self.frame_channels


def _normalize_picture(frames: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (frames - mean) / std


def _normalize_differences(frames: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    pictures = frames.unflatten(-3, (-1, 3))  # (..., L, 3, H, W)
    differences = (pictures[..., 1:, :, :, :] - pictures[..., :-1, :, :, :]) / std
    return differences.flatten(-4, -3)  # (..., (L - 1) * 3, H, W)


def _normalize_flow(frames: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (frames - mean) / std.mean()


def _normalize_both(frames: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    places = frames.unflatten(-3, (-1, 5))  # (..., L, 5, H, W): R, G, B, x, y
    pictures = _normalize_picture(places[..., 0, :3, :, :], mean[:3], std)  # the first alone
    flow = _normalize_flow(places[..., 3:, :, :].flatten(-4, -3), mean[3:], std)
    return torch.cat([pictures, flow], dim=-3)  # (..., 3 + 2 * L, H, W)


SNIPPETS: dict[Modality, Snippet] = {
    "rgb": Snippet(1, 3, 3, _normalize_picture, 3),
    "rgbdiff": Snippet(6, 3, 15, _normalize_differences, 15),
    "flow": Snippet(5, 2, 10, _normalize_flow, 0),
    "rgbflow": Snippet(5, 5, 13, _normalize_both, 3),
}
