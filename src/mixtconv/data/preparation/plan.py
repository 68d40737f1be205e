"""Where each video of the data goes: the same folders, and names that do not collide."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mixtconv.data.listing import ListedVideo, VideoListing
from mixtconv.data.picture_reader import VIDEO_SUFFIXES


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
