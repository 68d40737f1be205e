"""What a prepared video is like: its size, its keyframes, its quality; or pictures, or flow.

A clip takes few frames, far from each other, and each is reached from the keyframe before it. So
keyframes stand close, all else that a decoder can be spared is left out (pictures out of order, the
arithmetic entropy coder, the deblocking filter), and the price is a larger file.
"""

from dataclasses import dataclass
from typing import Literal

FlowMethod = Literal["tvl1", "dis"]
PreparedKind = Literal["h264", "jpeg", "flow"]


@dataclass(frozen=True)
class PreparedForm:
    """Size, keyframes and quality of prepared videos."""

    short_side: int = 256
    """Height or width, whichever is less, in pixels, even; smaller videos stay as they are."""
    keyframe_distance: int = 4
    """Frames from one keyframe to the next: fewer are read faster and take more room."""
    crf: int = 20
    """Quality, x264's constant rate factor: 0 is without loss, 18 to 23 looks like the original."""
    jpeg: bool = False
    """Write a folder of JPEG pictures a video instead, one a frame, as other programs take it."""
    flow: FlowMethod | None = None
    """Write optical flow instead, a folder of JPEGs a video: tvl1 (as published), or dis, which is
    many times as fast; takes pip install 'mixtconv[flow]'."""

    def __post_init__(self) -> None:
        if self.jpeg and self.flow is not None:
            raise ValueError("--jpeg and --flow write different things; give one of them")
        if self.short_side < 16 or self.short_side % 2:
            raise ValueError(
                f"--short-side is {self.short_side}; give an even number, 16 or more, such as 256"
            )
        if self.keyframe_distance < 1:
            raise ValueError(
                f"--keyframe-distance is {self.keyframe_distance}; give 1 (every frame) or more"
            )
        if not 0 <= self.crf <= 51:
            raise ValueError(f"--crf is {self.crf}; give 0 (largest files) to 51 (smallest)")

    @property
    def kind(self) -> PreparedKind:
        """What is written for a video."""
        if self.flow is not None:
            return "flow"
        return "jpeg" if self.jpeg else "h264"

    @property
    def suffix(self) -> str:
        """Suffix of what is written; none for folders."""
        return ".mp4" if self.kind == "h264" else ""

    @property
    def name(self) -> str:
        """The form in a word that begins with its kind, for telling whether a file has it."""
        if self.kind == "flow":
            return f"flow-{self.short_side}-{self.flow}"
        if self.kind == "jpeg":
            return f"jpeg-{self.short_side}"
        return f"h264-{self.short_side}-{self.keyframe_distance}-{self.crf}"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a video in this form: no larger, of the same shape, even.

        >>> PreparedForm().size(1080, 1920), PreparedForm().size(101, 75)
        ((256, 456), (100, 74))
        """
        short = min(height, width)
        if short <= self.short_side:
            return max(2, height - height % 2), max(2, width - width % 2)
        scale = self.short_side / short
        return 2 * round(height * scale / 2), 2 * round(width * scale / 2)
