"""Fixtures for all tests."""

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mixtconv.training.settings import TrainingSettings


def _load_beside(name: str) -> ModuleType:
    """Loads a module below this folder, which is not a package."""
    path = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def _width_of_no_terminal() -> None:
    """Tables of tests are as wide as in a file: workers of pytest-xdist say that they have 80."""
    os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="session")
def media() -> ModuleType:
    """Makes small videos and decodes them in the plainest way; see media.py."""
    return _load_beside("media")


@pytest.fixture(scope="session")
def launchers() -> ModuleType:
    """Starts commands in two processes; see launchers.py."""
    return _load_beside("launchers")


@pytest.fixture(scope="session")
def chromium() -> ModuleType:
    """Drives a browser; see chromium.py."""
    return _load_beside("chromium")


@pytest.fixture(scope="session")
def exports() -> ModuleType:
    """Files as annotation tools write them; see data/annotations/exports.py."""
    return _load_beside("data/annotations/exports")


@pytest.fixture(scope="session")
def two_stream() -> ModuleType:
    """Makes videos whose class is half in the pictures, half in the motion."""
    return _load_beside("data/two_stream_data")


@pytest.fixture(scope="session")
def miniature() -> ModuleType:
    """Makes miniature copies of the known datasets; see data/datasets/miniature.py."""
    return _load_beside("data/datasets/miniature")


@pytest.fixture(scope="session")
def sources() -> ModuleType:
    """Makes folders and CSV files of data, and tells what is listed; see data/sources.py."""
    return _load_beside("data/sources")


@pytest.fixture(scope="session")
def folders() -> ModuleType:
    """Makes folders to prepare, and tells what is in them; see data/preparation/folders.py."""
    return _load_beside("data/preparation/folders")


@pytest.fixture(scope="session")
def shared_videos() -> Path:
    """The folder of real clips, which is not part of the project."""
    beside = Path(__file__).parents[2] / "shared" / "videos"
    folder = Path(os.environ.get("MIXTCONV_SHARED_VIDEOS", beside))
    if not folder.is_dir():
        pytest.skip(f"no real clips at {folder}; name their folder in MIXTCONV_SHARED_VIDEOS")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Frames that runs keep go to a folder of the tests, not to the user's."""
    os.environ["MIXTCONV_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tests run side by side; several threads each would only get into each other's way."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic dataset: two pairs of classes, twelve videos to train on and four to score."""
    from mixtconv.data.synthetic import classes, synthesize

    names = [item.name for item in classes("easy")][:4]
    folder = tmp_path_factory.mktemp("tiny") / "data"
    synthesize(folder, size=32, train_clips=3, val_clips=1, class_names=names, workers=1)
    return folder


@pytest.fixture(scope="session")
def tiny_recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list of a synthetic set of long recordings: a pair of classes, two recordings to train
    on, two of `val` and one of `test`."""
    from mixtconv.data.synthetic import synthesize_long

    folder = tmp_path_factory.mktemp("long") / "set"
    synthesize_long(
        folder,
        size=32,
        train_recordings=2,
        val_recordings=2,
        test_recordings=1,
        seconds=20,
        class_names=["Moving something up", "Moving something down"],
    )
    return folder / "segments.csv"


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


_ROOT_LEVEL = logging.root.level


def _loggers() -> dict[str | None, logging.Logger]:
    """All loggers by name, the root under None, without those that are only reserved."""
    named = logging.root.manager.loggerDict.items()
    return {None: logging.root} | {n: each for n, each in named if isinstance(each, logging.Logger)}


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands set up logging for their process; the next test shall not see it.

    Only what was changed is set: each `setLevel` empties the caches of all loggers, of which the
    imported packages have hundreds.
    """
    root = logging.root
    if root.level != _ROOT_LEVEL:
        root.setLevel(_ROOT_LEVEL)
    for name, logger in _loggers().items():
        if name is not None and name.startswith("mixtconv") and logger.level:
            logger.setLevel(logging.NOTSET)  # a module's fixture may have run one
    handlers = list(root.handlers)
    levels = {name: logger.level for name, logger in _loggers().items()}
    yield
    root.handlers[:] = handlers
    for name, logger in _loggers().items():
        if logger.level != (before := levels.get(name, logging.NOTSET)):
            logger.setLevel(before)
