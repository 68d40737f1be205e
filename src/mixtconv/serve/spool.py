"""The files of requests: in one private folder, gone with the request, the service or its heir.

A file lives in a `with` block. The folder goes when the service stops. A service holds a lock on
its folder; one that was killed leaves it behind without, and the next one to start removes it.
Those who clean temporary folders by age, such as systemd-tmpfiles, leave a locked one alone too.
"""

import fcntl
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

logger = logging.getLogger(__name__)

PREFIX = "mixtconv-serve-"


class Spool:
    """A folder for files that live as long as their request.

    >>> spool = Spool()
    >>> with spool.file() as path:
    ...     _ = path.write_bytes(b"a clip")
    >>> path.exists()
    False
    >>> spool.close()
    """

    def __init__(self) -> None:
        remove_abandoned(Path(tempfile.gettempdir()))
        while True:  # until it is locked before another that starts took it for abandoned
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
            with suppress(FileNotFoundError):
                self._lock = _locked(self.folder, fcntl.LOCK_EX)
                if self.folder.exists():
                    return
                os.close(self._lock)

    @contextmanager
    def file(self) -> Iterator[Path]:
        """A new, empty file, which is removed at the end of the block."""
        path = self.folder / secrets.token_hex(16)  # no suffix: it would be believed
        try:
            path.touch(mode=0o600, exist_ok=False)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of services of this user that ended without doing it."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held by a service that runs, or just being removed
            continue
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        logger.info("removed the files of a service that was killed")


def _locked(folder: Path, how: int) -> int:
    """A descriptor that holds the lock on a folder.

    Raises:
        OSError: it is held by another, or the folder is gone.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, how)
    except OSError:
        os.close(lock)
        raise
    return lock
