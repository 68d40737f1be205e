"""Writing the dataset's H.264 files so that nothing in them tells which way time runs.

A usual H.264 file has a few whole pictures, the others being differences to earlier ones, so a
picture's quality depends on its place: a network could learn from that which frame came first.
Here every picture is coded by itself and with one quantiser. A clip run backwards then decodes to
the same pictures in opposite order, pixel for pixel, and any frame can be read without another.
That takes options that `video_writer.write_video`, with its constant rate factor, does not have.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from mixtconv._atomic_write import written_whole

FRAMES_PER_SECOND = 24

_X264 = {"preset": "veryfast", "qp": "22", "g": "1"}


def write_clip_file(path: Path, frames: np.ndarray) -> None:
    """Write `frames` `(T, H, W, 3)` uint8 to `path`, an .mp4 file; the same frames, same bytes.

    The file appears under its name only when it is whole.
    """
    with (
        written_whole(path, durable=False) as unfinished,
        av.open(str(unfinished), "w", format="mp4") as container,
    ):
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=_X264)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # more would make the bytes depend on timing
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
