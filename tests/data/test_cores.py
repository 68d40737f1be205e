"""How many things are done at once unless the user says: as many as the process has cores."""

import os
from pathlib import Path

import pytest

from mixtconv.data.checking import preflight as catalog_report
from mixtconv.data.dataset import MAX_DEFAULT_WORKERS, default_workers
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.parallel import usable_cores
from mixtconv.data.synthetic import dataset as synthetic


@pytest.mark.parametrize("number", [1, 3, 200])
def test_defaults_follow_the_cores_that_the_process_may_use(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(number)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    asked: list[int] = []
    monkeypatch.setattr(
        catalog_report,
        "_probe_all",
        lambda paths, modality, workers, _: asked.append(workers) or {},
    )
    nothing = VideoCatalog(classes=(), train=(), val=(), split_rule="", source=Path())
    catalog_report.check_catalog(nothing)
    assert usable_cores() == number
    assert asked == [number]
    assert synthetic._num_workers(None, num_clips=10**6) == number
    assert default_workers() == min(number, MAX_DEFAULT_WORKERS)


def test_where_affinity_is_unknown_all_cores_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert usable_cores() == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
