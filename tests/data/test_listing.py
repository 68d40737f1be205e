"""The same video has the same name in all its forms, and every video one of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mixtconv.data.datasets.catalog import video_keys
from mixtconv.data.listing import ListedVideo, Split


def _listed(*names: tuple[Split | None, str]) -> list[ListedVideo]:
    return [ListedVideo(Path("x"), "a", split, name) for split, name in names]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([(None, "a/1.mp4"), (None, "a/2.WEBM"), (None, "a/v1.5")], ["a/1", "a/2", "a/v1.5"]),
        ([(None, "a/1.mp4"), (None, "a/1.avi"), (None, "a/1")], ["a/1.mp4", "a/1.avi", "a/1"]),
        ([("train", "a/1.mp4"), ("val", "a/1.mp4")], ["train/a/1.mp4", "val/a/1.mp4"]),
        ([("val", "a.mp4"), ("val", "a.mp4")], ["val/a.mp4#1", "val/a.mp4#2"]),
    ],
)
def test_names(names: list[tuple[Split | None, str]], expected: list[str]) -> None:
    keys = video_keys(_listed(*names))
    assert list(keys) == expected
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("function", "most"),
    [
        ("mixtconv.data.layouts.list_folder", 18),
        ("mixtconv.data.layouts.list_csv", 18),
        ("mixtconv.data.datasets.catalog.load_catalog", 51),
        ("mixtconv.data.preparation.output.copy_lists", 20),
    ],
)
def test_listing_loads_little_and_neither_torch_nor_numpy(function: str, most: int) -> None:
    module, _, name = function.rpartition(".")
    code = f"import json, sys; from {module} import {name}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)
    assert not {"torch", "numpy", "av", "PIL"} & set(modules)
    assert sum(module.partition(".")[0] == "mixtconv" for module in modules) <= most
