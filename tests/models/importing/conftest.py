"""Fixtures for the tests of imported weights."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from timm.models import vision_transformer
from torch import nn

from mixtconv.models.importing import matching


def _load_beside(name: str) -> ModuleType:
    path = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def published() -> ModuleType:
    """Networks as others published them; see published.py."""
    return _load_beside("published")


@pytest.fixture(scope="session")
def clip_adapters() -> ModuleType:
    """CLIP with adapters as others published it; see clip_adapters.py."""
    return _load_beside("clip_adapters")


@pytest.fixture
def small_clips(monkeypatch: pytest.MonkeyPatch, clip_adapters: ModuleType) -> Iterator[None]:
    """timm's CLIPs are small, of the width and depth in clip_adapters.py."""
    make = vision_transformer._create_vision_transformer

    def make_small(name: str, pretrained: bool = False, **settings: Any) -> nn.Module:
        if "clip" in name:
            settings["embed_dim"] = clip_adapters.WIDTH
            settings["depth"], settings["num_heads"] = clip_adapters.DEPTH, clip_adapters.HEADS
        return make(name, pretrained, **settings)

    monkeypatch.setattr(vision_transformer, "_create_vision_transformer", make_small)
    matching._backbone_shapes.cache_clear()
    yield
    matching._backbone_shapes.cache_clear()
