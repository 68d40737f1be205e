"""Videos with the same content: hard links, and copies with the same bytes.

Sizes are compared first, then the ends of files of one size, and the whole files only where these
agree too, so that of most data nothing is read. Of folders of pictures the number and the first and
last picture stand for that.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

from mixtconv.video.find import list_pictures

_ENDS = 1 << 16
"""Bytes at each end of a file that are compared first."""

_BLOCK = 1 << 20


def same_content(paths: Iterable[Path]) -> list[list[Path]]:
    """Videos with equal bytes, one list for each content that there is more than once.

    Links to one file are copies too. Paths that cannot be read are left out.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     paths = [Path(folder, name) for name in ("a.mp4", "b.mp4", "c.mp4")]
    ...     sizes = [path.write_bytes(data) for path, data in zip(paths, (b"12", b"34", b"12"))]
    ...     [[path.name for path in same] for same in same_content(paths)]
    [['a.mp4', 'c.mp4']]
    """
    groups = [list(dict.fromkeys(paths))]
    for key in (_size, _digest_of_ends, _digest):
        groups = [same for group in groups for same in _divide(group, key)]
    return groups


def _divide(paths: Sequence[Path], key: Callable[[Path], Hashable]) -> list[list[Path]]:
    """Paths of one key together, where there are several."""
    by_key: dict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        try:
            by_key[key(path)].append(path)
        except OSError:  # what cannot be read is reported by the check of the video
            continue
    return [same for same in by_key.values() if len(same) > 1]


def _size(path: Path) -> Hashable:
    if path.is_dir():
        pictures = list_pictures(path)
        return len(pictures), *(picture.stat().st_size for picture in _ends(pictures))
    return path.stat().st_size or str(path)  # empty files are all alike, and no videos


def _digest_of_ends(path: Path) -> bytes:
    if path.is_dir():
        return _digest_of(_ends(list_pictures(path)))
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_ENDS))
        if path.stat().st_size > 2 * _ENDS:
            file.seek(-_ENDS, os.SEEK_END)
        digest.update(file.read(_ENDS))
    return digest.digest()


def _digest(path: Path) -> bytes:
    return _digest_of(list_pictures(path) if path.is_dir() else [path])


def _ends(pictures: Sequence[Path]) -> Sequence[Path]:
    return (*pictures[:1], *pictures[-1:])


def _digest_of(files: Sequence[Path]) -> bytes:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.stat().st_size.to_bytes(8, "big"))
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.digest()
