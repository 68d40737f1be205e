"""Writing H.264 files through PyAV: the same frames always give the same bytes.

x264's look-ahead does not always decide the same for the same small pictures, even with one
thread. Whatever rests on it (adaptive B-frames, weighted prediction, scene cuts, rate control
over many frames) is therefore turned off or fixed.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixtconv._types import FrameLike

if TYPE_CHECKING:
    pass

WITHOUT_LOOK_AHEAD = "b-adapt=0:bframes=2:rc-lookahead=0:mbtree=0:scenecut=0:weightp=0:open-gop=0"


def write_video(
    path: str | Path,
    frames: Iterable[FrameLike],
    *,
    frames_per_second: float | Fraction,
    quality: int = 18,
    frames_between_keyframes: int = 12,
    preset: str = "veryfast",
) -> None:
    """Writes frames, each uint8 RGB `(H, W, 3)`, as H.264 in the container of the path's suffix.

    Height and width must be even, since the colour format (yuv420p, the one that everything
    plays) halves both; odd sizes are an error rather than a silent crop. `quality` is x264's
    constant rate factor, 0 (largest) to 51; keyframes are close enough together for reading
    single frames fast. A file that was begun and not finished is removed.
    """
    import av  # noqa: PLC0415

    target = Path(path)
    iterator = iter(frames)
    try:
        first = _as_array(next(iterator))
    except StopIteration:
        raise ValueError(f"{path}: got no frames; a video needs at least one") from None
    height, width = first.shape[:2]
    if height % 2 or width % 2:
        raise ValueError(
            f"{path}: got frames of {width}x{height}; both must be even for H.264 (yuv420p); "
            "crop or pad the frames by one pixel"
        )
    rate = Fraction(frames_per_second).limit_denominator(1001)
    if rate <= 0:
        raise ValueError(f"{path}: got {frames_per_second} frames per second; it must be above 0")
    options = {"crf": str(quality), "preset": preset, "x264-params": WITHOUT_LOOK_AHEAD}
    try:
        with av.open(str(target), "w") as container:
            stream: Any = container.add_stream("libx264", rate=rate, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.thread_count = 1  # several threads would make the bytes depend on the machine
            stream.codec_context.gop_size = frames_between_keyframes
            container.mux(stream.encode(_as_picture(first, first.shape)))
            for frame in iterator:
                container.mux(stream.encode(_as_picture(_as_array(frame), first.shape)))
            container.mux(stream.encode())
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _as_array(frame: FrameLike) -> npt.NDArray[np.uint8]:
    array = np.asarray(frame.numpy(force=True) if hasattr(frame, "numpy") else frame)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(
            f"got a frame of {array.dtype} and shape {array.shape}; it must be uint8 RGB of shape "
            "(H, W, 3); scale values to 0 ... 255 and move the channels last"
        )
    return array


def _as_picture(array: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> Any:
    import av  # noqa: PLC0415

    if array.shape != shape:
        raise ValueError(f"got frames of shapes {shape} and {array.shape}; all must be of one size")
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
    return picture.reformat(format="yuv420p", threads=1)  # as in `decoding.to_rgb`
