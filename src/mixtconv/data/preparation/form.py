"""What a prepared video is like: its size, its keyframes, its quality; or pictures, or flow.

A clip takes few frames, far from each other, and each is reached from the keyframe before it. So
keyframes stand close, all else that a decoder can be spared is left out (pictures out of order, the
arithmetic entropy coder, the deblocking filter), and the price is a larger file.

Where each video of the data goes: the same folders, and names that do not collide.

What an original was when it was prepared, to tell whether it has changed since.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from mixtconv.data.listing import ListedVideo, VideoListing
from mixtconv.video.folder import list_pictures
from mixtconv.video.reader import VIDEO_SUFFIXES

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


@dataclass(frozen=True)
class PlannedVideo:
    """A video and the place of its prepared form."""

    video: ListedVideo
    name: str
    """The original, from the folder that all originals are in."""
    target: str
    """The prepared file or folder, from the folder that all of them go to."""


def plan_videos(listing: VideoListing, *, suffix: str = ".mp4") -> tuple[PlannedVideo, ...]:
    """Give every video of a listing a place, below the folder of its original's place.

    A file of another suffix, or a folder of pictures, takes the name with `.mp4` if that is free,
    else `.mp4` behind its whole name: `a.mp4` and `a.avi` become `a.mp4` and `a.avi.mp4`. With an
    empty suffix, for folders, `a` and `a.avi`. Names that differ in case only count as one, since
    some file systems do not tell them apart.
    """
    names = _names(listing)
    wanted = [_with_suffix(name, suffix) for name in names]
    targets: dict[str, str] = {}
    taken: set[str] = set()
    # Those that keep their name choose first, so that adding others later moves none of them.
    pairs = sorted(zip(names, wanted, strict=True), key=lambda pair: pair[0] != pair[1])
    for name, target in pairs:
        number, choice = 1, target
        while choice.casefold() in taken:
            choice = name + suffix if number == 1 else f"{name}.{number}{suffix}"
            number += 1
        taken.add(choice.casefold())
        targets[name] = choice
    return tuple(
        PlannedVideo(video, name, targets[name])
        for video, name in zip(listing.videos, names, strict=True)
    )


def _with_suffix(name: str, suffix: str) -> str:
    path = PurePosixPath(name)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return str(path.with_suffix(suffix))
    return name + suffix  # a folder of pictures: what follows a dot there is no suffix


def _names(listing: VideoListing) -> list[str]:
    """Paths of the videos from the folder that all are in.

    That is the folder given or the one of the CSV, else the deepest one that holds all of them.
    """
    paths = [os.path.normpath(video.path.absolute()) for video in listing.videos]
    source = listing.source.absolute()
    base = os.path.normpath(source if source.is_dir() else source.parent)
    if os.path.commonpath([base, *paths]) != base:
        base = os.path.commonpath([Path(path).parent for path in paths])
    return [Path(path).relative_to(base).as_posix() for path in paths]


@dataclass(frozen=True)
class Original:
    """Size and state of an original."""

    num_bytes: int
    """Size of the file, or of all pictures of a folder."""
    stamp: str
    """A word that is another one once a file is changed, added, removed or renamed."""


def look_at(path: Path) -> Original:
    """Find out about an original without opening it.

    Raises:
        OSError: it is not there, or may not be looked at.
    """
    files = list_pictures(path) if path.is_dir() else [path]
    statuses = [(file.name, file.stat()) for file in files]
    facts = [f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in statuses]
    digest = hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()
    return Original(sum(status.st_size for _, status in statuses), digest[:16])
