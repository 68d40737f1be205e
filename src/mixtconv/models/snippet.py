"""What a network takes at each of the T places of a clip: a picture, differences, optical flow.

From "Temporal Segment Networks" (TSN, arXiv 1608.00859): five differences of consecutive pictures,
or five fields of optical flow, x and y in turn, are the channels of one input. What is done to the
values is in `normalization.py`.
"""

from dataclasses import dataclass
from typing import Literal

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
    picture_channels: int
    """How many channels of the network, from the first, are R, G, B in turn."""

    @property
    def channels(self) -> int:
        """C of a clip (T, C, H, W) as it is read."""
        return self.num_frames * self.frame_channels


SNIPPETS: dict[Modality, Snippet] = {
    "rgb": Snippet(1, 3, 3, 3),
    "rgbdiff": Snippet(6, 3, 15, 15),
    "flow": Snippet(5, 2, 10, 0),
    "rgbflow": Snippet(5, 5, 13, 3),
}
