"""A video to measure reading with: a camera that pans and zooms over a scene in which things move.

Kinetics as it is commonly kept has 10 seconds of 340x256 in H.264 by x264's default settings, with
keyframes up to 250 frames apart. Size and settings are the same here, and the number of bytes is
like that of a natural clip, since detail falls with its frequency as it does in nature.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

WIDTH, HEIGHT = 340, 256
FRAMES_PER_SECOND = 30

_SCENE = 640
_THINGS = (150, 110, 80, 60, 40)
_SENSOR_NOISE = 2.5


def write_sample_video(path: Path, *, num_frames: int = 300) -> Path:
    """Write the video, whose frames are always the same, and return its path."""
    import av  # noqa: PLC0415

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(
            "libx264", rate=FRAMES_PER_SECOND, options={"x264-params": "keyint=250"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in _frames(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def _frames(num_frames: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Frames, each (H, W, 3)."""
    rng = np.random.default_rng(0)
    scene = _texture(rng, _SCENE)
    things = [_texture(rng, side) for side in _THINGS]
    noise = rng.normal(0, _SENSOR_NOISE, (8, HEIGHT, WIDTH, 3))
    for number in range(num_frames):
        picture = scene.copy()
        for index, thing in enumerate(things):
            phase = 2 * np.pi * (number / 60 * (1 + index % 3) + index / len(things))
            turned = thing.rotate(10 * index + 2 * number, Image.Resampling.BILINEAR)
            place = 270 + 130 * np.cos(phase), 290 + 120 * np.sin(0.7 * phase)
            picture.paste(turned, (int(place[0]), int(place[1])))
        turn = 2 * np.pi * number / 100
        width = 380 + 40 * np.cos(turn)
        left, top = 130 + 40 * np.sin(turn), 170 + 40 * np.sin(1.7 * turn)
        box = (left, top, left + width, top + width * HEIGHT / WIDTH)
        view = picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box)
        seen = np.asarray(view) + noise[rng.integers(len(noise))]
        yield seen.clip(0, 255).astype(np.uint8)


def _texture(rng: np.random.Generator, side: int) -> Image.Image:
    """Random detail whose strength falls with its frequency, as in photographs."""
    frequencies = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    frequencies[0, 0] = 1 / side
    spectrum = np.fft.fft2(rng.normal(size=(side, side, 3)), axes=(0, 1)) / frequencies[..., None]
    detail = np.fft.ifft2(spectrum, axes=(0, 1)).real  # (side, side, 3)
    grey = detail.mean(2, keepdims=True)
    values = 128 + 35 * (grey / grey.std() + 0.4 * (detail - grey) / (detail - grey).std())
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))
