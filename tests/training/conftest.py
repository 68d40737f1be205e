"""Short training runs on a tiny dataset."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixtconv.training.settings import TrainingSettings


@pytest.fixture
def tiny_settings(tiny_dataset: Path, tmp_path: Path) -> Callable[..., TrainingSettings]:
    """Settings of a run that takes a second; anything may be changed."""

    def make(out: str = "run", **changes: Any) -> TrainingSettings:
        values: dict[str, Any] = {
            "data": str(tiny_dataset),
            "out": str(tmp_path / out),
            "model": "mstnet_test_resnet",
            "weights": "none",
            "num_frames": 4,
            "image_size": 32,
            "epochs": 2,
            "batch_size": 4,
            "workers": 0,
            "device": "cpu",
        }
        return TrainingSettings(**values | changes)

    return make
