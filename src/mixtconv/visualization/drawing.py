"""A picture with the numbers that it shows, and its files.

The suffix of the file chooses the format; which formats there are depends on the drawing. An
existing file is replaced in one step, by a complete picture.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixtconv._atomic_write import refuse_unwritable, write_atomically, written_whole
from mixtconv.video.pictures import Unreadable
from mixtconv.video.writer import write_video
from mixtconv.visualization.inline_svg import Spot, hover_page
from mixtconv.visualization.style import chart_style

IMAGE_SUFFIXES = (".png", ".svg")
INTERACTIVE_SUFFIXES = (*IMAGE_SUFFIXES, ".html")
ANIMATION_SUFFIXES = (*IMAGE_SUFFIXES, ".mp4")
DOTS_PER_PIXEL = 2
"""Of PNG files, for fine screens and print."""


@dataclass(frozen=True)
class Animation:
    """Frames that are shown one after the other."""

    frames: NDArray[np.uint8]
    """(N, H, W, 3), H and W even."""
    frames_per_second: float


@dataclass(frozen=True)
class Drawing:
    """A picture, its numbers, and notes for the user."""

    title: str
    description: str
    """The picture in words, for alternative text."""
    figure: Figure
    numbers: dict[str, Any]
    """As `--format json` prints them."""
    columns: tuple[str, ...]
    """Heads of the table that is printed for people."""
    rows: tuple[tuple[object, ...], ...]
    notes: tuple[str, ...] = ()
    """Sentences about what was left out or could not be done."""
    spots: tuple[Spot, ...] = ()
    """Places of the picture with the text that an interactive page shows."""
    animation: Animation | None = None
    unreadable: tuple[Unreadable, ...] = ()
    """Videos that could not be read."""


def check_picture_path(path: str | Path, allowed: Sequence[str]) -> Path:
    """Refuse a file that cannot be written as a picture, before work is spent on it.

    Makes the folder of the file.

    Raises:
        ValueError: another suffix than the allowed ones, or a folder of that name.
        OSError: nothing can be written there.

    >>> check_picture_path("map.jpg", IMAGE_SUFFIXES)
    Traceback (most recent call last):
    ...
    ValueError: --out is 'map.jpg'; this is written as .png or .svg
    """
    target = Path(path)
    if target.suffix.lower() not in allowed:
        suffixes = " or ".join(", ".join(allowed).rsplit(", ", maxsplit=1))
        raise ValueError(f"--out is {str(path)!r}; this is written as {suffixes}")
    if target.is_dir():
        raise ValueError(f"--out is {str(path)!r}, which is a folder; give the name of a file")
    refuse_unwritable(target)
    return target


def write_drawing(drawing: Drawing, path: str | Path) -> Path:
    """Write a picture in the form that the suffix names, and return its path.

    Raises:
        ValueError: a suffix that this drawing cannot be written as.
        OSError: the file cannot be written.
    """
    can_write = [*INTERACTIVE_SUFFIXES] if drawing.spots else [*IMAGE_SUFFIXES]
    target = check_picture_path(path, can_write + ([".mp4"] if drawing.animation else []))
    _WRITERS[target.suffix.lower()](drawing, target)
    return target


def _write_png(drawing: Drawing, path: Path) -> None:
    write_atomically(path, _saved(drawing.figure, "png"))


def _write_svg(drawing: Drawing, path: Path) -> None:
    write_atomically(path, _saved(drawing.figure, "svg"))


def _write_html(drawing: Drawing, path: Path) -> None:
    page = hover_page(
        drawing.figure,
        drawing.spots,
        title=drawing.title,
        description=drawing.description,
        notes=drawing.notes,
        columns=drawing.columns,
        rows=drawing.rows,
    )
    write_atomically(path, page.encode())


def _write_animation(drawing: Drawing, path: Path) -> None:
    assert drawing.animation is not None
    animation = drawing.animation
    with written_whole(path) as unfinished:
        write_video(
            unfinished,
            animation.frames,
            frames_per_second=animation.frames_per_second,
            container="mp4",
        )


_WRITERS: dict[str, Callable[[Drawing, Path], None]] = {
    ".png": _write_png,
    ".svg": _write_svg,
    ".html": _write_html,
    ".mp4": _write_animation,
}


def _saved(figure: Figure, kind: str) -> memoryview:
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with chart_style(), warnings.catch_warnings():
        # class names may be in any script, and matplotlib's font lacks some
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format=kind, dpi=figure.dpi * DOTS_PER_PIXEL, metadata=metadata)
    return buffer.getbuffer()
