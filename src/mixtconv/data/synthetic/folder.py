"""The folder of a synthetic dataset: described by `dataset.json`, filled by several processes.

A folder that holds anything else is refused. One of the same settings is written again and may
grow; nothing is ever deleted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mixtconv._atomic_write import write_atomically
from mixtconv._folder_lock import LOCK, alone_in
from mixtconv._processes import FreshContext
from mixtconv._types import Progress
from mixtconv.data.parallel import usable_cores
from mixtconv.video.writer import Encoding

DESCRIPTION = "dataset.json"
"""Name of the file that says what a folder of synthetic videos is."""

# Nothing in a file may show the direction of time. A usual H.264 file has a few whole pictures and
# differences to them, so the quality of a picture depends on its place, from which a network could
# learn the order. Here every picture is coded by itself with one quantizer: a clip run backwards
# decodes to the same pixels in opposite order, and any frame can be read without another.
ENCODING = Encoding(quality=22, constant_quantizer=True, keyframe_distance=1, parameters="")

Job = TypeVar("Job")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Description:
    """What `dataset.json` says."""

    settings: Mapping[str, object]
    """In these two datasets must agree to be the same; one of them is `format`."""
    counts: Mapping[str, int]
    """Numbers of videos, which may grow."""


@contextmanager
def described_folder(root: Path, description: Description) -> Iterator[None]:
    """Claim a folder for the dataset, which is to be written meanwhile.

    `dataset.json` is written before, and again after, when `complete` is true.

    Raises:
        ValueError: the folder is a file, or holds something else; or another process fills it.
    """
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root} is a file: the dataset needs a folder; choose another --out")
    with alone_in(root, "synthesize"):
        _check_folder(root, description)
        _describe(root, description, complete=False)
        yield
        _describe(root, description, complete=True)


def write_all(
    write: Callable[[Job], Made],
    jobs: Sequence[Job],
    *,
    jobs_per_task: int,
    workers: int,
    progress: Progress | None,
) -> list[Made]:
    """Write all videos, here or in `workers` processes, started anew.

    Args:
        write: writes the video of a job; a function of a module.
        jobs: one for each video.
        jobs_per_task: how many of them a process is given at a time.
        workers: processes; none but this one if fewer than 2.
        progress: called with the number of jobs done and the number of all.

    Returns:
        What `write` returned for each job.

    Raises:
        ValueError: a process died.
    """
    report = progress or (lambda done, total: None)
    made: list[Made] = []

    def collect(results: Iterator[Made]) -> list[Made]:
        for result in results:
            made.append(result)
            report(len(made), len(jobs))
        return made

    if workers <= 1:
        return collect(map(write, jobs))
    # Not forks: threads of the caller do not live on in one.
    with ProcessPoolExecutor(workers, mp_context=FreshContext()) as pool:
        try:
            return collect(pool.map(write, jobs, chunksize=jobs_per_task))
        except BrokenProcessPool as error:
            raise ValueError(
                f"a process that writes videos died after {len(made)} of {len(jobs)}: if memory "
                "ran out, give fewer --workers"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def default_processes(num_clips: int) -> int:
    """Processes for writing some clips: one per core, 0 if starting them would take longer."""
    return min(usable_cores(), num_clips // 64)


def check_at_least(smallest: int, **numbers: int) -> None:
    """Refuse the settings of these names that are smaller."""
    for name, number in numbers.items():
        if number < smallest:
            raise ValueError(f"{name} {number}: it must be {smallest} or more; choose a larger one")


def _describe(root: Path, description: Description, *, complete: bool) -> None:
    content = {**description.settings, **description.counts, "complete": complete}
    write_atomically(root / DESCRIPTION, f"{json.dumps(content, indent=2)}\n".encode(), alone=True)


def _check_folder(root: Path, description: Description) -> None:
    """Refuse to write where something else is."""
    if all(path.name == LOCK for path in root.iterdir()):
        return
    earlier = _read_description(root)
    if earlier is None or earlier.get("format") != description.settings["format"]:
        found = "is not empty" if earlier is None else f"is of {earlier['format']!r}"
        raise ValueError(
            f"{root} {found}: the dataset needs an empty folder or an earlier "
            f"{description.settings['format']!r}; choose another --out"
        )
    differing = [k for k, value in description.settings.items() if earlier.get(k) != value]
    differing += [k for k, value in description.counts.items() if int(earlier.get(k, 0)) > value]
    if differing:
        raise ValueError(
            f"{root} holds a synthetic dataset with other {', '.join(differing)}: the settings "
            "must be the same, the videos no fewer; choose another --out or delete that folder"
        )


def _read_description(root: Path) -> dict | None:
    """The earlier dataset's description, if `root` holds one."""
    try:
        values = json.loads((root / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_one = isinstance(values, dict) and str(values.get("format")).startswith("mixtconv synthetic")
    return values if is_one else None
