"""The files of requests: in one private folder, gone with the request, the service or its heir.

A file lives in a `with` block. The folder goes when the service stops. A service that was killed
leaves its folder behind with a lock that nobody holds; the next one to start removes it.
"""

import fcntl
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

PREFIX = "mixtconv-serve-"
_LOCK = "lock"


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
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = (self.folder / _LOCK).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

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
        self._lock.close()


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of services of this user that ended without doing it."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # held by a service that runs, or just being made or removed
            continue
        logger.info("removed the files of a service that was killed")
