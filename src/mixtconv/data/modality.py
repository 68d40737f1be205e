"""The input of a network from a video: frames, differences of frames, or optical flow.

A clip has T snippets, each of L consecutive frames: 1 frame (also for motion, whose median picture
is taken away later, on the model's device), 6 frames for their 5 differences, or
5 fields of optical flow, with or without the frame where they begin, as in "Temporal Segment
Networks" (arXiv 1608.00859). A snippet starts at a frame that has L - 1 frames after it. A video
with n < L frames has one snippet; its frame i is frame floor(i * n / L) of the video:

    L = 6, n = 4:   0 0 1 2 2 3

Optical flow is read from folders of pictures, one field for every two consecutive frames, in the
layouts of `mixtconv.video.folder`. A field is two grey pictures, x and y: 0 is the largest stored
motion to the left (up), 255 the largest to the right (down), and zero flow is in the middle. As
with frames, a gap in the numbers is an error that names what is missing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixtconv.data.clips import as_frames, read_clip, rows_together
from mixtconv.data.frame_cache import FrameCache
from mixtconv.models.spec import SNIPPETS, Modality, ModelSpec
from mixtconv.video.find import flow_twins, picture_names, sort_names
from mixtconv.video.folder import Pictures, check_numbers, list_numbered, load_pictures
from mixtconv.video.in_memory import VideoFrames, given
from mixtconv.video.pictures import Clip, UnreadableVideoError, VideoInfo
from mixtconv.video.segment import DatasetVideo, Segment, Video, recording_of
from mixtconv.video.segment_frames import probe, read_within

ChooseIndices = Callable[[int], Sequence[int]]
"""Gets the number of frames of a video and returns the wanted ones, see `clips.read_clip`."""

_COMPUTE = "mixtconv prepare DATA --out DIR --flow tvl1 computes it"


def read_model_clip(
    path: str | Video | VideoFrames,
    choose_indices: ChooseIndices,
    spec: ModelSpec,
    *,
    least_short_side: int | None = None,
    num_threads: int | None = None,
    cache: FrameCache | None = None,
) -> Clip[Tensor]:
    """Read the snippets of a clip in the model's modality.

    Args:
        path: a video file or a folder of pictures; for flow a folder of flow pictures, for rgbflow
            a folder of both; or a segment of one. Or frames in memory, which hold no flow.
        choose_indices: gets the number of possible first frames of a snippet and returns the
            wanted ones, as for `clips.read_clip`.
        spec: the model.
        least_short_side, num_threads: as for `clips.read_clip`.
        cache: shrunk frames of the model's videos, read in place of those in it.

    Returns:
        Frames uint8 (T, 3, H, W) for rgb and motion; else (T, L, C / L, H, W), which can be cropped
        likewise, and from which `join_snippets` makes (T, C, H, W): three channels are resized
        several times as fast as 18. The channels of a pixel may be adjacent in memory. The indices
        are those of the snippets' first frames.

    Raises:
        UnreadableVideoError: the video has no readable frame, or does not fit the modality.
    """
    if isinstance(path, DatasetVideo):
        with given(path) as source:
            return read_model_clip(
                source,
                choose_indices,
                spec,
                least_short_side=least_short_side,
                num_threads=num_threads,
            )
    if isinstance(path, VideoFrames) and spec.modality in ("flow", "rgbflow"):
        raise ValueError(
            f"the model takes {spec.modality}, and {path} hold no optical flow; give a folder of "
            f"both ({_COMPUTE})"
        )
    read: Callable[[ChooseIndices], Clip[Tensor]] = partial(
        _READ[spec.modality], path, least_short_side=least_short_side, num_threads=num_threads
    )
    if cache is not None and not isinstance(path, VideoFrames) and path in cache:
        read = partial(cache.read, path if isinstance(path, Segment) else Path(path))
    length = spec.snippet.num_frames
    if length == 1:
        return read(choose_indices)

    def choose(num_frames: int) -> list[int]:
        return snippet_frames(num_frames, choose_indices, length)

    clip = read(choose)
    frames = clip.frames.unflatten(0, (-1, length))  # (T, L, C / L, H, W)
    return Clip(frames, clip.indices[::length], clip.num_frames)


def join_snippets(frames: Tensor, spec: ModelSpec) -> Tensor:
    """Move the frames of every snippet into its channels.

    Args:
        frames: uint8 (..., T, L, C / L, H, W), or (..., T, 3, H, W) for rgb and motion.
        spec: the model.

    Returns:
        uint8 (..., T, C, H, W), contiguous.
    """
    rows = rows_together(frames)
    return rows if spec.snippet.num_frames == 1 else rows.flatten(-4, -3)


def num_snippets(num_frames: int, length: int) -> int:
    """Places in a video where a snippet of so many frames may begin.

    >>> num_snippets(10, 6), num_snippets(4, 6)
    (5, 1)
    """
    return max(1, num_frames - length + 1)


def snippet_frames(num_frames: int, choose_indices: ChooseIndices, length: int) -> list[int]:
    """Frame indices of all snippets, one snippet after the other.

    >>> snippet_frames(10, lambda num_places: [0, num_places - 1], 3)
    [0, 1, 2, 7, 8, 9]
    >>> snippet_frames(4, lambda num_places: range(num_places), 6)
    [0, 0, 1, 2, 2, 3]
    """
    starts = choose_indices(num_snippets(num_frames, length))
    offsets = [i * min(num_frames, length) // length for i in range(length)]
    return [start + offset for start in starts for offset in offsets]


def probe_for(video: Video, modality: Modality | None) -> VideoInfo:
    """Read the facts about a video in a modality; by default in that of its content.

    Raises:
        UnreadableVideoError: it has no readable frame, or does not fit the modality.
    """
    if modality == "rgbflow":
        probe(video)
        return probe_flow(video)
    is_flow = holds_flow_alone(recording_of(video)) if modality is None else modality == "flow"
    return probe_flow(video) if is_flow else probe(video)


_read_rgb = partial(read_clip, channels_last=True)
"""Frames (N, 3, H, W), in memory with the channels of a pixel adjacent."""


def _read_rgb_and_flow(
    path: str | Path | Segment,
    choose: ChooseIndices,
    *,
    least_short_side: int | None,
    **options: Any,
) -> Clip[Tensor]:
    """The first frame of each snippet and its fields of flow, from one folder: (N, 5, H, W)."""
    flow = read_flow(path, choose, least_short_side=least_short_side)
    length = SNIPPETS["rgbflow"].num_frames
    starts = [flow.indices[place - place % length] for place in range(len(flow.indices))]
    rgb = _read_rgb(path, lambda num_frames: starts, least_short_side=least_short_side, **options)
    if rgb.frames.shape[2:] != flow.frames.shape[2:]:
        sizes = [f"{x.frames.shape[3]}x{x.frames.shape[2]}" for x in (rgb, flow)]
        raise UnreadableVideoError(
            path, f"pictures are {sizes[0]} and flow {sizes[1]}; both must be of one size"
        )
    frames = torch.cat([rgb.frames, flow.frames], dim=1)  # (N, 5, H, W)
    return Clip(frames, flow.indices, flow.num_frames)


def _read_flow(
    path: str | Path | Segment, choose: ChooseIndices, *, least_short_side: int | None, **_: object
) -> Clip[Tensor]:
    return read_flow(path, choose, least_short_side=least_short_side)  # pictures need no decoder


_READ: dict[Modality, Callable[..., Clip[Tensor]]] = {
    "rgb": _read_rgb,
    "rgbdiff": _read_rgb,
    "motion": _read_rgb,
    "flow": _read_flow,
    "rgbflow": _read_rgb_and_flow,
}


def list_flow(path: str | Path) -> tuple[Pictures, Pictures]:
    """List the optical flow of a video: as many pictures of x, positive to the right, as of y.

    Raises:
        UnreadableVideoError: there is none, or some is missing; the message names it.
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
    x, y = ([side[number] for number in sorted(side)] for side in (names.x, names.y))
    return Pictures(folder, x), Pictures(folder, y)


def read_flow(
    video: str | Path | Segment,
    choose_indices: Callable[[int], Sequence[int]],
    *,
    least_short_side: int | None = None,
) -> Clip[Tensor]:
    """Read the fields of flow that a function of their number chooses, as `clips.read_clip`.

    Field n is that from frame n to the next one, by which segments are counted.

    Returns:
        uint8 (T, 2, H, W), x and y, adjacent in memory.

    Raises:
        UnreadableVideoError: there is no flow, some is missing, or pictures differ in size.
    """

    def read(path: Path, choose: ChooseIndices) -> Clip[Tensor]:
        flow = list_flow(path)
        num_fields = len(flow[0].names)
        indices = tuple(int(index) for index in choose(num_fields))
        x, y = (
            load_pictures(*side, indices, mode="L", least_short_side=least_short_side)
            for side in flow
        )  # (T, H, W, 1)
        if x.shape != y.shape:
            sizes = [f"{side.shape[2]}x{side.shape[1]}" for side in (x, y)]
            raise UnreadableVideoError(
                path, f"pictures of x are {sizes[0]} and of y {sizes[1]}; both must be of one size"
            )
        return Clip(as_frames(np.concatenate([x, y], axis=3)), indices, num_fields)

    return read_within(video, choose_indices, read)


def holds_flow_alone(path: str | Path) -> bool:
    """Whether a path is a folder of flow pictures without frames of the video itself."""
    folder = Path(path)
    if not folder.is_dir():
        return False
    names = sort_names(picture_names(folder))
    return flow_twins(folder) is not None or (not names.pictures and bool(names.x or names.y))


def probe_flow(video: str | Video) -> VideoInfo:
    """Read the facts about a video's flow; its first field is decoded.

    Raises:
        UnreadableVideoError: there is none, as in frames that a dataset gives.
    """
    if isinstance(video, DatasetVideo):
        with given(video) as source:
            if isinstance(source, VideoFrames):
                raise UnreadableVideoError(video, f"frames, which hold no optical flow; {_COMPUTE}")
            return probe_flow(source)
    clip = read_flow(video, lambda num_fields: (0,))
    height, width = clip.frames.shape[2:]
    return VideoInfo(clip.num_frames, width, height, None, "flow")


def _in_trees(x_folder: Path, y_folder: Path) -> tuple[Pictures, Pictures]:
    for folder in (x_folder, y_folder):
        if not folder.is_dir():
            raise UnreadableVideoError(
                x_folder, f"there is no {folder} beside it: u holds x of the flow, v holds y"
            )
    x, y = (Pictures(folder, list_numbered(folder)) for folder in (x_folder, y_folder))
    _refuse_difference(x_folder, x.names, y.names, "picture")
    return x, y


def _refuse_difference(
    folder: Path, x: Sequence[int | str], y: Sequence[int | str], what: str
) -> None:
    """Refuse flow that lacks one component for some frames."""
    if list(x) != list(y):
        lone = next(one for one in [*x, *y] if (one in x) != (one in y))
        other = "y" if lone in x else "x"
        raise UnreadableVideoError(
            folder,
            f"{len(x)} pictures of x and {len(y)} of y: {what} {lone} has no {other}; make the "
            "flow of this video again",
        )
