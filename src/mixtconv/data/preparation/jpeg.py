"""Writing a video as a folder of JPEG pictures, one a frame: `00001.jpg` and so on."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from mixtconv.data.preparation.form import PreparedForm
from mixtconv.data.preparation.frames import WrittenVideo, fitted, original_frames
from mixtconv.data.preparation.pictures import unfinished_folder, write_pictures


def write_jpeg(
    source: Path,
    target: Path,
    form: PreparedForm,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> WrittenVideo:
    """Write the frames of a video as pictures; the target appears only when it is whole.

    Args:
        source: a video file or a folder of pictures.
        target: a folder, in a folder that exists; one that is there is replaced.
        form: size of the frames.
        is_stopped: asked before every picture.

    Raises:
        UnreadableVideoError: the source gives no frame, or not all that it should.
        OSError: the target cannot be written.
        StoppedError: `is_stopped` said so.
    """
    with unfinished_folder(target) as folder, closing(original_frames(source)) as frames:
        pictures = (
            (f"{number:05d}.jpg", fitted(frame, *form.size(*frame.shape[:2])))
            for number, frame in enumerate(frames, 1)
        )
        num_bytes = write_pictures(folder, pictures, is_stopped=is_stopped)
        num_frames = len(list(folder.iterdir()))
    return WrittenVideo(num_frames, num_bytes)
