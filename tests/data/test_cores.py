"""How many things are done at once unless the user says: as many as the process has cores."""

import os
import threading
from pathlib import Path

import pytest

from mixtconv.data.checking import preflight
from mixtconv.data.dataset import MAX_DEFAULT_WORKERS, default_workers
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.listing import VideoSample
from mixtconv.data.parallel import usable_cores
from mixtconv.data.synthetic.folder import default_processes


@pytest.fixture(params=[1, 3, 200])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The process may use so many of 64 cores, or of more."""
    number: int = request.param
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(number)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    return number


def test_defaults_follow_the_cores_that_the_process_may_use(cores: int) -> None:
    assert usable_cores() == cores
    assert default_processes(num_clips=10**6) == cores
    assert default_processes(num_clips=10) == 0
    assert default_workers() == min(cores, MAX_DEFAULT_WORKERS)


def test_as_many_videos_are_checked_at_once(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    all_at_once = threading.Barrier(cores)
    running = threading.Semaphore(cores)

    def probe(path: Path, modality: None) -> None:
        assert running.acquire(blocking=False), "more than there are cores"
        all_at_once.wait(timeout=60)  # raises where fewer run at once
        running.release()

    monkeypatch.setattr(preflight, "probe_for", probe)
    videos = tuple(VideoSample(Path(str(number)), 0) for number in range(2 * cores))
    catalog = VideoCatalog(classes=("a",), train=videos, val=(), split_rule="", source=Path())
    report = preflight.check_catalog(catalog)
    assert report.count_readable(videos) == {"a": 2 * cores} and not report.unreadable


def test_where_affinity_is_unknown_all_cores_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert usable_cores() == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
