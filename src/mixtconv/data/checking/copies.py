"""Videos with the same content: hard links, and copies with the same bytes.

Sizes are compared first, then parts of files of one size, and the whole files only where these
agree too, so that of most data nothing is read. Folders of pictures are compared by the names and
bytes of their pictures.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from pathlib import Path

from mixtconv.data.contents import content_key
from mixtconv.video.find import list_pictures
from mixtconv.video.pictures import UnreadableVideoError

_PART = 2**17
"""Bytes of a video that are compared first."""


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
    parts, whole = (partial(content_key, most=most) for most in (_PART, sys.maxsize))
    for key in (_size, parts, whole):
        groups = [same for group in groups for same in _divide(group, key)]
    return groups


def _divide(paths: Sequence[Path], key: Callable[[Path], Hashable]) -> list[list[Path]]:
    """Paths of one key together, where there are several."""
    by_key: dict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        try:
            by_key[key(path)].append(path)
        except (OSError, UnreadableVideoError):  # which the check of the video reports
            continue
    return [same for same in by_key.values() if len(same) > 1]


def _size(path: Path) -> Hashable:
    if path.is_dir():
        pictures = list_pictures(path)
        ends = (*pictures[:1], *pictures[-1:])
        return len(pictures), *(picture.stat().st_size for picture in ends)
    return path.stat().st_size or str(path)  # empty files are all alike, and no videos
