"""A long epoch without a progress bar says where it is."""

import logging
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from mixtconv.training import step_log
from mixtconv.training.fit import train
from mixtconv.training.plan import plan_run
from mixtconv.training.settings import TrainingSettings


def test_a_line_is_logged_when_enough_time_has_passed(
    tiny_settings: Callable[..., TrainingSettings],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Four batches an epoch of 25 seconds each: the third is the first after a minute."""
    times = iter(range(10**6))
    monkeypatch.setattr(step_log, "time", SimpleNamespace(monotonic=lambda: 25.0 * next(times)))
    monkeypatch.setattr(step_log, "SECONDS_BETWEEN_LINES", 60.0)
    with caplog.at_level(logging.INFO, logger="mixtconv.training.step_log"):
        train(tiny_settings(batch_size=3, epochs=2))
    lines = [record.getMessage() for record in caplog.records if record.name == step_log.__name__]
    assert [line.split(",")[0] for line in lines] == [
        "epoch 1/2: batch 3 of 4",
        "epoch 2/2: batch 3 of 4",
    ]
    # One batch of 25 seconds is left, also where an epoch came before.
    assert [line.split(", ")[-1] for line in lines] == ["about 25 s left of its training"] * 2


def test_a_logger_without_its_package_is_refused_before_the_videos(
    tiny_settings: Callable[..., TrainingSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixtconv.training.plan.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match="--wandb needs wandb, which is not installed: pip install wandb"
    ):
        plan_run(tiny_settings(wandb="project", data="gone"))
