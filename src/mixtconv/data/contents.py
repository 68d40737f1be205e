"""What videos hold, as hashes: they name cached files, and show that a video was replaced.

A moved or doubled video has the same hash. One of many bytes can be told from others by a part of
them, where reading all would take long.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from mixtconv._atomic_write import encoded, write_atomically
from mixtconv._names import first_few
from mixtconv._strict_json import to_json
from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.video.file_locks import FileLocks
from mixtconv.video.find import flow_twins, picture_names
from mixtconv.video.folder import list_frames
from mixtconv.video.in_memory import given
from mixtconv.video.packet_table import FileStamp, file_stamp
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.segment import DatasetVideo, Segment, Video

MOST_READ = 4 * 2**20
"""Bytes of a video by which it is known again; a larger one by parts of as many bytes in all."""
_PARTS = 16
_BYTES_AT_ONCE = 2**20


def content_key(video: Video, *, most: int | None = None) -> str:
    """Hash of the bytes of a file, or of the names and bytes of a folder's pictures.

    Args:
        video: a file or a folder of pictures, or a segment of one, which has a hash of its own; or
            what a dataset gives, frames as they are.
        most: bytes that are read. Of more the hash is that of names, sizes, and parts that are
            spread evenly from the first byte to the last. None reads all, of a folder the frames
            alone, without its optical flow.

    Raises:
        UnreadableVideoError: it cannot be read.
    """
    if isinstance(video, Segment):
        whole = _recording_key(video.path, most)
        return hashlib.blake2b(f"{whole}#{video.span}".encode(), digest_size=16).hexdigest()
    if isinstance(video, DatasetVideo):
        with given(video) as source:
            if isinstance(source, Path):
                return content_key(source, most=most)
            shape = f"{source.pictures.shape}".encode()
            content = source.pictures.tobytes()
            return hashlib.blake2b(shape + content, digest_size=16).hexdigest()
    digest = hashlib.blake2b(digest_size=16)
    try:
        files = _files(video, is_rgb=most is None)
        sizes = [file.stat().st_size for file in files]
        is_part = most is not None and sum(sizes) > most
        for file, size in zip(files, sizes, strict=True):
            if video.is_dir():
                digest.update(encoded(f"{file.name}\0{size}\0"))
            if not is_part:
                _update(digest, file)
        if most is not None and is_part:
            digest.update(f"{sum(sizes)}\0".encode())
            _update_by_parts(digest, files, sizes, length=most // _PARTS)
    except OSError as error:
        raise UnreadableVideoError(video, error.strerror or str(error)) from error
    return digest.hexdigest()


_HASHING = FileLocks()


def _recording_key(path: Path, most: int | None) -> str:
    """`content_key` of a recording, which is computed once for all of its segments."""
    try:
        stamp = file_stamp(path)
    except OSError as error:
        raise UnreadableVideoError(path, error.strerror or str(error)) from error
    with _HASHING.of(path):
        return _key_of_unchanged(path, most, stamp)


@lru_cache(maxsize=1024)
def _key_of_unchanged(path: Path, most: int | None, stamp: FileStamp) -> str:
    return content_key(path, most=most)


def _files(video: Path, *, is_rgb: bool) -> list[Path]:
    if not video.is_dir():
        return [video]
    if is_rgb:
        return [video / name for name in list_frames(video)]
    folders = flow_twins(video) or (video,)
    return [folder / name for folder in folders for name in picture_names(folder)]


def _update(digest: hashlib.blake2b, file: Path) -> None:
    with file.open("rb") as opened:
        while block := opened.read(_BYTES_AT_ONCE):
            digest.update(block)


def _update_by_parts(
    digest: hashlib.blake2b, files: list[Path], sizes: list[int], *, length: int
) -> None:
    """Parts of files as if they followed each other in one, each part up to its file's end."""
    ends = list(accumulate(sizes))
    for number in range(_PARTS):
        place = (ends[-1] - length) * number // (_PARTS - 1)
        index = bisect_right(ends, place)
        with files[index].open("rb") as opened:
            opened.seek(place - (ends[index] - sizes[index]))
            digest.update(opened.read(length))


def recorded_contents(
    videos: Mapping[str, Path], *, known: Mapping[Video, str] | None = None
) -> dict[str, str]:
    """What tells the content of videos from others, by their names; unreadable ones are left out.

    Args:
        videos: the videos by name.
        known: `content_key` of the whole of some.
    """
    known = known or {}

    def key(item: tuple[str, Path]) -> str | None:
        path = item[1]
        try:
            # Of what is read whole, the two hashes are the same.
            if path in known and path.is_file() and path.stat().st_size <= MOST_READ:
                return known[path]
            return content_key(path, most=MOST_READ)
        except (OSError, UnreadableVideoError):
            return None

    outcomes = in_parallel(videos.items(), key, workers=usable_cores())
    found = {name: outcome.result() for (name, _), outcome in outcomes}
    return {name: value for name in videos if (value := found[name]) is not None}


def write_contents(path: Path, contents: Mapping[str, str]) -> None:
    """Write `recorded_contents` as JSON."""
    write_atomically(path, to_json(dict(contents), indent=0).encode())


def changed_videos(path: Path, contents: Mapping[str, str]) -> list[str]:
    """Names of the videos that hold something else than when the file was written.

    Raises:
        ValueError: the file does not hold the contents of videos.
    """
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        return [name for name, key in contents.items() if before.get(name, key) != key]
    except (AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} does not hold the contents of videos ({error!r}): remove it, and changed "
            "videos are not noticed"
        ) from error


def refuse_changed(path: Path, contents: Mapping[str, str], *, begun: str) -> None:
    """Refuse videos that were replaced or changed; without a file nothing is compared.

    Args:
        path: of `write_contents`.
        contents: `recorded_contents` of now.
        begun: what was begun with the videos, for the message.

    Raises:
        ValueError: names some of them.
    """
    changed = changed_videos(path, contents) if path.exists() else []
    if changed:
        raise ValueError(
            f"{len(changed)} of {len(contents)} videos do not hold what they held when {begun} was "
            f"begun ({first_few(changed)}): put those back, or start another --out"
        )
