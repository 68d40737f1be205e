"""Data as users name them: folders and CSV files, what is listed, and what is refused."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.listing import VideoSample


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(samples: Iterable[VideoSample], root: Path) -> list[str]:
    return [sample.path.relative_to(root).as_posix() for sample in samples]


def write_csv(root: Path, *lines: str, end: str = "\n") -> Path:
    path = root / "list.csv"
    path.write_text(end.join(lines) + end, encoding="utf-8", newline="")
    return path


def refusal(data: Path, **options: object) -> str:
    """The message with which data are refused, which must be one line."""
    with pytest.raises(ValueError) as caught:
        load_catalog(data, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)
