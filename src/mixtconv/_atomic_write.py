"""Files that are there whole or not at all."""

import errno
import os
from pathlib import Path


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file beside `path`, then put it in place in one step.

    Whatever happens in between, `path` holds either what it held before or all of `content`.

    Raises:
        OSError: the file cannot be written, for instance for lack of space.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = f"{error.strerror}, and what was there before is whole"
        raise OSError(error.errno, reason, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def refuse_unwritable(path: Path) -> None:
    """Say before long work if `write_atomically` could not write a file; makes its folder.

    Raises:
        OSError: nothing can be written there.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder, name a file in it", str(path))
    trial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trial.touch()
    except FileExistsError as error:
        reason = f"{error.filename} is a file, no folder can be there"
        raise NotADirectoryError(errno.ENOTDIR, reason, str(path)) from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    trial.unlink()
