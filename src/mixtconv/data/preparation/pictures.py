"""Writing a folder of pictures for a video, checked before it gets its name."""

import errno
import io
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from mixtconv.data.preparation.frames import Frame, StoppedError, flush

JPEG_QUALITY = 95


@contextmanager
def unfinished_folder(target: Path) -> Iterator[Path]:
    """A hidden folder to write to, which takes the target's name once all went well.

    A folder that has the name already is replaced then. What an earlier run, killed, may have left
    under the hidden names is removed.
    """
    unfinished = target.with_name(f".{target.name}.part")
    outdated = target.with_name(f".{target.name}.old")
    for left in (unfinished, outdated):
        _remove(left)
    unfinished.mkdir()
    try:
        yield unfinished
        if target.exists():  # no folder takes the place of another in one step
            target.replace(outdated)
        unfinished.replace(target)
    except BaseException:
        _remove(unfinished)
        raise
    _remove(outdated)


def write_pictures(
    folder: Path,
    pictures: Iterable[tuple[str, Frame]],
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Write pictures as JPEG, read each again, and return how many bytes they take.

    Args:
        folder: a folder that exists.
        pictures: name and pixels of each, grey (H, W) or RGB (H, W, 3).
        is_stopped: asked before every picture.

    Raises:
        OSError: a picture cannot be written, or is not as it should be.
        StoppedError: `is_stopped` said so.
    """
    num_bytes = 0
    names = set()
    for name, pixels in pictures:
        if is_stopped():
            raise StoppedError
        path = folder / name
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
        path.write_bytes(buffer.getvalue())
        flush(path)
        _check(path, pixels)
        num_bytes += path.stat().st_size
        names.add(name)
    there = {path.name for path in folder.iterdir()}
    if there != names:
        raise OSError(errno.EIO, f"{len(there)} pictures are there, not {len(names)}", str(folder))
    return num_bytes


def _check(path: Path, pixels: Frame) -> None:
    """Read a written picture again and compare it with what was to be written."""
    size = (pixels.shape[1], pixels.shape[0])
    try:
        with Image.open(path) as image:
            image.load()
            is_as_meant = image.size == size
    except (SyntaxError, ValueError) as error:
        raise OSError(errno.EIO, "the written picture is damaged", str(path)) from error
    if not is_as_meant:
        raise OSError(errno.EIO, f"the written picture is not {size[0]}x{size[1]}", str(path))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
