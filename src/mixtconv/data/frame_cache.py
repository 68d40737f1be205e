"""Videos decoded and shrunk once, kept on disk: a clip of small pictures then costs a copy.

A file of the cache holds frames of one video as they are in memory, uint8 RGB (N, H, W, 3), and is
mapped into memory, so that all processes share one copy in the system's page cache. It is named for
the content of the video, so that moved and doubled videos are found, and for its form:

- the short side is what crops need, never more than the video has;
- where one frame of each segment is taken, at most `max_frames` are kept, those in the middle of as
  many equal parts of the video, and stand for the others of their part. All frames are kept for
  windows at a stride and for differences of consecutive pictures.

It approximates reading the video: frames are shrunk before they are cropped and resized again, and
a clip of a long video has a neighbour of the frame it asks for. Of a video that is no longer and no
larger than the form, the frames are those of the file.
"""

import logging
import math
import os
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torchvision.transforms.v2.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from mixtconv._atomic_write import refuse_unwritable, remove_leftovers, write_atomically
from mixtconv._sorted_header import with_sorted_metadata
from mixtconv._types import Frame, Progress
from mixtconv.data.clips import as_frames, read_clip
from mixtconv.data.contents import content_key
from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.data.protocol import Protocol
from mixtconv.models.spec import ModelSpec
from mixtconv.video.crops import scoring_side
from mixtconv.video.pictures import Clip, UnreadableVideoError
from mixtconv.video.sampling import middles
from mixtconv.video.segment import Video
from mixtconv.video.segment_frames import probe

logger = logging.getLogger(__name__)

FORMAT = "1"
"""Written into every file; one of another format is made again."""
LARGEST_CACHE = 10_000_000_000
"""Bytes of a cache that is not asked for; never more than half of the free space."""
KEPT_FRAMES = 64
"""Frames kept of a video that is sampled by segments, if that is enough for a segment."""
KEPT_A_SEGMENT = 4
"""Frames kept for each segment at least."""
LEFT_SECONDS = 3600.0
"""After which an unfinished file is one that a killed process has left; others may be at work."""
_WITHOUT_VIDEO = ("flow", "rgbflow")
_BYTES_AT_ONCE = 2**28
"""Of decoded frames, until they are shrunk."""
_PROBED = 16
"""Videos by which the size of the cache is estimated."""


@dataclass(frozen=True)
class CachedForm:
    """Size and number of the frames that are kept of a video."""

    short_side: int
    """Height or width, whichever is less, in pixels; smaller videos keep their size."""
    max_frames: int | None = None
    """Frames kept at most, evenly spaced; None keeps all."""

    def kept(self, num_frames: int) -> list[int]:
        """Numbers of the frames that are kept of a video.

        >>> CachedForm(64, max_frames=4).kept(10)
        [1, 3, 6, 8]
        """
        count = num_frames if self.max_frames is None else min(self.max_frames, num_frames)
        return middles(num_frames, count)

    def __str__(self) -> str:
        frames = "all frames" if self.max_frames is None else f"at most {self.max_frames} frames"
        return f"{frames} a video, short side at most {self.short_side} pixels"

    @property
    def name(self) -> str:
        """The form as a part of a file's name."""
        return f"{self.short_side}px_{self.max_frames or 'all'}"


def cached_form(spec: ModelSpec, protocol: Protocol, *, training_side: int) -> CachedForm | None:
    """The form that serves the training clips and the scored views of a model.

    Args:
        spec: the model.
        protocol: the views.
        training_side: `transforms.least_training_side` of the training.

    Returns:
        None for optical flow, which is read from pictures.
    """
    if spec.modality in _WITHOUT_VIDEO:
        return None
    side = max(training_side, scoring_side(spec.image_size))
    by_segments = spec.sampling == "segment" and spec.snippet.num_frames == 1
    if not by_segments or protocol.placement not in ("own", "snippets"):
        return CachedForm(side)
    segments = max(spec.num_frames, protocol.num_clips * protocol.clip_frames(spec))
    return CachedForm(side, max(KEPT_FRAMES, KEPT_A_SEGMENT * segments))


@dataclass(frozen=True)
class FrameCache:
    """Cached videos in one form; can be pickled. Made by `fill_cache`."""

    folder: Path
    """Where the files are."""
    form: CachedForm
    """What they hold."""
    keys: Mapping[Video, str]
    """Hash of the content of each cached video."""

    def __contains__(self, video: object) -> bool:
        return video in self.keys

    def read(self, video: Video, choose_indices: Callable[[int], Sequence[int]]) -> Clip[Tensor]:
        """Read frames as `clips.read_clip` does, the nearest ones that are kept.

        A file that was removed or damaged meanwhile is made again.

        Returns:
            Frames (T, 3, H, W), the channels of a pixel adjacent in memory; their numbers are those
            of the kept frames.

        Raises:
            UnreadableVideoError: as `clips.read_clip`, if the file has to be made again.
        """
        path = self.file(self.keys[video])
        frames, num_frames = _map(path) or _make(video, path, self.form)
        kept = self.form.kept(num_frames)
        rows = [index * len(kept) // num_frames for index in choose_indices(num_frames)]
        chosen = frames[rows]  # (T, H, W, 3), a copy
        return Clip(as_frames(np.asarray(chosen)), tuple(kept[row] for row in rows), num_frames)

    def file(self, key: str) -> Path:
        """The file of a video by the hash of its content."""
        return self.folder / key[:2] / f"{key}_{self.form.name}.safetensors"

    def size(self) -> int:
        """Bytes of its files."""
        files = {self.file(key) for key in self.keys.values()}
        return sum(path.stat().st_size for path in files if path.exists())


def default_folder() -> Path:
    """$MIXTCONV_CACHE, else `mixtconv/frames` in the platform's folder of caches."""
    own = os.environ.get("MIXTCONV_CACHE")
    if own:
        return Path(own)
    caches = os.environ.get("XDG_CACHE_HOME")
    return Path(caches or Path.home() / ".cache") / "mixtconv" / "frames"


def cache_pays(videos: Sequence[Video], form: CachedForm, folder: Path) -> bool:
    """Whether the frames of videos take few enough bytes to keep them; otherwise it is logged."""
    size, free = estimate_size(videos, form), free_space(folder)
    if size <= min(LARGEST_CACHE, free / 2):
        return True
    logger.info(
        "videos are read, not cached: their frames would take %.1f GB of %.1f GB free in %s "
        "(train --cache DIR keeps them all the same)",
        size / 1e9,
        free / 1e9,
        folder,
    )
    return False


def estimate_size(videos: Sequence[Video], form: CachedForm) -> int:
    """Bytes of the cache of videos, by some of them."""
    sizes = []
    for video in videos[:: max(1, len(videos) // _PROBED)]:
        try:
            info = probe(video)
        except UnreadableVideoError:
            continue
        shrink = min(1.0, form.short_side / min(info.width, info.height))
        frame = math.ceil(info.width * shrink) * math.ceil(info.height * shrink) * 3
        sizes.append(frame * len(form.kept(info.num_frames)))
    return round(sum(sizes) / max(1, len(sizes)) * len(videos))


def free_space(folder: Path) -> int:
    """Free bytes where a folder is or would be."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free


def fill_cache(
    videos: Sequence[Video],
    folder: Path,
    form: CachedForm,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> FrameCache:
    """Decode, shrink and keep the videos that are not in the cache yet.

    Several processes may fill one folder at a time. Files that are there are read to the end, so
    that damaged ones are made again.

    Args:
        videos: files, folders of pictures, segments of them; unreadable ones are left out.
        folder: the cache, made if it does not exist.
        form: what is kept.
        workers: threads; by default one per core.
        progress: called with the number of videos done and of all.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    refuse_unwritable(folder / "video.safetensors")
    cache = FrameCache(folder, form, {})
    begun: set[str] = set()
    failed: set[str] = set()
    lock = Lock()

    def make(video: Video) -> str:
        key = content_key(video)
        with lock:
            is_first = key not in begun  # of videos with the same content
            begun.add(key)
        if is_first and not _is_whole(cache.file(key)):
            try:
                _make(video, cache.file(key), form)
            except UnreadableVideoError:
                failed.add(key)  # also for the others, which may be done already
        return key

    unique, keys = list(dict.fromkeys(videos)), {}
    for video, outcome in in_parallel(unique, make, workers=workers or usable_cores()):
        try:
            keys[video] = outcome.result()
        except UnreadableVideoError:
            keys[video] = ""
        if progress is not None:
            progress(len(keys), len(unique))
    readable = {path: key for path, key in keys.items() if key and key not in failed}
    return FrameCache(folder, form, readable)


def _make(video: Video, path: Path, form: CachedForm) -> tuple[Frame, int]:
    """Write the file of a video; returns its frames and the number of frames of the video."""
    frames, num_frames = _shrunk_frames(video, form)
    remove_leftovers(path, seconds=LEFT_SECONDS)
    facts = {"format": FORMAT, "num_frames": str(num_frames), "crc32": str(zlib.crc32(frames.data))}
    write_atomically(path, with_sorted_metadata(save({"frames": frames}, metadata=facts)))
    return frames, num_frames


def _shrunk_frames(video: Video, form: CachedForm) -> tuple[Frame, int]:
    """The kept frames of a video (N, H, W, 3), and the number of all of them."""
    info = probe(video)
    at_once = max(1, _BYTES_AT_ONCE // (3 * info.width * info.height))
    parts: list[Frame] = []
    num_frames, start = info.num_frames, 0
    while start < len(form.kept(num_frames)):
        clip = read_clip(
            video,
            partial(_part, form, start, at_once),
            num_threads=1,
            channels_last=True,
            least_short_side=form.short_side,
        )
        if clip.num_frames != num_frames:  # decoding found another number: begin again with that
            num_frames, start, parts = clip.num_frames, 0, []
            continue
        parts.append(_shrink(clip.frames, form.short_side))
        start += at_once
    return np.concatenate(parts), num_frames


def _part(form: CachedForm, start: int, count: int, num_frames: int) -> list[int]:
    """Some of the kept frames of a video; the last frame where it has fewer than was announced."""
    return form.kept(num_frames)[start : start + count] or [num_frames - 1]


def _shrink(frames: Tensor, short_side: int) -> Frame:
    """Frames (T, 3, H, W) with a short side of no more pixels, as an array (T, H, W, 3)."""
    if min(frames.shape[-2:]) > short_side:
        frames = F.resize(frames, [short_side], antialias=True)
    return np.ascontiguousarray(frames.permute(0, 2, 3, 1).numpy())  # (T, H, W, 3)


def _map(path: Path) -> tuple[Frame, int] | None:
    """The mapped frames of a file and the number of frames of its video; None if unusable."""
    facts, shape = _header(path)
    if facts.get("format") != FORMAT:
        return None
    size = math.prod(shape)
    start = path.stat().st_size - size  # the only tensor ends the file
    frames = np.memmap(path, np.uint8, "r", offset=start, shape=shape)
    return frames, int(facts["num_frames"])


def _header(path: Path) -> tuple[dict[str, Any], tuple[int, ...]]:
    """The facts in a file and the shape of its frames; none of a file that is cut or another."""
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, tuple(file.get_slice("frames").get_shape())
    except (OSError, SafetensorError):
        return {}, ()


def _is_whole(path: Path) -> bool:
    """Whether a file can be used and holds what was written."""
    mapped = _map(path)
    return mapped is not None and str(zlib.crc32(mapped[0].data)) == _header(path)[0]["crc32"]
