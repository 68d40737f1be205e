"""What an original was when it was prepared, to tell whether it has changed since."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mixtconv.data.frame_folder import list_pictures


@dataclass(frozen=True)
class Original:
    """Size and state of an original."""

    num_bytes: int
    """Size of the file, or of all pictures of a folder."""
    stamp: str
    """A word that is another one once a file is changed, added, removed or renamed."""


def look_at(path: Path) -> Original:
    """Find out about an original without opening it.

    Raises:
        OSError: it is not there, or may not be looked at.
    """
    files = list_pictures(path) if path.is_dir() else [path]
    statuses = [(file.name, file.stat()) for file in files]
    facts = [f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in statuses]
    digest = hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()
    return Original(sum(status.st_size for _, status in statuses), digest[:16])
