"""One process at a time in a folder: a lock that the system releases when its process ends.

However that ends, so that nothing is left to be removed by hand. The file of the lock says who
holds it; an end in good order removes it.
"""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from mixtconv._atomic_write import refuse_place

logger = logging.getLogger(__name__)

LOCK = ".mixtconv.lock"
"""Name of the file in the folder; it is hidden."""

_BEYOND = 2**30
"""Where Windows locks a byte: past the text, which others could not read otherwise."""

_held: set[int] = set()
"""Descriptors of the files whose locks this process holds."""


@contextmanager
def alone_in(folder: Path, command: str, *, name: str = LOCK) -> Iterator[None]:
    """Lock a folder for the block; it is made, and removed again if nothing was written to it.

    So are the folders above it.

    On a file system without locks a warning is logged, and the block runs without one.

    Args:
        folder: where files are written.
        command: what writes there, for the message.
        name: of the file of the lock.

    Raises:
        ValueError: another process holds the lock; says which and since when.
        OSError: the folder cannot be written.
    """
    refuse_place(folder, folder=True)
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    lock = _take(path, command)
    try:
        yield
    finally:
        if os.name != "nt":  # while it is held; Windows removes no open file
            path.unlink(missing_ok=True)
        _held.discard(lock)
        os.close(lock)
        with suppress(OSError):  # not empty
            for each in new:
                each.rmdir()


def _take(path: Path, command: str) -> int:
    """The open file of the lock, held by this process, which is named in it."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(lock)
        except (BlockingIOError, PermissionError):
            who = os.read(lock, 200)
            os.close(lock)
            raise ValueError(
                f"--out {path.parent}: another mixtconv {command} is at work there "
                f"({who.decode(errors='replace').strip() or 'it has not said which'}): wait for "
                "it, or give another folder"
            ) from None
        except OSError as error:
            logger.warning(
                "%s cannot be locked (%s): start no second mixtconv %s there beside this one",
                *(path.parent, error.strerror, command),
            )
        if _is_in_place(lock, path):
            break
        os.close(lock)  # its holder has removed it in between
    _held.add(lock)
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    with suppress(OSError):  # a full disk, of which what is written next says so
        os.ftruncate(lock, 0)
        os.lseek(lock, 0, os.SEEK_SET)
        os.write(lock, f"process {os.getpid()} on {socket.gethostname()}, since {since}\n".encode())
    return lock


def _lock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        os.lseek(file, _BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(file, 0, os.SEEK_SET)
        return
    import fcntl  # noqa: PLC0415

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_in_place(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _let_go() -> None:
    """Close what a fork inherits: it would keep the lock of a parent that was killed."""
    for file in _held:
        os.close(file)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
