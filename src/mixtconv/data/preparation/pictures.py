"""Writing one video as a folder of JPEG pictures, checked before it gets its name.

`write_folder` writes its frames, `00001.jpg` and so on, or its optical flow: grey pictures of x and
y for every two consecutive frames, as "Temporal Segment Networks" (arXiv 1608.00859) does. The
method is TV-L1 ("A Duality Based Approach for Realtime TV-L1 Optical Flow", Zach et al. 2007),
motions of -20 to 20 pixels are mapped to 0 to 255 and larger ones clipped, the JPEGs are named
`flow_x_00001.jpg` and `flow_y_00001.jpg`. DIS ("Fast Optical Flow using Dense Inverse Search",
arXiv 1603.03590) takes a fraction of the time. Different here: TSN resizes every video to 340x256,
here the aspect ratio is kept; and n frames give n - 1 fields, none is repeated.
"""

import errno
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mixtconv._atomic_write import flush_to_disk, written_whole
from mixtconv._optional import import_needed, install_line
from mixtconv._types import Frame
from mixtconv.data.preparation.encoding import WrittenVideo, fitted_frames
from mixtconv.data.preparation.form import FlowMethod, PreparedForm
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.segment import Video

MAX_MOTION = 20.0
"""Largest displacement between frames, in pixels of the prepared size, that a picture holds."""

JPEG_QUALITY = 95

Flow = npt.NDArray[np.float32]


def write_folder(
    source: Video,
    target: Path,
    form: PreparedForm,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> WrittenVideo:
    """Write the frames of a video, or its optical flow, as `encoding.encode_video`; to a folder.

    For flow, fewer than two frames are an `UnreadableVideoError`.
    """
    with (
        written_whole(target) as folder,
        closing(fitted_frames(source, form, is_stopped)) as frames,
    ):
        if form.flow is None:
            return write_pictures(folder, _frame_pictures(frames))
        written = write_pictures(folder, _flow_pictures(frames, form.flow))
        if written.num_frames == 0:
            raise UnreadableVideoError(source, "it has one frame; optical flow takes two or more")
        return WrittenVideo(written.num_frames // 2, written.num_bytes)


def _frame_pictures(frames: Iterator[Frame]) -> Iterator[tuple[str, Frame]]:
    for number, frame in enumerate(frames, 1):
        yield f"{number:05d}.jpg", frame


def _flow_pictures(frames: Iterator[Frame], method: FlowMethod) -> Iterator[tuple[str, Frame]]:
    compute, cv2 = flow_method(method), _import_opencv()
    grey = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
    for number, (before, after) in enumerate(pairwise(grey), 1):
        x, y = as_pictures(compute(before, after))
        yield f"flow_x_{number:05d}.jpg", x
        yield f"flow_y_{number:05d}.jpg", y


def flow_method(name: FlowMethod) -> Callable[[Frame, Frame], Flow]:
    """A function from two grey frames (H, W) to their flow (H, W, 2), in pixels.

    Raises:
        ValueError: OpenCV, with its contributed modules, is not installed.
    """
    cv2 = _import_opencv()
    cv2.setNumThreads(1)  # videos are processed in parallel already
    make = {
        "tvl1": cv2.optflow.DualTVL1OpticalFlow_create,
        "dis": lambda: cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    }[name]
    method = make()  # one per video: it keeps buffers, which threads must not share
    return lambda before, after: method.calc(before, after, None)


def as_pictures(flow: Flow) -> tuple[Frame, Frame]:
    """Flow (H, W, 2) as two grey pictures, x and y.

    >>> x, y = as_pictures(np.array([[[-25, -20], [0, 20]]], dtype=np.float32))
    >>> x.tolist(), y.tolist()
    ([[0, 128]], [[0, 255]])
    """
    scaled = (flow + MAX_MOTION) * (255 / (2 * MAX_MOTION))
    values = np.rint(scaled).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(values[..., 0]), np.ascontiguousarray(values[..., 1])


def _import_opencv() -> Any:
    cv2 = import_needed("cv2", why="--flow needs")
    if not hasattr(cv2, "optflow"):
        raise ValueError(
            "--flow needs OpenCV's contributed modules, and another OpenCV package is installed: "
            f"remove that one (pip list names it), then {install_line('cv2')}"
        )
    return cv2


def write_pictures(folder: Path, pictures: Iterable[tuple[str, Frame]]) -> WrittenVideo:
    """Write pictures as JPEG, and read each again.

    Args:
        folder: a folder that does not exist yet.
        pictures: name and pixels of each, grey (H, W) or RGB (H, W, 3).

    Raises:
        OSError: a picture cannot be written, or reads back otherwise.
    """
    folder.mkdir()
    num_bytes = 0
    names = set()
    for name, pixels in pictures:
        path = folder / name
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
        path.write_bytes(buffer.getvalue())
        flush_to_disk(path)
        _check(path, pixels)
        num_bytes += path.stat().st_size
        names.add(name)
    written = {path.name for path in folder.iterdir()}
    if written != names:
        reason = f"{len(written)} pictures are there, not {len(names)}"
        raise OSError(errno.EIO, reason, str(folder))
    return WrittenVideo(len(names), num_bytes)


def _check(path: Path, pixels: Frame) -> None:
    """Read a written picture and compare its size with the intended one."""
    size = (pixels.shape[1], pixels.shape[0])
    try:
        with Image.open(path) as image:
            image.load()
            has_size = image.size == size
    except (SyntaxError, ValueError) as error:
        raise OSError(errno.EIO, "the written picture is damaged", str(path)) from error
    if not has_size:
        raise OSError(errno.EIO, f"the written picture is not {size[0]}x{size[1]}", str(path))
