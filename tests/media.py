"""Small video files for the tests, and a plain reference for what they hold."""

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def moving_frames(num_frames, *, height=64, width=96, seed=0):
    """Textured frames `(T, H, W, 3)` that all differ: a window that slides over noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    ground = noise.repeat(8, axis=0).repeat(8, axis=1)  # (320, 480, 3)
    tops = [3 * t % (320 - height) for t in range(num_frames)]
    lefts = [2 * t % (480 - width) for t in range(num_frames)]
    windows = zip(tops, lefts, strict=True)
    return np.stack([ground[y : y + height, x : x + width] for y, x in windows])


def encode(
    path,
    frames,
    *,
    codec="libx264",
    pixel_format="yuv420p",
    options=None,
    gop_size=12,
    container_options=None,
    times: Sequence[int] | None = None,
    audio=False,
    pixel_aspect=None,
):
    """Writes frames with PyAV; `times` are presentation times in 1/600 s."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        stream.thread_count = 1
        stream.codec_context.gop_size = gop_size
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 600)
        sound = container.add_stream("aac", rate=16000, layout="mono") if audio else None
        for number, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 600)
            container.mux(stream.encode(frame))
            if sound is not None:
                silence = av.AudioFrame.from_ndarray(
                    np.zeros((1, 640), dtype=np.float32), format="fltp", layout="mono"
                )
                silence.sample_rate, silence.pts = 16000, 640 * number
                container.mux(sound.encode(silence))
        container.mux(stream.encode())
        if sound is not None:
            container.mux(sound.encode())
    return Path(path)


def encode_audio(path):
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        for number in range(10):
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate, silence.pts = 16000, 1024 * number
            container.mux(sound.encode(silence))
        container.mux(sound.encode())
    return Path(path)


def decode_all(path):
    """Every picture of a file in order, `(H, W, 3)` each: one thread, no seeking, no rotation."""
    pictures = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1

        def decode(packet):
            with suppress(av.FFmpegError):
                pictures.extend(f.to_ndarray(format="rgb24") for f in stream.decode(packet))

        with suppress(av.FFmpegError):
            for packet in container.demux(stream):
                if packet.size:
                    decode(packet)
        decode(None)
    return pictures


def packets(path):
    """(position, size, is a keyframe, is discarded, time) of each packet with a picture."""
    with av.open(str(path)) as container:
        return [
            (p.pos, p.size, p.is_keyframe, p.is_discard, p.pts)
            for p in container.demux(video=0)
            if p.size
        ]


def header_count(path):
    with av.open(str(path)) as container:
        return container.streams.video[0].frames


def overwrite(path, position, data):
    content = bytearray(Path(path).read_bytes())
    content[position : position + len(data)] = data
    Path(path).write_bytes(content)
    return Path(path)


def set_display_matrix(path, a, b, c, d):
    """Writes a rotation into the track header of an MP4 file: x' = a x + c y, y' = b x + d y."""
    at = Path(path).read_bytes().index(b"tkhd") + 4 + 40
    rows = [[a, b, 0], [c, d, 0], [0, 0, 0]]
    fixed = np.array(rows) << 16
    fixed[2, 2] = 1 << 30
    return overwrite(path, at, fixed.astype(">i4").tobytes())


def set_avi_count(path, count):
    """Writes a wrong number of frames into both headers of an AVI file."""
    number = int(count).to_bytes(4, "little")
    content = Path(path).read_bytes()
    overwrite(path, content.index(b"avih") + 8 + 16, number)
    return overwrite(path, content.index(b"strh") + 8 + 32, number)


def cut_start_by_edit_list(path, num_frames):
    """Makes an MP4 file start `num_frames` later, as cutting without encoding again does."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        ticks = int(1 / stream.average_rate / stream.time_base)
    content = Path(path).read_bytes()
    at = content.index(b"elst") + 4 + 8
    media_time = int.from_bytes(content[at + 4 : at + 8], "big") + num_frames * ticks
    return overwrite(path, at + 4, media_time.to_bytes(4, "big"))


def cut_end_by_edit_list(path, seconds):
    """Makes an MP4 file end so long after its start, as cutting without encoding again does."""
    content = Path(path).read_bytes()
    at = content.index(b"mvhd") + 4 + 12
    length = round(seconds * int.from_bytes(content[at : at + 4], "big"))
    at = content.index(b"elst") + 4 + 8
    return overwrite(path, at, length.to_bytes(4, "big"))
