"""Untrained models of the tiny dataset's classes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mixtconv import create_model
from mixtconv.models import save_model


@pytest.fixture(scope="session")
def make_model(tiny_dataset: Path, tmp_path_factory) -> Callable[..., Path]:
    """Writes an untrained model file of a family, by default with the dataset's classes."""
    names = sorted(folder.name for folder in (tiny_dataset / "val").iterdir())

    def make(family: str = "mstnet", *, classes: list[str] | None = None) -> Path:
        torch.manual_seed(0)
        model = create_model(
            f"{family}_test_resnet", classes=classes or names, num_frames=4, image_size=64
        )
        path = tmp_path_factory.mktemp(family) / "model.safetensors"
        save_model(model.eval(), path)
        return path

    return make
