"""Writing the synthetic dataset to a folder, as H.264 files.

    OUT/dataset.json
    OUT/train/Moving something up/00000.mp4
    OUT/val/Moving something up/00000.mp4

Each clip has its own seed, made of the dataset's seed, the split, the class and the number of the
clip, so neither the number of workers nor the number of clips changes any clip. In `val/` a class
and its partner share their seeds: clip i of one is, frame by frame, clip i of the other run
backwards, so a score that does not depend on order cannot be above 50 %. In `train/` they do not
share them, which gives more variety to learn from.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mixtconv._atomic_write import written_whole
from mixtconv._types import Progress
from mixtconv.data.synthetic.classes import LevelName, SyntheticClass, clip_classes, pairs_of
from mixtconv.data.synthetic.clip import check_size, render_clip
from mixtconv.data.synthetic.folder import (
    ENCODING,
    Description,
    check_at_least,
    default_processes,
    described_folder,
    write_all,
)
from mixtconv.data.synthetic.scene import FRAMES_PER_SECOND
from mixtconv.video.writer import write_video

FORMAT = "mixtconv synthetic dataset"

_CLIPS_PER_TASK = 8


@dataclass(frozen=True)
class SyntheticDataset:
    """A synthetic dataset on disk."""

    root: Path
    level: LevelName
    size: int
    """Height and width in pixels."""
    seed: int
    train_clips: int
    """Clips of each class in `train/`."""
    val_clips: int
    """Clips of each class in `val/`."""
    classes: tuple[SyntheticClass, ...]

    @property
    def num_videos(self) -> int:
        """Number of files in both splits."""
        return len(self.classes) * (self.train_clips + self.val_clips)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Names of the classes that are each other's reverse in time, each pair once."""
        return pairs_of(self.classes)


def synthesize(
    out: str | Path,
    *,
    level: LevelName = "easy",
    size: int = 64,
    train_clips: int = 60,
    val_clips: int = 20,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> SyntheticDataset:
    """Write the synthetic dataset to the folder `out`, `train/` and `val/`.

    An earlier dataset of the same settings is written again, and extended if more clips are
    wanted; nothing is ever deleted. With more than one worker, processes are started by `spawn`: a
    script must call this below `if __name__ == "__main__":`.

    Args:
        out: A folder that is new, empty, or holds the same dataset.
        level: `"easy"` or `"hard"`.
        size: Height and width in pixels, even, 32 to 512.
        train_clips: Clips of each class in `train/`.
        val_clips: Clips of each class in `val/`.
        seed: The same seed gives the same bytes.
        class_names: Some of the level's classes, with their partners; all if None.
        workers: Processes; one for each core if None.
        progress: Called with the number of clips done and the number of all.

    Raises:
        ValueError: If a setting is not possible, `out` holds something else, or a process died.

    Example:
        >>> import tempfile
        >>> up_down = ["Moving something up", "Moving something down"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = synthesize(folder, size=32, train_clips=2, val_clips=1, class_names=up_down)
        ...     len(list(made.root.glob("*/*/*.mp4"))), made.num_videos
        (6, 6)
    """
    check_size(size)
    check_at_least(1, train_clips=train_clips, val_clips=val_clips)
    check_at_least(0, seed=seed, workers=0 if workers is None else workers)
    chosen = clip_classes(level, class_names)
    dataset = SyntheticDataset(Path(out), level, size, seed, train_clips, val_clips, chosen)
    with described_folder(dataset.root, _description(dataset)):
        jobs = tuple(_jobs(dataset))
        for folder in sorted({job.path.parent for job in jobs}):
            folder.mkdir(parents=True, exist_ok=True)
        write_all(
            _write_clip,
            jobs,
            jobs_per_task=_CLIPS_PER_TASK,
            workers=default_processes(len(jobs)) if workers is None else workers,
            progress=progress,
        )
    return dataset


@dataclass(frozen=True)
class _Job:
    """One clip to be written."""

    path: Path
    class_name: str
    entropy: tuple[int, ...]
    size: int
    level: LevelName


def _write_clip(job: _Job) -> None:
    seed = np.random.SeedSequence(job.entropy)
    clip = render_clip(job.class_name, seed=seed, size=job.size, level=job.level)
    # Not flushed to the disk clip by clip: `complete` in dataset.json says if all were written.
    with written_whole(job.path, durable=False) as unfinished:
        write_video(
            unfinished,
            clip.frames,
            frames_per_second=FRAMES_PER_SECOND,
            encoding=ENCODING,
            container="mp4",
        )


def _jobs(dataset: SyntheticDataset) -> Iterator[_Job]:
    """Every clip of a dataset."""
    for split, count in (("train", dataset.train_clips), ("val", dataset.val_clips)):
        for c in dataset.classes:
            source = c.name if split == "train" else min(c.name, c.reverse)
            key = zlib.crc32(f"{dataset.level}/{split}/{source}".encode())
            for number in range(count):
                path = dataset.root / split / c.name / f"{number:05d}.mp4"
                yield _Job(path, c.name, (dataset.seed, key, number), dataset.size, dataset.level)


def _description(dataset: SyntheticDataset) -> Description:
    settings = {
        "format": FORMAT,
        "seed": dataset.seed,
        "level": dataset.level,
        "size": dataset.size,
        "frames_per_second": FRAMES_PER_SECOND,
        "classes": [asdict(c) for c in dataset.classes],
        "pairs": [list(pair) for pair in dataset.pairs],
    }
    counts = {"train_clips": dataset.train_clips, "val_clips": dataset.val_clips}
    return Description(settings, counts)
