"""What a prepared video is like, and where it goes: decided before any is opened.

A clip takes few frames, far from each other, and each is decoded from the keyframe before it. So
`PreparedForm` has short distances between keyframes and leaves out all that costs a decoder time
(B-frames, the arithmetic entropy coder, the deblocking filter), at the price of larger files.

`plan_videos` gives each video of the data a place in the new folder, and `stat_original` a stamp of
an original that shows whether it has changed since.
"""

import hashlib
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Literal

from mixtconv._names import composed
from mixtconv.data.listing import ListedVideo, VideoListing
from mixtconv.video.find import VIDEO_SUFFIXES, list_pictures
from mixtconv.video.segment import Span, in_words, segment_name

MOST_NAME_BYTES = 255
"""Longest name of a file on usual file systems, in bytes."""

LEAST_FPS, MOST_FPS = 0.01, 1000.0
"""Frames a second that can be asked for."""

FlowMethod = Literal["tvl1", "dis"]
PreparedKind = Literal["h264", "jpeg", "flow"]


@dataclass(frozen=True)
class PreparedForm:
    """Size, keyframes and quality of prepared videos."""

    short_side: int = 256
    """Height or width, whichever is less, in pixels, even; smaller videos keep their size."""
    keyframe_distance: int = 4
    """Frames from one keyframe to the next: fewer are read faster and take more space."""
    crf: int = 20
    """Quality, x264's constant rate factor: 0 is lossless, 18 to 23 looks like the original."""
    jpeg: bool = False
    """Write a folder of JPEG pictures per video instead, one per frame, as other programs do."""
    flow: FlowMethod | None = None
    """Write optical flow instead, a folder of JPEGs per video: tvl1 (as published), or dis, which
    is many times as fast; requires OpenCV's contributed modules."""
    fps: float | None = None
    """Give all videos this many frames a second: at each moment the frame shown then, so that some
    are left out or repeated; default all frames, each at its time."""

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
        if self.fps is not None and not LEAST_FPS <= self.fps <= MOST_FPS:
            raise ValueError(
                f"--fps is {self.fps:g}; give {LEAST_FPS:g} to {MOST_FPS:g} frames a second, such "
                "as 12.5"
            )

    @property
    def rate(self) -> Fraction | None:
        """Frames a second, as files can say them; None for those of the originals."""
        return None if self.fps is None else Fraction(self.fps).limit_denominator(1001)

    @property
    def kind(self) -> PreparedKind:
        """The kind of file or folder that is written for a video."""
        if self.flow is not None:
            return "flow"
        return "jpeg" if self.jpeg else "h264"

    @property
    def suffix(self) -> str:
        """Suffix of what is written; none for folders."""
        return ".mp4" if self.kind == "h264" else ""

    @property
    def name(self) -> str:
        """Identifier of the form, which starts with its kind; the journal holds it."""
        at_rate = "" if self.rate is None else f"-{self.rate}fps"
        if self.kind == "flow":
            return f"flow-{self.short_side}-{self.flow}{at_rate}"
        if self.kind == "jpeg":
            return f"jpeg-{self.short_side}{at_rate}"
        return f"h264-{self.short_side}-{self.keyframe_distance}-{self.crf}{at_rate}"

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


def kind_of(form_name: str) -> str:
    """The kind of a form, of its `name`.

    >>> kind_of(PreparedForm(jpeg=True, fps=12.5).name)
    'jpeg'
    """
    return form_name.partition("-")[0]


def rate_of(form_name: str) -> Fraction | None:
    """The rate of a form, of its `name`; None for that of the originals.

    >>> rate_of(PreparedForm(fps=12.5).name), rate_of(PreparedForm().name)
    (Fraction(25, 2), None)
    """
    last = form_name.rpartition("-")[2]
    return Fraction(last.removesuffix("fps")) if last.endswith("fps") else None


@dataclass(frozen=True)
class PlannedVideo:
    """A video and the path of its prepared form."""

    video: ListedVideo
    name: str
    """The original, relative to the folder of all originals, with the segment."""
    target: str
    """The prepared file or folder, relative to the output folder."""


def plan_videos(listing: VideoListing, *, suffix: str = ".mp4") -> tuple[PlannedVideo, ...]:
    """Assign a path to every video of a listing, in the same folders as the originals.

    The suffix is replaced by `.mp4` if that name is free, else `.mp4` is appended: `a.mp4` and
    `a.avi` become `a.mp4` and `a.avi.mp4`. With an empty suffix, for folders, they become `a` and
    `a.avi`. Names that differ only in case or in how accents are encoded count as equal, as they
    are on some file systems. A name that becomes longer than file systems allow is shortened.
    A segment has its start and end in its name: `a.mp4#t=2,4.5` becomes `a_2-4.5.mp4`.
    """
    spans = [video.span for video in listing.videos]
    names = [segment_name(name, span) for name, span in zip(_names(listing), spans, strict=True)]
    wanted = [
        _with_suffix(name, suffix) if span is None else _cut_name(name, span, suffix)
        for name, span in zip(names, spans, strict=True)
    ]
    targets: dict[str, str] = {}
    taken: set[str] = set()
    # Those that keep their name come first, so that videos added later do not change it.
    pairs = sorted(zip(names, wanted, strict=True), key=lambda pair: pair[0] != pair[1])
    for name, target in pairs:
        number, choice = 1, target
        while composed(choice).casefold() in taken:
            choice = _fitting(name, suffix if number == 1 else f".{number}{suffix}")
            number += 1
        taken.add(composed(choice).casefold())
        targets[name] = choice
    return tuple(
        PlannedVideo(video, name, targets[name])
        for video, name in zip(listing.videos, names, strict=True)
    )


def _with_suffix(name: str, suffix: str) -> str:
    path = PurePosixPath(name)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _fitting(str(path.with_suffix("")), suffix)
    return _fitting(name, suffix)  # a folder of pictures: its name has no suffix


def _cut_name(name: str, span: Span, suffix: str) -> str:
    """The path of a segment that is written as a file."""
    unit = "f" if span.in_frames else ""
    path = _with_suffix(name.removesuffix(f"#{span}"), "")
    return _fitting(f"{path}_{unit}{in_words(span.start)}-{in_words(span.end)}", suffix)


def _fitting(name: str, suffix: str) -> str:
    """A path with a suffix added; where the name gets too long, its beginning and a hash of it.

    >>> len(_fitting("x" * 253, ".mp4")), _fitting("jump/a", ".mp4")
    (255, 'jump/a.mp4')
    """
    last = os.fsencode(PurePosixPath(name).name)
    most = MOST_NAME_BYTES - len(os.fsencode(suffix))
    if len(last) > most:
        mark = "~" + hashlib.sha256(last).hexdigest()[:8]
        start = last[: most - len(mark)].decode("utf-8", "ignore")  # of whole characters
        name = str(PurePosixPath(name).with_name(start + mark))
    return name + suffix


def _names(listing: VideoListing) -> list[str]:
    """Paths of the videos relative to the folder of the data, or of the CSV.

    If that does not contain all of them, relative to the deepest folder that does.
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
    """Fingerprint that changes when a file is changed, added, removed or renamed."""


def stat_original(path: Path) -> Original:
    """Size and fingerprint of an original, from the file system alone.

    Raises:
        OSError: it does not exist, or may not be accessed.
    """
    files = list_pictures(path) if path.is_dir() else [path]
    statuses = [(file.name, file.stat()) for file in files]
    facts = [f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in statuses]
    digest = hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()
    return Original(sum(status.st_size for _, status in statuses), digest[:16])
