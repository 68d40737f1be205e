"""What the clips of a fit are like: lengths, sizes, how still the camera is, who was recorded when.

Every clip is looked at through a few small grey frames (`data.stillness`), which are enough to tell
backgrounds apart and whether the camera moves, and to find clips that are nearly the same.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from mixtconv._names import count_of, first_few
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.folds import (
    Grouping,
    groups_by_background,
    in_recordings,
    named_groups,
    recordings_of,
    without_light,
)
from mixtconv.data.frame_cache import CachedForm, FrameCache
from mixtconv.data.listing import VideoSample, one_label
from mixtconv.data.stillness import (
    NUM_LOOKS,
    STILL_CAMERA,
    evenly_chosen,
    grey_looks,
    looks_in,
    stillness,
)

MAX_SURVEYED = 2000
"""Clips that are looked at; of more, as many evenly spread ones."""

LOOK_FORM = CachedForm(64, max_frames=NUM_LOOKS)
"""What is kept of a clip that is only looked at."""

NEARLY_SAME = 0.01
"""Correlation distance of two clips' frames, below which they are nearly the same clip."""

FEW_CLIPS = 8
"""Clips of a class below which an estimate says little."""


@dataclass(frozen=True)
class ClipLook:
    """What was seen of one clip."""

    sample: VideoSample
    num_frames: int
    width: int
    height: int
    """As kept in the cache, in pixels."""
    frames: NDArray[np.float32]
    """(NUM_LOOKS, *LOOK_SIZE), grey values from 0 to 255."""

    @cached_property
    def background(self) -> NDArray[np.float32]:
        """The median picture, LOOK_SIZE."""
        return np.median(self.frames, axis=0).astype(np.float32)

    @cached_property
    def stillness(self) -> float:
        """Fraction of pixels that stand still."""
        return stillness(self.frames)


@dataclass(frozen=True)
class Survey:
    """What was seen of the clips."""

    catalog: VideoCatalog
    """All training clips."""
    looks: tuple[ClipLook, ...]
    """Of all of them, or of `MAX_SURVEYED`."""

    @property
    def classes(self) -> tuple[str, ...]:
        return self.catalog.classes

    @property
    def is_camera_still(self) -> bool:
        """Whether the camera stands still in most clips."""
        return float(np.median([look.stillness for look in self.looks])) > STILL_CAMERA

    @cached_property
    def clips_of_class(self) -> dict[str, int]:
        counts = Counter(sample.label for sample in self.catalog.train)
        return {name: counts[label] for label, name in enumerate(self.classes)}

    @property
    def few(self) -> tuple[str, ...]:
        """Classes with too few clips to judge."""
        return tuple(name for name, number in self.clips_of_class.items() if number < FEW_CLIPS)

    @cached_property
    def recordings(self) -> tuple[str, ...]:
        """The recording of every training clip."""
        return recordings_of(self.catalog.train)

    def grouping(self, num_folds: int) -> Grouping | None:
        """Groups of clips that must not be divided, recordings at least; None if there are none."""
        samples = self.catalog.train
        named = named_groups(
            [sample.key for sample in samples],
            [one_label(sample.label) for sample in samples],
            [sample.group for sample in samples],
            recordings=self.recordings,
            grouped_by=self.catalog.grouped_by,
        )
        if named is None and len(self.looks) == len(samples):
            named = self._by_background(num_folds)
        return named or in_recordings(self.recordings)

    def _by_background(self, num_folds: int) -> Grouping | None:
        """Recordings with the same background; a clip that is no segment is one."""
        seen: dict[str, list[NDArray[np.float32]]] = {}
        for recording, look in zip(self.recordings, self.looks, strict=True):
            seen.setdefault(recording, []).append(look.background)
        backgrounds = np.stack([np.median(own, axis=0) for own in seen.values()])
        found = groups_by_background(backgrounds, num_folds=num_folds)
        if found is None:
            return None
        group_of = dict(zip(seen, found.names, strict=True))
        return replace(found, names=tuple(group_of[name] for name in self.recordings))

    @cached_property
    def nearly_same(self) -> tuple[tuple[str, str], ...]:
        """Pairs of clips that are nearly the same, by their names in the data."""
        frames = np.stack([look.frames.ravel() for look in self.looks])
        distances = squareform(pdist(without_light(frames), "sqeuclidean"))
        first, second = np.nonzero(np.triu(distances < NEARLY_SAME, k=1))
        # A clip in which nothing moves is like any other of its place.
        pairs = [(self.looks[a], self.looks[b]) for a, b in zip(first, second, strict=True)]
        return tuple(
            (a.sample.key, b.sample.key) for a, b in pairs if max(a.stillness, b.stillness) < 1
        )

    def sentences(self) -> list[str]:
        """What was seen, for the user."""
        frames = [look.num_frames for look in self.looks]
        sizes = Counter(f"{look.width} x {look.height}" for look in self.looks)
        stillness = float(np.median([look.stillness for look in self.looks]))
        counts = list(self.clips_of_class.values())
        usual = first_few([size for size, _ in sizes.most_common()])
        num_clips = len(self.catalog.train)
        if len(self.looks) < num_clips:
            usual += f", as {len(self.looks)} of them show"
        camera = "stands still" if self.is_camera_still else "moves"
        text = [
            f"{count_of(num_clips, 'clip')} of {count_of(len(self.classes), 'class')}, "
            f"{min(counts)} to {max(counts)} a class; {min(frames)} to {max(frames)} frames "
            f"(median {int(np.median(frames))}) of {usual}",
            f"the camera {camera}: in the median clip {100 * stillness:.0f} % of the picture does "
            "not change",
        ]
        if self.few:
            text.append(
                f"fewer than {FEW_CLIPS} clips, too few to judge by: {first_few(self.few)}; any "
                "score below is a rough one"
            )
        return text


def survey_clips(catalog: VideoCatalog, cache: FrameCache) -> Survey:
    """Look at the training clips of a catalog.

    Args:
        catalog: the clips.
        cache: their frames, or those of some of them.
    """
    cached = [sample for sample in catalog.train if sample.video in cache]
    chosen = evenly_chosen(cached, MAX_SURVEYED)
    return Survey(catalog, tuple(look_at(sample, cache) for sample in chosen))


def look_at(sample: VideoSample, cache: FrameCache) -> ClipLook:
    """Look at one clip."""
    clip = cache.read(sample.video, looks_in)
    height, width = clip.frames.shape[-2:]
    return ClipLook(sample, clip.num_frames, width, height, grey_looks(clip.frames))
