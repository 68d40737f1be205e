"""Writing H.264 files through PyAV: the same frames always give the same bytes.

x264 uses one thread, since several would make the bytes depend on the machine. Its look-ahead does
not always decide the same for the same small pictures, even with one thread: whatever rests on it
(adaptive B-frames, weighted prediction, scene cuts, rate control over many frames) is off or fixed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from mixtconv._types import Frame, FrameLike
from mixtconv.video.opening import file_address

TICKS = 90_000
"""Ticks of a second in files whose frames have times of their own: whole for most rates."""

WITHOUT_LOOK_AHEAD = "b-adapt=0:bframes=2:rc-lookahead=0:mbtree=0:scenecut=0:weightp=0:open-gop=0"


@dataclass(frozen=True)
class Encoding:
    """How x264 compresses frames."""

    quality: int = 18
    """Constant rate factor, 0 (largest file) to 51."""
    keyframe_distance: int = 12
    """Most frames from one keyframe to the next; single frames are read fast if they are close."""
    preset: str = "veryfast"
    """x264's name for how much time it takes; slower ones make smaller files."""
    parameters: str = WITHOUT_LOOK_AHEAD
    """Other parameters, as x264 writes them."""
    constant_quantizer: bool = False
    """Whether `quality` is the quantizer of every picture, not the constant rate factor."""

    def as_options(self) -> dict[str, str]:
        """What FFmpeg's encoder libx264 is given."""
        options = {
            "qp" if self.constant_quantizer else "crf": str(self.quality),
            "preset": self.preset,
            "g": str(self.keyframe_distance),
        }
        return options | ({"x264-params": self.parameters} if self.parameters else {})


class EncodingError(ValueError):
    """The encoder failed on a frame; the message says why."""


def write_video(
    path: str | Path,
    frames: Iterable[FrameLike],
    *,
    frames_per_second: float | Fraction,
    times: Iterator[Fraction] | None = None,
    encoding: Encoding | None = None,
    container: str | None = None,
) -> int:
    """Write frames as H.264, each as soon as it comes.

    Height and width must be even, since the colour format (yuv420p, the one that everything
    plays) halves both; odd sizes are an error rather than a silent crop. The file says which matrix
    its colours have, the one that players take for its size without being told.

    Args:
        path: the file; one that was begun and not finished is removed.
        frames: uint8 RGB `(H, W, 3)` each, all of one size, at least one.
        frames_per_second: the rate, kept as a fraction with a denominator of 1001 at most.
        times: seconds at which each frame is shown, asked for after the frame, for a rate that
            changes; kept to 1/90000 s. Of equal times the later one is a tick later. The last frame
            is shown for a period of `frames_per_second`.
        encoding: quality, keyframes and speed.
        container: FFmpeg's name of the container, by default that of the path's suffix.

    Returns:
        The number of frames.

    Raises:
        ValueError: no frames, or frames or a rate that cannot be written.
        EncodingError: the encoder failed.
        OSError: the file cannot be written.
    """
    import av  # noqa: PLC0415

    rate = Fraction(frames_per_second).limit_denominator(1001)
    if rate <= 0:
        raise ValueError(f"{path}: got {frames_per_second} frames per second; it must be above 0")
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
    options = (encoding or Encoding()).as_options()
    num_frames = 0
    try:
        with av.open(file_address(path), "w", format=container) as output:
            stream: Any = output.add_stream("libx264", rate=rate, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.thread_count = 1
            colours = _colours(height, width)
            for name, value in colours.items():
                setattr(stream.codec_context, name, value)
            if times is not None:
                stream.codec_context.time_base = Fraction(1, TICKS)
            tick = -1
            for frame in chain([first], iterator):
                picture = _as_picture(_as_array(frame), first.shape, colours)
                if times is not None:
                    tick = max(tick + 1, round(next(times) * TICKS))
                    picture.pts, picture.time_base = tick, Fraction(1, TICKS)
                    picture.duration = round(TICKS / rate)
                _encode(output, stream, picture)
                num_frames += 1
            _encode(output, stream, None)
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise
    return num_frames


def _as_array(frame: FrameLike) -> Frame:
    array = np.asarray(frame.numpy(force=True) if hasattr(frame, "numpy") else frame)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(
            f"got a frame of {array.dtype} and shape {array.shape}; it must be uint8 RGB of shape "
            "(H, W, 3); scale values to 0 ... 255 and move the channels last"
        )
    return array


def _colours(height: int, width: int) -> dict[str, int]:
    """The colours of a file as FFmpeg numbers them; players that are not told go by the size.

    >>> _colours(1080, 1920)["colorspace"], _colours(256, 340)["colorspace"]
    (1, 6)
    """
    is_hd = height > 576 or width > 1024
    return {
        "colorspace": 1 if is_hd else 6,  # BT.709, or BT.601 as SMPTE 170M
        "color_primaries": 1,  # of BT.709, which are those of sRGB
        "color_trc": 1,
        "color_range": 1,  # 16 to 235
    }


def _as_picture(array: Frame, shape: tuple[int, ...], colours: dict[str, int]) -> Any:
    import av  # noqa: PLC0415
    from av.video.reformatter import VideoReformatter  # noqa: PLC0415

    if array.shape != shape:
        raise ValueError(f"got frames of shapes {shape} and {array.shape}; all must be of one size")
    # A view of the frame: a copy would hold up other threads.
    picture = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(array), format="rgb24")
    # One thread and a reformatter of its own, as in `colour.convert_colours`.
    matrix, limited = colours["colorspace"], colours["color_range"]
    converted = VideoReformatter().reformat(
        picture, format="yuv420p", dst_colorspace=matrix, dst_color_range=limited, threads=1
    )
    for name, value in colours.items():
        setattr(converted, name, value)
    return converted


def _encode(output: Any, stream: Any, picture: Any) -> None:
    """Write the packets that are complete with a picture; with None, all that are left."""
    import av  # noqa: PLC0415

    try:
        packets = stream.encode(picture)
        output.mux(packets)
    except av.FFmpegError as error:
        if isinstance(error, OSError):  # of the disk, not of the frames
            raise
        size = f"{stream.width}x{stream.height}"
        raise EncodingError(f"frames of {size} cannot be encoded ({error.strerror})") from error
