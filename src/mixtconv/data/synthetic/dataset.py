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

import json
import multiprocessing
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mixtconv._atomic_write import write_atomically, written_whole
from mixtconv._folder_lock import LOCK, alone_in
from mixtconv._types import Progress
from mixtconv.data.parallel import usable_cores
from mixtconv.data.synthetic.classes import LevelName, SyntheticClass, classes, find_class
from mixtconv.data.synthetic.clip import check_size, render_clip
from mixtconv.video.writer import Encoding, write_video

DESCRIPTION = "dataset.json"
"""Name of the file that says what a folder of synthetic clips is."""

FORMAT = "mixtconv synthetic dataset"

FRAMES_PER_SECOND = 24

# Nothing in a file may show the direction of time. A usual H.264 file has a few whole pictures and
# differences to them, so the quality of a picture depends on its place, from which a network could
# learn the order. Here every picture is coded by itself with one quantizer: a clip run backwards
# decodes to the same pixels in opposite order, and any frame can be read without another.
_ENCODING = Encoding(quality=22, constant_quantizer=True, keyframe_distance=1, parameters="")

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
        return tuple(
            (c.name, c.reverse) for c in self.classes if c.is_paired and not c.run_backwards
        )


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
    _check_at_least(1, train_clips=train_clips, val_clips=val_clips)
    _check_at_least(0, seed=seed, workers=0 if workers is None else workers)
    dataset = SyntheticDataset(
        Path(out), level, size, seed, train_clips, val_clips, _chosen(class_names, level)
    )
    if dataset.root.exists() and not dataset.root.is_dir():
        raise ValueError(f"{out} is a file: the dataset needs a folder; choose another --out")
    with alone_in(dataset.root, "synthesize"):
        _check_folder(dataset)
        jobs = tuple(_jobs(dataset))
        for folder in sorted({job.path.parent for job in jobs}):
            folder.mkdir(parents=True, exist_ok=True)
        _describe(dataset, complete=False)
        if workers is None:
            workers = default_processes(len(jobs))
        _write_all(jobs, workers=workers, progress=progress)
        _describe(dataset, complete=True)
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
            encoding=_ENCODING,
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


def _write_all(jobs: Sequence[_Job], *, workers: int, progress: Progress | None) -> None:
    """Write all clips, here or in `workers` processes."""
    report = progress or (lambda done, total: None)
    done = 0
    if workers <= 1:
        for done, _ in enumerate(map(_write_clip, jobs), 1):
            report(done, len(jobs))
        return
    context = multiprocessing.get_context("spawn")  # threads of the caller do not survive a fork
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            clips = pool.map(_write_clip, jobs, chunksize=_CLIPS_PER_TASK)
            for done, _ in enumerate(clips, 1):
                report(done, len(jobs))
        except BrokenProcessPool as error:
            raise ValueError(
                f"a process that writes clips died after {done} of {len(jobs)}: if memory ran out, "
                "give fewer --workers; in a script, call synthesize below "
                'if __name__ == "__main__":, or give workers=1'
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def default_processes(num_clips: int) -> int:
    """Processes for writing some clips: one per core, 0 if starting them would take longer."""
    return min(usable_cores(), num_clips // 64)


def _chosen(class_names: Sequence[str] | None, level: LevelName) -> tuple[SyntheticClass, ...]:
    """The classes to write, in the level's order; a class without its partner is refused."""
    everything = classes(level)
    if class_names is None:
        return everything
    wanted = {find_class(name, level) for name in class_names}
    names = {c.name for c in wanted}
    for c in sorted(wanted, key=everything.index):
        if c.reverse not in names:
            raise ValueError(
                f"class {c.name!r} is requested without its reverse: both are needed for order to "
                f"matter; add {c.reverse!r}"
            )
    if len(wanted) < 2:
        raise ValueError(
            f"{len(wanted)} classes requested: at least 2 are needed; leave class_names out for all"
        )
    return tuple(c for c in everything if c in wanted)


def _check_at_least(smallest: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < smallest:
            raise ValueError(f"{name} {number}: it must be {smallest} or more; choose a larger one")


def _settings(dataset: SyntheticDataset) -> dict[str, object]:
    """The settings in which two datasets must agree to be the same."""
    return {
        "format": FORMAT,
        "seed": dataset.seed,
        "level": dataset.level,
        "size": dataset.size,
        "frames_per_second": FRAMES_PER_SECOND,
        "classes": [asdict(c) for c in dataset.classes],
        "pairs": [list(pair) for pair in dataset.pairs],
    }


def _describe(dataset: SyntheticDataset, *, complete: bool) -> None:
    """Write `dataset.json`, at the beginning and again when every clip is written."""
    counts = {"train_clips": dataset.train_clips, "val_clips": dataset.val_clips}
    text = json.dumps({**_settings(dataset), **counts, "complete": complete}, indent=2)
    write_atomically(dataset.root / DESCRIPTION, f"{text}\n".encode(), alone=True)


def _check_folder(dataset: SyntheticDataset) -> None:
    """Refuse to write where something else is."""
    root = dataset.root
    if all(path.name == LOCK for path in root.iterdir()):
        return
    earlier = _read_description(root)
    if earlier is None:
        raise ValueError(
            f"{root} is not empty: the dataset needs an empty folder or an earlier synthetic "
            "dataset; choose another --out"
        )
    differing = [k for k, value in _settings(dataset).items() if earlier.get(k) != value]
    differing += [
        k for k in ("train_clips", "val_clips") if int(earlier.get(k, 0)) > getattr(dataset, k)
    ]
    if differing:
        raise ValueError(
            f"{root} holds a synthetic dataset with other {', '.join(differing)}: the settings "
            "must be the same, the clips no fewer; choose another --out or delete that folder"
        )


def _read_description(root: Path) -> dict | None:
    """The earlier dataset's description, if `root` holds one."""
    try:
        values = json.loads((root / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and values.get("format") == FORMAT else None
