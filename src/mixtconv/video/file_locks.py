"""Locks by file: what is worked out of a file is so by one thread, for which the others wait."""

from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock

_NUM_LOCKS = 64


class FileLocks:
    """A lock for each file; a few files share one, so that there are not ever more of them."""

    def __init__(self) -> None:
        self._locks = tuple(Lock() for _ in range(_NUM_LOCKS))

    def of(self, path: Path) -> AbstractContextManager[bool]:
        """The lock of a file."""
        return self._locks[hash(path) % _NUM_LOCKS]
