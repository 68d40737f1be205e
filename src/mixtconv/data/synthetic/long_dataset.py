"""Writing long recordings of synthetic actions to a folder, with the list of their segments.

    OUT/dataset.json
    OUT/segments.csv                   video,label,start,end,split
    OUT/recordings/train-00000.mp4

A recording is in one split as a whole. It has its own seed, made of the dataset's seed, the split
and the number of the recording, so neither the number of workers nor the number of recordings
changes any of them.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from mixtconv._atomic_write import write_text_atomically, written_whole
from mixtconv._types import Progress
from mixtconv.data.listing import Split
from mixtconv.data.synthetic.classes import LevelName, SyntheticClass, pairs_of, recorded_classes
from mixtconv.data.synthetic.clip import check_size
from mixtconv.data.synthetic.folder import (
    ENCODING,
    Description,
    check_at_least,
    default_processes,
    described_folder,
    write_all,
)
from mixtconv.data.synthetic.recording import check_times, draw_recording
from mixtconv.data.synthetic.scene import FRAMES_PER_SECOND
from mixtconv.data.synthetic.timeline import Action, overlaps
from mixtconv.video.segment import in_words
from mixtconv.video.writer import write_video

FORMAT = "mixtconv synthetic recordings"

SEGMENTS = "segments.csv"
"""Name of the list."""

_FRAMES_PER_CLIP = 60
"""Of a clip of the other dataset, on average: so much work is one for `default_processes`."""


@dataclass(frozen=True)
class LongRecording:
    """A recording on disk."""

    path: Path
    split: Split
    actions: tuple[Action, ...]
    """In the order of time."""


@dataclass(frozen=True)
class LongDataset:
    """Synthetic recordings on disk."""

    root: Path
    level: LevelName
    size: int
    """Height and width in pixels."""
    seed: int
    seconds: int
    """Length of each recording."""
    overlap: float
    """Share of actions that overlap with another one, on average."""
    classes: tuple[SyntheticClass, ...]
    recordings: tuple[LongRecording, ...]
    """Those of `train`, then those of `val` and of `test`."""

    @property
    def segments(self) -> Path:
        """The list, with a line for each action."""
        return self.root / SEGMENTS

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Names of the classes that are each other's reverse in time, each pair once."""
        return pairs_of(self.classes)

    def summary(self) -> dict[Split, dict[str, float]]:
        """For each split the numbers of recordings, of their seconds, of actions, of those that
        overlap with another one, and of seconds in which there is an action.
        """
        found: dict[Split, dict[str, float]] = {}
        for recording in self.recordings:
            actions = recording.actions
            overlapping, seconds_of_action = overlaps(actions)
            numbers = {
                "recordings": 1,
                "seconds": self.seconds,
                "actions": len(actions),
                "overlapping": overlapping,
                "seconds_of_action": seconds_of_action,
            }
            sums = found.setdefault(recording.split, dict.fromkeys(numbers, 0))
            found[recording.split] = {k: sums[k] + number for k, number in numbers.items()}
        return found


def synthesize_long(
    out: str | Path,
    *,
    level: LevelName = "easy",
    size: int = 64,
    train_recordings: int = 24,
    val_recordings: int = 6,
    test_recordings: int = 6,
    seconds: int = 120,
    overlap: float = 0.1,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> LongDataset:
    """Write long recordings to the folder `out`, and the list of what happens when in them.

    As with `synthesize`, an earlier dataset of the same settings is written again and may grow,
    and a script must call this below `if __name__ == "__main__":`.

    Args:
        out: A folder that is new, empty, or holds the same dataset.
        level: `"easy"` or `"hard"`.
        size: Height and width in pixels, even, 32 to 512.
        train_recordings: Recordings in the split `train`.
        val_recordings: Recordings in the split `val`.
        test_recordings: Recordings in the split `test`; 0 for none.
        seconds: Length of each recording, 8 to 21600 seconds.
        overlap: Share of actions that overlap with another one, 0 to 1, on average.
        seed: The same seed gives the same bytes.
        class_names: Some of the level's classes that recordings show, with their partners; all of
            these if None.
        workers: Processes; one for each core if None.
        progress: Called with the number of recordings done and the number of all.

    Raises:
        ValueError: If a setting is not possible, `out` holds something else, or a process died.

    Example:
        >>> import tempfile
        >>> few = dict(train_recordings=1, val_recordings=1, test_recordings=0, seconds=8, size=32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = synthesize_long(folder, **few)
        ...     made.segments.read_text().splitlines()[0]
        'video,label,start,end,split'
    """
    check_size(size)
    check_times(seconds, overlap)
    check_at_least(1, train_recordings=train_recordings, val_recordings=val_recordings)
    check_at_least(0, test_recordings=test_recordings, seed=seed)
    check_at_least(0, workers=0 if workers is None else workers)
    root = Path(out)
    counts: dict[Split, int] = {
        "train": train_recordings,
        "val": val_recordings,
        "test": test_recordings,
    }
    dataset = LongDataset(
        root, level, size, seed, seconds, overlap, recorded_classes(level, class_names), ()
    )
    jobs = tuple(_jobs(dataset, counts))
    if workers is None:
        work = len(jobs) * seconds * FRAMES_PER_SECOND
        workers = min(len(jobs), default_processes(work // _FRAMES_PER_CLIP))
    with described_folder(root, _description(dataset, counts)):
        (root / "recordings").mkdir(exist_ok=True)
        recordings = write_all(
            _write_recording,
            jobs,
            jobs_per_task=1,
            workers=workers,
            progress=progress,
        )
        dataset = replace(dataset, recordings=tuple(recordings))
        _write_list(dataset)
    return dataset


@dataclass(frozen=True)
class _Job:
    """One recording to be written."""

    path: Path
    split: Split
    entropy: tuple[int, ...]
    dataset: LongDataset
    """Its settings, without recordings."""


def _jobs(dataset: LongDataset, counts: Mapping[Split, int]) -> Iterator[_Job]:
    """Every recording of a dataset."""
    for split, count in counts.items():
        key = zlib.crc32(f"{dataset.level}/recordings/{split}".encode())
        for number in range(count):
            path = dataset.root / "recordings" / f"{split}-{number:05d}.mp4"
            yield _Job(path, split, (dataset.seed, key, number), dataset)


def _write_recording(job: _Job) -> LongRecording:
    recording = draw_recording(
        seed=np.random.SeedSequence(job.entropy),
        level=job.dataset.level,
        size=job.dataset.size,
        seconds=job.dataset.seconds,
        overlap=job.dataset.overlap,
        class_names=[c.name for c in job.dataset.classes],
    )
    with written_whole(job.path, durable=False) as unfinished:
        write_video(
            unfinished,
            recording.frames(),
            frames_per_second=FRAMES_PER_SECOND,
            encoding=ENCODING,
            container="mp4",
        )
    return LongRecording(job.path, job.split, recording.actions)


def _write_list(dataset: LongDataset) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "label", "start", "end", "split"])
    for recording in dataset.recordings:
        video = recording.path.relative_to(dataset.root).as_posix()
        for action in recording.actions:
            times = map(in_words, action.seconds)
            writer.writerow([video, action.class_name, *times, recording.split])
    write_text_atomically(dataset.segments, text.getvalue(), alone=True)


def _description(dataset: LongDataset, counts: Mapping[Split, int]) -> Description:
    settings = {
        "format": FORMAT,
        "seed": dataset.seed,
        "level": dataset.level,
        "size": dataset.size,
        "frames_per_second": FRAMES_PER_SECOND,
        "seconds": dataset.seconds,
        "overlap": dataset.overlap,
        "classes": [asdict(c) for c in dataset.classes],
        "pairs": [list(pair) for pair in dataset.pairs],
    }
    return Description(settings, {f"{split}_recordings": count for split, count in counts.items()})
