"""Fits of seconds, and what makes them end early."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mixtconv.fitting import page
from mixtconv.fitting import record as fit_record
from mixtconv.fitting.settings import FitSettings
from mixtconv.fitting.trials import Training, run_trial
from mixtconv.training import record as run_record

MakeSettings = Callable[..., FitSettings]


@pytest.fixture
def quiet() -> Callable[[str], AbstractContextManager[Callable[[int, int], None]]]:
    """A bar that shows nothing."""

    @contextmanager
    def show(name: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, total: None

    return show


@pytest.fixture
def settings(tiny_dataset: Path, tmp_path: Path) -> MakeSettings:
    """Settings of a fit of seconds: all that is slow is fixed."""

    def make(**changes: Any) -> FitSettings:
        values: dict[str, Any] = {
            "data": str(tiny_dataset),
            "out": str(tmp_path / "fit"),
            "minutes": 5.0,
            "model": "mstnet_test_resnet",
            "num_frames": 4,
            "image_size": 32,
            "epochs": 2,
            "batch_size": 4,
            "folds": 2,
            "modality": "motion",
            "flip": False,
            "lr": 0.01,
            "workers": 0,
            "device": "cpu",
        }
        return FitSettings(**values | changes)

    return make


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings one after another: a second process would import torch first."""
    monkeypatch.setattr(fit_record, "processes_that_pay", lambda device: 1)


@pytest.fixture
def lean(one_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process, and a page without pictures: drawing takes longer than training."""
    monkeypatch.setattr(page, "ReportScale", partial(page.ReportScale, max_clips=0))
    monkeypatch.setattr(page, "write_report", lambda report, path: path.write_text(repr(report)))


@pytest.fixture
def without_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """No models of a quarter and a half of the clips, which take as many steps as that of all."""
    monkeypatch.setattr("mixtconv.fitting.fit._learning_curve", lambda run, plan, lists: [])


@pytest.fixture
def stop_in(lean: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes the first calls of a training of that name end by Ctrl-C after an epoch."""

    def arrange(name: str, *, times: int = 1) -> list[str]:
        begun: list[str] = []
        write = run_record.RunRecord._write

        def stop(record: run_record.RunRecord) -> None:
            write(record)
            if record.files.folder.name == name and begun.count(name) <= times:
                raise KeyboardInterrupt

        def run(job: Training, *args: Any, **kwargs: Any) -> Any:
            begun.append(job.folder.name)
            return run_trial(job, *args, **kwargs)

        monkeypatch.setattr(run_record.RunRecord, "_write", stop)
        monkeypatch.setattr(fit_record, "run_trial", run)
        return begun

    return arrange
