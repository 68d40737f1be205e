"""From a video to the views that a recogniser takes, whichever engine runs its network."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtconv.data.decoding import Picture
from mixtconv.models.spec import ModelSpec


@dataclass(frozen=True)
class ReadViews:
    """The views of a video, with the frames that they were made of."""

    frames: Any
    """uint8 (V, T, C, S, S), clip by clip, each with its crops: torch's tensor or NumPy's array, by
    the reader."""
    indices: tuple[int, ...]
    """Numbers, in the video, of the frames (of modalities other than pictures, of the first frames
    of the snippets), clip by clip."""
    num_frames: int
    """Frames of the whole video."""


class ViewReader(ABC):
    """Reads what one model takes of videos; plain enough to be sent to another process."""

    spec: ModelSpec
    """The model."""

    @abstractmethod
    def read(self, video: Path, *, num_threads: int | None = None) -> ReadViews:
        """The views of a video: a file, or a folder of numbered pictures.

        Args:
            video: the video.
            num_threads: the decoder's; by default as many as it likes.

        Raises:
            UnreadableVideoError: the video gives no usable frame.
        """

    @abstractmethod
    def keep(self, picture: Picture) -> Any:
        """What is kept of a frame (H, W, 3) until the windows that it lies in are complete."""

    @abstractmethod
    def views_of(self, kept: Sequence[Any]) -> Any:
        """The views of a window, from what was kept of its frames; as of a file of just these."""

    @abstractmethod
    def describe(self) -> str:
        """The views in words."""
