"""Files and folders that appear under their name whole or not at all.

All are written under a hidden name beside the target, on the same file system, and renamed, which
is one step. `write_atomically` takes the bytes of a file, `write_text_atomically` its text;
`written_whole` gives a path to whatever writes a file or a folder itself; `hidden_folder` and
`put_in_place` do the same for several files, and leave it to the caller whether they appear.
"""

import errno
import glob
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MOST_BYTES = 100
"""Bytes of a name above which its hidden one has a hash in its place: systems allow 143 to 255."""


def write_atomically(path: Path, content: bytes | memoryview, *, alone: bool = False) -> None:
    """Write a file; its folder is made. Several processes may write the same one.

    Whatever happens in between, `path` holds either what it held before or all of `content`.

    Args:
        path: the file.
        content: all of it.
        alone: no other process writes the file: what killed ones have left of it is removed.

    Raises:
        OSError: the file cannot be written, for instance for lack of space.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if alone:
        remove_leftovers(path)
    temporary = _hidden_file(path)
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


def write_text_atomically(path: Path, text: str, *, alone: bool = False) -> None:
    """Write a text in UTF-8 as `write_atomically` does.

    Bytes of names that are not UTF-8, which Python holds as surrogates, are written as they are.
    """
    write_atomically(path, encoded(text), alone=alone)


def encoded(text: str) -> bytes:
    """A text in UTF-8, with bytes of names that are not UTF-8 as they are.

    >>> encoded("caf\\udce9.mp4")
    b'caf\\xe9.mp4'
    """
    return text.encode("utf-8", "surrogateescape")


@contextmanager
def written_whole(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a hidden path to write a file or a folder to; it becomes `path` after the block.

    If the block raises, `path` stays as it was and what was written is removed. The hidden name
    depends on that of `path` only: what a killed process left there is removed first.

    Args:
        path: the file or folder, in a folder that exists. One process at a time may write it.
        durable: wait until a file is on the disk before it gets its name, so that not even a power
            failure leaves a name without its content. The files of a folder are not waited for:
            see `flush_to_disk`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with written_whole(Path(folder, "a.txt")) as unfinished:
    ...         _ = unfinished.write_text("all of it")
    ...     [(path.name, path.read_text()) for path in Path(folder).iterdir()]
    [('a.txt', 'all of it')]
    """
    unfinished = _hidden(path, "part")
    outdated = _hidden(path, "old")
    _restore(path, outdated)
    _remove(unfinished, outdated)
    try:
        yield unfinished
        if durable and unfinished.is_file():
            flush_to_disk(unfinished)
        if unfinished.is_dir() and path.exists():  # a folder is not replaced in one step
            path.replace(outdated)
        unfinished.replace(path)
    except BaseException:
        _restore(path, outdated)
        _remove(unfinished)
        raise
    _remove(outdated)


@contextmanager
def hidden_folder(path: Path) -> Iterator[Path]:
    """Give a hidden folder beside `path` to write to; it is removed with all that is left in it.

    For several files, or a writer that needs the true name or suffix: see `put_in_place`.
    """
    folder = _hidden_file(path)
    folder.mkdir()
    try:
        yield folder
    finally:
        _remove(folder)


def put_in_place(folder: Path, path: Path) -> None:
    """Move the files of a hidden folder beside `path`; `path`, which may name the others, last."""
    for part in sorted(folder.iterdir(), key=lambda part: part.name == path.name):
        target, earlier = path.with_name(part.name), folder / f".{part.name}.old"
        if not (part.is_dir() and target.is_dir()):
            part.replace(target)
            continue
        target.replace(earlier)  # a folder is not replaced in one step
        try:
            part.replace(target)
        except BaseException:
            earlier.replace(target)
            raise


def flush_to_disk(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def refuse_unwritable(path: Path, *, folder: bool = False) -> None:
    """Say before long work if a file, or a folder of files, could not be written; makes the folder
    that it is in.

    Raises:
        OSError: nothing can be written there.
    """
    refuse_place(path, folder=folder)
    path.parent.mkdir(parents=True, exist_ok=True)


def refuse_place(path: Path, *, folder: bool = False) -> None:
    """Say if a file, or a folder of files, could not be written, and leave no trace.

    Raises:
        OSError: nothing can be written there.
    """
    if folder and path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "this is a file, name a folder", str(path))
    if not folder and path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder, name a file in it", str(path))
    there = path if folder else path.parent
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        reason = f"{there} is a file, no folder can be there"
        raise NotADirectoryError(errno.ENOTDIR, reason, str(path))
    trial = _hidden_file(there / (path.absolute().name or "folder"))  # "." and "/" have no name
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        reason = f"nothing can be written in {there} ({error.strerror})"
        raise OSError(error.errno, reason, str(path)) from error


def remove_leftovers(path: Path, *, seconds: float = 0.0) -> None:
    """Remove what killed processes have left of writing `path` with `write_atomically`.

    Args:
        path: the file.
        seconds: since the last change of what is removed; 0 where no other process writes it.
    """
    for leftover in path.parent.glob(glob.escape(_hidden(path, "").name) + "*.part"):
        with suppress(FileNotFoundError):  # another process has ended writing, or removes it too
            if time.time() - leftover.stat().st_mtime >= seconds and leftover.is_file():
                leftover.unlink()


def _hidden_file(path: Path) -> Path:
    """A name of its own to write `path` under.

    Not the number of the process, which two machines or containers may have in common.
    """
    return _hidden(path, f"{secrets.token_hex(4)}.part")


def _hidden(path: Path, suffix: str) -> Path:
    """A hidden name beside a path, with one dot in front; of a long name a short one."""
    name = path.name.removeprefix(".")
    if len(os.fsencode(name)) > _MOST_BYTES:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:24]
    return path.with_name(f".{name}.{suffix}")


def _restore(path: Path, outdated: Path) -> None:
    """Give a folder its name back that was set aside for a new one which did not come."""
    if outdated.exists() and not path.exists():
        outdated.replace(path)


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
