"""Reading optical flow from folders of pictures, one field for every two consecutive frames.

The layouts are those of `flow_names.py`. A field is grey pictures of x and y: 0 is the largest
motion to the left (up) that was kept, 255 the largest to the right (down), and no motion lies
halfway. As with pictures of a video, a gap is an error that names what is missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixtconv.data.clip import UnreadableVideoError, VideoInfo
from mixtconv.data.flow_names import flow_twins, sort_names
from mixtconv.data.frame_folder import check_numbers, list_numbered, load_pictures, picture_names
from mixtconv.data.tensor_clip import Clip, as_frames

_COMPUTE = "mixtconv prepare DATA --out DIR --flow tvl1 computes it"


@dataclass(frozen=True)
class FlowPictures:
    """The pictures of a video's optical flow, by name in the order of time."""

    x_folder: Path
    """Folder of the pictures of x."""
    x_names: tuple[str, ...]
    """Flow to the right."""
    y_folder: Path
    """Folder of the pictures of y."""
    y_names: tuple[str, ...]
    """Flow downwards, as many."""

    def __len__(self) -> int:
        return len(self.x_names)


def list_flow(path: str | Path) -> FlowPictures:
    """List the optical flow of a video.

    Raises:
        UnreadableVideoError: there is none, or some of it is missing; what, is named.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UnreadableVideoError(folder, f"a video file, not a folder of flow; {_COMPUTE}")
    twins = flow_twins(folder)
    if twins is not None:
        return _in_trees(*twins)
    names = sort_names(picture_names(folder))
    if not names.x and not names.y:
        raise UnreadableVideoError(
            folder,
            f"no pictures of optical flow in it (flow_x_00001.jpg, flow_y_00001.jpg); {_COMPUTE}",
        )
    _refuse_difference(folder, sorted(names.x), sorted(names.y), "number")
    check_numbers(folder, sorted(names.x), "fields of flow")
    x_names, y_names = ([side[number] for number in sorted(side)] for side in (names.x, names.y))
    return FlowPictures(folder, tuple(x_names), folder, tuple(y_names))


def read_flow(
    path: str | Path,
    choose_indices: Callable[[int], Sequence[int]],
    *,
    least_short_side: int | None = None,
) -> Clip:
    """Read the fields of flow that a function of their number chooses, as `video.read_clip`.

    Returns:
        uint8 (T, 2, H, W), x and y, which lie beside each other in memory.

    Raises:
        UnreadableVideoError: there is no flow, some is missing, or pictures differ in size.
    """
    flow = list_flow(path)
    indices = tuple(int(index) for index in choose_indices(len(flow)))
    x, y = (
        load_pictures(folder, names, indices, mode="L", least_short_side=least_short_side)
        for folder, names in ((flow.x_folder, flow.x_names), (flow.y_folder, flow.y_names))
    )  # (T, H, W, 1)
    if x.shape != y.shape:
        sizes = [f"{side.shape[2]}x{side.shape[1]}" for side in (x, y)]
        raise UnreadableVideoError(
            path, f"pictures of x are {sizes[0]} and of y {sizes[1]}; both must be of one size"
        )
    return Clip(as_frames(np.concatenate([x, y], axis=3)), indices, len(flow))


def holds_flow_alone(path: str | Path) -> bool:
    """Whether a path is a folder of flow pictures without pictures of the video itself."""
    folder = Path(path)
    if not folder.is_dir():
        return False
    names = sort_names(picture_names(folder))
    return flow_twins(folder) is not None or (not names.pictures and bool(names.x or names.y))


def probe_flow(path: str | Path) -> VideoInfo:
    """Read the facts about a video's flow; its first field is decoded."""
    clip = read_flow(path, lambda num_fields: (0,))
    height, width = clip.frames.shape[2:]
    return VideoInfo(clip.num_frames, width, height, None, "flow")


def _in_trees(x_folder: Path, y_folder: Path) -> FlowPictures:
    for folder in (x_folder, y_folder):
        if not folder.is_dir():
            raise UnreadableVideoError(
                x_folder, f"there is no {folder} beside it: u holds x of the flow, v holds y"
            )
    x_names, y_names = list_numbered(x_folder), list_numbered(y_folder)
    _refuse_difference(x_folder, x_names, y_names, "picture")
    return FlowPictures(x_folder, tuple(x_names), y_folder, tuple(y_names))


def _refuse_difference(
    folder: Path, x: Sequence[int | str], y: Sequence[int | str], what: str
) -> None:
    """Refuse flow of which only one component is there for some frames."""
    if list(x) != list(y):
        lone = next(one for one in [*x, *y] if (one in x) != (one in y))
        other = "y" if lone in x else "x"
        raise UnreadableVideoError(
            folder,
            f"{len(x)} pictures of x and {len(y)} of y: {what} {lone} has no {other}; make the "
            "flow of this video again",
        )
