"""Computing optical flow: grey pictures of x and y for every two consecutive frames of a video.

As "Temporal Segment Networks" (arXiv 1608.00859) has it: TV-L1 ("A Duality Based Approach for
Realtime TV-L1 Optical Flow", Zach et al. 2007), motions of -20 to 20 pixels mapped to 0 to 255 and
larger ones cut off, JPEGs named `flow_x_00001.jpg` and `flow_y_00001.jpg`. DIS ("Fast Optical Flow
using Dense Inverse Search", arXiv 1603.03590) takes a fraction of the time. Different here: TSN
resizes every video to 340x256, whatever its shape; here the shape stays. n frames give n - 1
fields; none is repeated to make n.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv.data.clip import UnreadableVideoError
from mixtconv.data.preparation.form import FlowMethod, PreparedForm
from mixtconv.data.preparation.frames import Frame, WrittenVideo, fitted, original_frames
from mixtconv.data.preparation.pictures import unfinished_folder, write_pictures

LARGEST_MOTION = 20.0
"""Pixels from one frame to the next, of the prepared size, that a picture of flow can show."""

Flow = npt.NDArray[np.float32]


def write_flow(
    source: Path,
    target: Path,
    form: PreparedForm,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> WrittenVideo:
    """Compute the optical flow of a video; the target appears only when it is whole.

    Args:
        source: a video file or a folder of pictures.
        target: a folder, in a folder that exists; one that is there is replaced.
        form: size of the frames, and the method.
        is_stopped: asked before every picture.

    Raises:
        UnreadableVideoError: the source gives no two frames, or not all that it should.
        OSError: the target cannot be written.
        StoppedError: `is_stopped` said so.
    """
    assert form.flow is not None
    compute = flow_method(form.flow)
    num_fields = 0

    def pictures(frames: Iterator[Frame]) -> Iterator[tuple[str, Frame]]:
        nonlocal num_fields
        for before, after in pairwise(_grey(frame, form) for frame in frames):
            num_fields += 1
            x, y = as_pictures(compute(before, after))
            yield f"flow_x_{num_fields:05d}.jpg", x
            yield f"flow_y_{num_fields:05d}.jpg", y

    with unfinished_folder(target) as folder, closing(original_frames(source)) as frames:
        num_bytes = write_pictures(folder, pictures(frames), is_stopped=is_stopped)
        if num_fields == 0:
            raise UnreadableVideoError(source, "it has one frame; optical flow takes two or more")
    return WrittenVideo(num_fields, num_bytes)


def flow_method(name: FlowMethod) -> Callable[[Frame, Frame], Flow]:
    """A function of two grey frames (H, W) that gives their flow (H, W, 2), in pixels.

    Raises:
        ValueError: OpenCV, with its contributed modules, is not installed.
    """
    cv2 = _import_opencv()
    cv2.setNumThreads(1)  # videos are worked on side by side
    make = {
        "tvl1": cv2.optflow.DualTVL1OpticalFlow_create,
        "dis": lambda: cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    }[name]
    method = make()  # one for each video: it keeps buffers, which threads must not share
    return lambda before, after: method.calc(before, after, None)


def as_pictures(flow: Flow) -> tuple[Frame, Frame]:
    """Flow (H, W, 2) as two grey pictures, x and y.

    >>> x, y = as_pictures(np.array([[[-25, -20], [0, 20]]], dtype=np.float32))
    >>> x.tolist(), y.tolist()
    ([[0, 128]], [[0, 255]])
    """
    scaled = (flow + LARGEST_MOTION) * (255 / (2 * LARGEST_MOTION))
    values = np.rint(scaled).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(values[..., 0]), np.ascontiguousarray(values[..., 1])


def _grey(frame: Frame, form: PreparedForm) -> Frame:
    cv2 = _import_opencv()
    return cv2.cvtColor(fitted(frame, *form.size(*frame.shape[:2])), cv2.COLOR_RGB2GRAY)


def _import_opencv() -> Any:
    try:
        import cv2  # noqa: PLC0415
    except ImportError as error:
        raise ValueError(_INSTALL) from error
    if not hasattr(cv2, "optflow"):  # another of its packages, without the contributed modules
        raise ValueError(_INSTALL)
    return cv2


_INSTALL = (
    "--flow computes with OpenCV's contributed modules, which are not installed: "
    "pip install 'mixtconv[flow]' (in place of another OpenCV package, if there is one)"
)
