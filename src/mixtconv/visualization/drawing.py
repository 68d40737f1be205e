"""A picture with the numbers that it shows, and its files.

An interactive page is one file that loads nothing from the network. A small script (`hover.js`)
shows the text of the nearest place and highlights all places of its group; a library for
interactive charts would add megabytes to every page.

The suffix of the file chooses the format; which formats there are depends on the drawing. An
existing file is replaced in one step, by a complete picture.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixtconv._atomic_write import (
    refuse_unwritable,
    write_atomically,
    write_text_atomically,
    written_whole,
)
from mixtconv.video.pictures import Unreadable
from mixtconv.video.writer import write_video
from mixtconv.visualization.inline_svg import (
    Spot,
    figure_file,
    file_text,
    inline_svg,
    page_css,
    page_template,
)

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


def _write_image(drawing: Drawing, path: Path) -> None:
    dpi = drawing.figure.dpi * DOTS_PER_PIXEL
    write_atomically(path, figure_file(drawing.figure, path.suffix.lower()[1:], dpi=dpi))


def hover_page(drawing: Drawing) -> str:
    """The picture as a page whose places show their text on hover, with its notes and numbers.

    >>> spot = Spot(1, 1, 3, 3, "a.mp4", "jump")
    >>> page = hover_page(Drawing("Map", "", Figure(), {}, columns=(), rows=(), spots=(spot,)))
    >>> page.count("<svg"), "a.mp4" in page
    (1, True)
    """
    script = file_text("hover.js")
    groups = list(dict.fromkeys(spot.group for spot in drawing.spots))
    number = {group: index for index, group in enumerate(groups)}
    places = [
        [*(round(v, 1) for v in (s.x, s.y, s.half_width, s.half_height)), s.text, number[s.group]]
        for s in drawing.spots
    ]
    return page_template("hover.html.j2").render(
        drawing=drawing,
        groups=groups,
        picture=inline_svg(
            drawing.figure,
            id_prefix="picture",
            title=drawing.title,
            description=drawing.description,
        ),
        css=page_css(),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        places=Markup(json.dumps(places, ensure_ascii=False).replace("<", "\\u003c")),
    )


def _write_animation(drawing: Drawing, path: Path) -> None:
    assert drawing.animation is not None
    frames, rate = drawing.animation.frames, drawing.animation.frames_per_second
    with written_whole(path) as unfinished:
        write_video(unfinished, frames, frames_per_second=rate, container="mp4")


_WRITERS: dict[str, Callable[[Drawing, Path], None]] = {
    ".png": _write_image,
    ".svg": _write_image,
    ".html": lambda drawing, path: write_text_atomically(path, hover_page(drawing)),
    ".mp4": _write_animation,
}
