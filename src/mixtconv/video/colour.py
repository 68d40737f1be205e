"""A decoded frame as 8-bit SDR RGB of whole pictures, whatever its depth, range and transfer.

FFmpeg converts matrix and range of ordinary video. What it leaves is done here:

- HDR. Phones record HLG (ARIB STD-B67) or PQ (SMPTE ST 2084), which would become a grey fog.
  Formulas and primaries are those of ITU-R BT.2100 and BT.2020; the luminance of SDR white, 203
  cd/m2, is that of ITU-R BT.2408. Whatever is brighter is clipped, as with FFmpeg's
  `zscale=transfer=linear:npl=203,tonemap=clip`. The SDR signal is the one that a screen of ITU-R
  BT.1886 (gamma 2.4) shows as that light.
- Grey pictures of limited range.
- Interlaced frames, of two moments: the lines of one are read, and those between interpolated.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv._types import Frame

Array = npt.NDArray[np.float32]

SDR_WHITE = 203.0
"""Luminance of diffuse white in HDR video, in cd/m2, which becomes the white of SDR."""

_LIMITED, _BT709 = 1, 1  # FFmpeg's AVCOL_RANGE_MPEG and AVCOL_PRI_BT709
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
"""Linear light of BT.2020 primaries to BT.709, from ITU-R BT.2087."""
_LEVELS, _STEPS = 1024, 4096  # of a 10-bit signal, and of the table back to 8 bits
_ROWS = 64  # rows at a time: the intermediate values stay in the cache


def is_hdr(frame: Any) -> bool:
    """Whether a frame of PyAV is HLG or PQ."""
    return frame.color_trc in _LINEAR_LIGHT


def is_interlaced(frame: Any) -> bool:
    """Whether a frame of PyAV holds two fields, in every second line another moment."""
    if not frame.interlaced_frame or frame.format.has_palette or frame.height < 2:
        return False
    return all(plane.line_size > 0 for plane in frame.planes)  # not from the bottom up


def convert_colours(frame: Any, width: int, height: int) -> Frame:
    """A frame of PyAV as RGB (height, width, 3), uint8, scaled if it has another size."""
    from av.video.reformatter import VideoReformatter  # noqa: PLC0415

    # One thread, and not the reformatter that frames share from PyAV 19 on: a forked process would
    # deadlock, since it has none of the threads of its parent. The default is one thread per core
    # since PyAV 17, https://github.com/PyAV-Org/PyAV/pull/2187 and pull/2379.
    target = "gbrp10le" if is_hdr(frame) else "rgb24"
    whole = _upper_field(frame) if is_interlaced(frame) else frame
    converted: Any = VideoReformatter().reformat(whole, width, height, format=target, threads=1)
    pixels = converted.to_ndarray()
    if target == "gbrp10le":
        return _tone_mapped(pixels, frame.color_trc, is_wide=frame.color_primaries != _BT709)
    if frame.color_range == _LIMITED and frame.format.name.startswith("gray"):
        return _full_range()[pixels]
    return np.asarray(pixels)


def _upper_field(frame: Any) -> Any:
    """Every second line of a frame, from the first, as a frame of half the height."""
    import av  # noqa: PLC0415

    field = av.VideoFrame(frame.width, (frame.height + 1) // 2, frame.format.name)
    for source, target in zip(frame.planes, field.planes, strict=True):
        lines, halved = (
            np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            for plane in (source, target)
        )
        length = min(lines.shape[1], halved.shape[1])  # lines are padded
        halved[:, :length] = lines[: 2 * len(halved) : 2, :length]
    field.colorspace, field.color_range = frame.colorspace, frame.color_range
    return field


@cache
def _full_range() -> npt.NDArray[np.uint8]:
    """Grey of limited range, 16 to 235, to 0 to 255; FFmpeg takes it for full range."""
    return np.clip((np.arange(256) - 16) * (255 / 219), 0, 255).round().astype(np.uint8)


def _tone_mapped(signal: npt.NDArray[np.uint16], transfer: int, *, is_wide: bool) -> Frame:
    """SDR of an HDR signal: (H, W, 3) of 10 bits to uint8."""
    linear_table, sdr_table = _LINEAR_LIGHT[transfer](), _sdr_table()
    result = np.empty(signal.shape, np.uint8)
    for top in range(0, len(signal), _ROWS):
        light = linear_table[signal[top : top + _ROWS]]  # (rows, W, 3), 1 is SDR white
        if is_wide:
            light = light @ _TO_BT709.T
        steps = np.sqrt(np.clip(light, 0, 1)) * (_STEPS - 1) + 0.5
        result[top : top + _ROWS] = sdr_table[steps.astype(np.uint16)]
    return result


@cache
def _sdr_table() -> npt.NDArray[np.uint8]:
    """The square root of linear light 0 to 1, in steps, to the 8-bit signal of BT.1886."""
    root = np.arange(_STEPS) / (_STEPS - 1)  # finer in the dark, where the signal is steep
    return (255 * root ** (2 / 2.4)).round().astype(np.uint8)


@cache
def _pq_light() -> Array:
    """PQ signal of 10 bits to light on the screen, in parts of SDR white."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (np.arange(_LEVELS) / (_LEVELS - 1)) ** (1 / m2)
    light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return (10000 / SDR_WHITE * light).astype(np.float32)


@cache
def _hlg_light() -> Array:
    """HLG signal of 10 bits to light on a screen of 1000 cd/m2, in parts of SDR white.

    From the light of the scene to that of the screen is a gamma of 1.2, here of each channel as in
    `zscale`; BT.2100 takes the gamma of the luminance, which gives paler colours.
    """
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.arange(_LEVELS) / (_LEVELS - 1)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return (1000 / SDR_WHITE * scene**1.2).astype(np.float32)


_LINEAR_LIGHT: dict[int, Callable[[], Array]] = {16: _pq_light, 18: _hlg_light}
"""FFmpeg's number of an HDR transfer function -> its table of light."""
