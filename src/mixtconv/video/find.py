"""Videos by their names: which paths are videos, and which ones sources and patterns name.

No file is opened here, so that listing data loads neither PyAV nor Pillow nor NumPy. A video is a
file with one of `VIDEO_SUFFIXES`, or a folder of pictures (JPEG, PNG).

A field of optical flow is two grey pictures, x and y, in one of these layouts:

- beside each other: `flow_x_00001.jpg` and `flow_y_00001.jpg` in the video's folder (TSN,
  denseflow), also `x_00001.jpg` and `y_00001.jpg`, or with the video's number in front
  (`000012-x_00001.jpg`). Pictures of the video may be in the same folder under other names;
- in two trees: `u/<...>/<video>/frame000001.jpg` is x, the same below `v/` is y. The folder that
  holds `u` and `v` holds no other folder, so that classes of these names are not taken for flow.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixtconv._names import first_few

VIDEO_SUFFIXES = (
    *(".3g2", ".3gp", ".apng", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv"),
    *(".gif", ".hevc", ".ivf", ".m1v", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg"),
    *(".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut"),
    *(".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".wtv"),
    *(".y4m"),
)

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")

_DIGITS = re.compile(r"(\d+)")
_FLOW_NAME = re.compile(r"(flow_|\d+-|)([xy])_(\d+)\.[^.]*", re.IGNORECASE)


def find_videos(sources: Sequence[str | Path]) -> list[Path]:
    """List the videos that files, folders and patterns name, each video once.

    A file is taken whatever its suffix. A folder is searched to any depth; one that holds pictures
    and no video file is itself one video (of two trees of optical flow, that below `u`). A pattern
    (`*`, `?`, `[...]`, `**`) is for names that do not exist as written, and takes videos and
    folders. Hidden files are left out. The order is that of the sources, and natural (`2.mp4`
    before `10.mp4`) within each.

    Raises:
        ValueError: a source gives no video; the message names it.
    """
    found: dict[Path, Path] = {}
    missing = []
    for source in sources:
        videos = _from_source(Path(source))
        if not videos:
            missing.append(repr(str(source)))
        for video in videos:
            found.setdefault(video.resolve(), video)
    if missing or not found:
        raise ValueError(
            f"no video found for {first_few(missing) or 'an empty list'}; give video files, "
            "folders that hold videos or pictures of frames, or patterns such as 'clips/*.mp4'"
        )
    return list(found.values())


def _from_source(source: Path) -> list[Path]:
    if source.is_dir():
        return _naturally(_in_folder(source, set()))
    if source.exists():
        return [source]
    videos: list[Path] = []
    for match in _naturally(_matches(source)):
        if match.is_dir():
            videos += _naturally(_in_folder(match, set()))
        elif is_video(match):
            videos.append(match)
    return _naturally(videos)


def _in_folder(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Videos in a folder to any depth; links are followed, each real folder once."""
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    has_files = False
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    for entry in entries:
        videos = _in_folder(entry, seen) if entry.is_dir() else filter(is_video, [entry])
        for video in videos:
            has_files |= not video.is_dir()
            yield video
    twins = flow_twins(folder)
    if not has_files and list_pictures(folder) and (twins is None or folder == twins[0]):
        yield folder


def _matches(pattern: Path) -> Iterator[Path]:
    """Existing paths that a pattern with wildcards matches, hidden ones only if it says so."""
    base = Path(pattern.anchor)
    for match in base.glob(str(pattern.relative_to(base))):
        if not any(part.startswith(".") and part not in pattern.parts for part in match.parts):
            yield match


def _naturally(paths: Iterator[Path] | Sequence[Path]) -> list[Path]:
    return [Path(name) for name in natural_order({str(path) for path in paths})]


def is_video(path: str | Path) -> bool:
    """Says whether a path looks like one video: a file by its suffix, or a folder of pictures.

    The content is not looked at. A folder counts if pictures (JPEG, PNG) lie directly in it.

    >>> is_video("clips/0001.MP4"), is_video("labels.csv")
    (True, False)
    """
    if Path(path).is_dir():
        return bool(list_pictures(path))
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def natural_order(names: Iterable[str]) -> list[str]:
    """Sorts names so that numbers inside them count as numbers.

    >>> natural_order(["10.jpg", "9.jpg", "00001.jpg"])
    ['00001.jpg', '9.jpg', '10.jpg']
    """

    def key(name: str) -> tuple[list[tuple[int, str]], str]:
        parts = _DIGITS.split(name)
        return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts], name

    return sorted(names, key=key)


def list_pictures(folder: str | Path) -> list[Path]:
    """Lists the pictures of a folder in the order of the frames; empty if it holds none."""
    return [Path(folder, name) for name in picture_names(folder)]


def picture_names(folder: str | Path) -> list[str]:
    """Names of the pictures of a folder in the order of the frames."""
    # Names and not paths: this is done for every clip, and a path takes as long as ten names.
    names = (entry.name for entry in os.scandir(folder))
    return natural_order(
        name
        for name in names
        if name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")
    )


@dataclass(frozen=True)
class SortedNames:
    """The pictures of a folder, those of flow apart; each in the order given."""

    pictures: tuple[str, ...]
    """Pictures of the video itself."""
    x: dict[int, str]
    """Flow to the right, by number."""
    y: dict[int, str]
    """Flow downwards, by number."""


def sort_names(names: Sequence[str]) -> SortedNames:
    """Tell pictures of flow by their names; `x_` alone, without a `y_`, means nothing.

    >>> sort_names(["flow_x_1.jpg", "flow_y_1.jpg", "img_1.jpg"])
    SortedNames(pictures=('img_1.jpg',), x={1: 'flow_x_1.jpg'}, y={1: 'flow_y_1.jpg'})
    >>> sort_names(["x_1.jpg", "x_2.jpg"]).pictures
    ('x_1.jpg', 'x_2.jpg')
    """
    matches = {name: match for name in names if (match := _FLOW_NAME.fullmatch(name)) is not None}
    components = {match[2].lower() for match in matches.values()}
    flow = {
        name: match
        for name, match in matches.items()
        if len(components) == 2 or match[1].lower() == "flow_"
    }
    x = {int(m[3]): name for name, m in flow.items() if m[2].lower() == "x"}
    y = {int(m[3]): name for name, m in flow.items() if m[2].lower() == "y"}
    return SortedNames(tuple(name for name in names if name not in flow), x, y)


def has_flow_trees(folder: Path) -> bool:
    """Whether a folder is that of two trees: of folders it holds `u` and `v` alone."""
    if not (folder / "u").is_dir() or not (folder / "v").is_dir():
        return False
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return {entry.name for entry in entries if entry.is_dir()} == {"u", "v"}


def flow_twins(folder: str | Path) -> tuple[Path, Path] | None:
    """The folders of x and y if the given one is a video's in either of two trees."""
    path = Path(folder)
    parts = path.parts
    for place in reversed(range(len(parts) - 1)):
        if parts[place] in ("u", "v") and has_flow_trees(Path(*parts[:place])):
            twins = [Path(*parts[:place], side, *parts[place + 1 :]) for side in ("u", "v")]
            return twins[0], twins[1]
    return None
