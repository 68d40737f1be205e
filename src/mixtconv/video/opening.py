"""Opening a video with FFmpeg: one file and nothing else, its best stream, square pixels."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from mixtconv.video.pictures import UnreadableVideoError

Opened = tuple[Any, Any]
"""A PyAV container and its video stream."""


_NAMING_OTHERS = {"concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vobsub"}
_NAMING_OTHERS |= {"webm_dash_manifest", "avisynth", "vapoursynth"}
_NAMING_OTHERS |= {"image2", "alias_pix", "brender_pix"}  # patterns of file names
_NAMING_OTHERS |= {"lavfi", "tty", "fbdev", "kmsgrab", "x11grab", "video4linux2,v4l2"}
"""Formats of FFmpeg that are no video but name other files, addresses, devices or graphs."""


@cache
def _one_file_alone() -> dict[str, str]:
    """Options with which FFmpeg opens no other file or address, whatever a file holds."""
    import av  # noqa: PLC0415

    formats = sorted(av.formats_available - _NAMING_OTHERS)
    return {"format_whitelist": ",".join(formats), "protocol_whitelist": "file"}


def keep_messages_from_python() -> None:
    """Let FFmpeg's threads drop their messages, as PyAV has it, after torchvision changed that.

    A torchvision that still has `torchvision.io.read_video` lets them pass errors to Python, each
    of which waits for the GIL. A decoder that is closed early has such errors, and its closing,
    which holds the GIL, waits for the threads: for ever
    (https://github.com/PyAV-Org/PyAV/issues/751). Any other level that a program sets stays. Of a
    video that is open while torchvision is imported, the threads have their way already.
    """
    import av.logging  # noqa: PLC0415

    if av.logging.get_level() == av.logging.ERROR:  # what torchvision sets
        av.logging.set_level(None)


def file_address(path: str | Path) -> str:
    """A file as FFmpeg takes it; of a bare name, what stands before a colon would be a protocol.

    >>> import os
    >>> file_address("/clips/12:30.mp4").replace(os.sep, "/").endswith("/clips/12:30.mp4")
    True
    """
    return f"file:{Path(path).absolute()}"


@dataclass(frozen=True)
class PictureLimits:
    """Largest pictures that are read: a file of a kilobyte can hold one that takes gigabytes."""

    max_megapixels: float = 64.0
    """Millions of pixels; 8K has 33. A clip takes 3 bytes for each pixel of each of its frames."""
    max_ratio: float = 256.0
    """Longer side by the shorter one, to which an image is scaled: the longer one grows by it."""

    @classmethod
    def from_environment(cls) -> "PictureLimits":
        """The limits of `MIXTCONV_MAX_MEGAPIXELS` and `MIXTCONV_MAX_RATIO`, else the defaults.

        Raises:
            ValueError: a variable that is no number above 0.
        """
        values = {}
        for field in fields(cls):
            variable = f"MIXTCONV_{field.name.upper()}"
            text = os.environ.get(variable)
            if text is not None:
                values[field.name] = _positive(variable, text)
        return cls(**values)

    def refusal(self, width: int, height: int) -> str | None:
        """Why pictures of a size are not read, None if they are.

        >>> PictureLimits().refusal(1920, 1080)
        >>> PictureLimits().refusal(2, 65534)
        'pictures are 2x65534, one side 32767 times the other; allowed are 256 times'
        """
        shorter, longer = sorted((width, height))
        if width * height > self.max_megapixels * 1e6:
            allowed = f"; allowed are {self.max_megapixels:g} megapixels"
        elif longer > self.max_ratio * shorter:
            times = f"{longer / max(shorter, 1):.0f} times the other"
            allowed = f", one side {times}; allowed are {self.max_ratio:g} times"
        else:
            return None
        return f"pictures are {width}x{height}{allowed}"


def _positive(variable: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise ValueError(f"the environment variable {variable} is {text!r}; give a number above 0")
    return value


def refuse_large(path: str | Path, width: int, height: int) -> PictureLimits:
    """Raise `UnreadableVideoError` for pictures beyond the limits of the environment.

    Returns:
        The limits.
    """
    limits = PictureLimits.from_environment()
    refusal = limits.refusal(width, height)
    if refusal is not None:
        raise UnreadableVideoError(
            path,
            f"its {refusal}, unless MIXTCONV_MAX_MEGAPIXELS or MIXTCONV_MAX_RATIO say otherwise",
        )
    return limits


def limit_decoder(stream: Any, limits: PictureLimits) -> None:
    """Let a decoder refuse pictures beyond the limit, which may be larger than the header says."""
    stream.codec_context.options = {"max_pixels": str(int(limits.max_megapixels * 1e6))}


def report_damage(stream: Any, num_threads: int) -> None:
    """Let a decoder that is not open yet raise an error for damage instead of concealing it.

    Args:
        stream: its stream.
        num_threads: its threads, 0 for the codec's choice. They decode a frame each.
    """
    stream.thread_count = num_threads
    stream.thread_type = "FRAME"
    stream.codec_context.options = {**stream.codec_context.options, "err_detect": "explode"}


def limit_pictures(path: str | Path, stream: Any) -> None:
    """Refuse a stream of pictures beyond the limits of the environment, and those that come later.

    Raises:
        UnreadableVideoError: the header says such pictures.
    """
    limit_decoder(stream, refuse_large(path, *square_size(stream)))


@contextmanager
def open_video(path: str | Path) -> Iterator[Opened]:
    """Open a file as (container, video stream) for the block.

    Raises:
        UnreadableVideoError: no such file, no video in it, or pictures beyond the limits.
    """
    import av  # noqa: PLC0415

    source = Path(path)
    if not source.exists():
        raise UnreadableVideoError(path, "there is no such file or folder")
    if not source.is_file():
        raise UnreadableVideoError(path, "neither a regular file nor a folder")
    if source.stat().st_size == 0:
        raise UnreadableVideoError(path, "the file is empty (0 bytes)")
    # Ignore titles in a broken encoding, https://github.com/PyAV-Org/PyAV/issues/629; can go with
    # PyAV 18, since PyAV 19 has no such option.
    lenient = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "ignore"}
    try:
        keep_messages_from_python()
        address, options = file_address(source), _one_file_alone()
        container = av.open(address, container_options=options, **lenient)
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableVideoError(
            path, f"not a video, or its header is damaged or missing ({reason})"
        ) from error
    with container:
        stream = best_stream(container)
        if stream is None:
            kinds = sorted({s.type for s in container.streams}) or ["nothing"]
            raise UnreadableVideoError(
                path, f"the file has no video stream, it holds {' and '.join(kinds)} only"
            )
        if stream.codec_context is None:
            raise UnreadableVideoError(path, "there is no decoder for its video stream")
        limit_pictures(path, stream)
        yield container, stream


DEFAULT_PIXELS = 5_000_000
"""Pixels of a picture that a stream's mark as the default one outweighs, as in FFmpeg's command."""


def best_stream(container: Any) -> Any:
    """The video stream of a container that players show, None without any; a cover is none.

    As FFmpeg's command chooses: the one with the largest pictures, unless another is marked as the
    default one. A still, a stream of one picture, comes after all films.
    """
    import av  # noqa: PLC0415

    cover = av.stream.Disposition.attached_pic
    default = av.stream.Disposition.default

    def rank(stream: Any) -> tuple[bool, bool, int]:
        has_decoder = stream.codec_context is not None
        pixels = stream.width * stream.height if has_decoder else 0
        is_default = bool(stream.disposition & default)
        return has_decoder, stream.frames != 1, pixels + DEFAULT_PIXELS * is_default

    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    return max(streams, key=rank, default=None)  # of equal ones the first


@contextmanager
def as_unreadable(source: str | Path) -> Iterator[None]:
    """Raise every error of the block, in reading, as an `UnreadableVideoError` of the source."""
    import av  # noqa: PLC0415

    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise UnreadableVideoError(source, error.strerror or str(error)) from error


MOST_STRETCHED = 4
"""Aspect of a pixel, or its inverse, above which it is taken for an error of the header."""


def square_size(stream: Any, picture: Any = None) -> tuple[int, int]:
    """Width and height of a stream's pictures, or of one of them, with square pixels.

    Anamorphic video (DVD, HDV, DV) is stored narrower, or flatter, than it is shown: it is widened,
    or made taller, so that no detail is lost and a circle is a circle.
    """
    shown = stream if picture is None else picture
    width, height = shown.width, shown.height
    aspect = stream.sample_aspect_ratio or 1  # of a pixel: width by height
    if aspect > 1 and aspect <= MOST_STRETCHED:
        width = round(width * aspect)
    elif aspect < 1 and aspect * MOST_STRETCHED >= 1:
        height = round(height / aspect)
    return width, height
