"""How pictures of optical flow are named and where they lie, told from names alone.

A field of flow is two grey pictures, x and y, in one of these layouts:

- beside each other: `flow_x_00001.jpg` and `flow_y_00001.jpg` in the video's folder (TSN,
  denseflow), also `x_00001.jpg` and `y_00001.jpg`, or with the video's number in front
  (`000012-x_00001.jpg`). Pictures of the video may lie in the same folder under other names;
- in two trees: `u/<...>/<video>/frame000001.jpg` is x, the same below `v/` is y. The folder that
  holds `u` and `v` holds no other folder, so that classes of these names are not taken for flow.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"(flow_|\d+-|)([xy])_(\d+)\.[^.]*", re.IGNORECASE)


@dataclass(frozen=True)
class SortedNames:
    """The pictures of a folder, those of flow apart; each in the order given."""

    pictures: tuple[str, ...]
    """Pictures of the video itself."""
    x: dict[int, str]
    """Flow to the right, by number."""
    y: dict[int, str]
    """Flow downwards, by number."""


def sort_names(names: Sequence[str]) -> SortedNames:
    """Tell pictures of flow by their names; `x_` alone, without a `y_`, means nothing.

    >>> sort_names(["flow_x_1.jpg", "flow_y_1.jpg", "img_1.jpg"])
    SortedNames(pictures=('img_1.jpg',), x={1: 'flow_x_1.jpg'}, y={1: 'flow_y_1.jpg'})
    >>> sort_names(["x_1.jpg", "x_2.jpg"]).pictures
    ('x_1.jpg', 'x_2.jpg')
    """
    matches = {name: match for name in names if (match := _NAME.fullmatch(name)) is not None}
    components = {match[2].lower() for match in matches.values()}
    flow = {
        name: match
        for name, match in matches.items()
        if len(components) == 2 or match[1].lower() == "flow_"
    }
    x = {int(m[3]): name for name, m in flow.items() if m[2].lower() == "x"}
    y = {int(m[3]): name for name, m in flow.items() if m[2].lower() == "y"}
    return SortedNames(tuple(name for name in names if name not in flow), x, y)


def has_flow_trees(folder: Path) -> bool:
    """Whether a folder is that of two trees: of folders it holds `u` and `v` alone."""
    if not (folder / "u").is_dir() or not (folder / "v").is_dir():
        return False
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return {entry.name for entry in entries if entry.is_dir()} == {"u", "v"}


def flow_twins(folder: str | Path) -> tuple[Path, Path] | None:
    """The folders of x and y if the given one is a video's in either of two trees."""
    path = Path(folder)
    parts = path.parts
    for place in reversed(range(len(parts) - 1)):
        if parts[place] in ("u", "v") and has_flow_trees(Path(*parts[:place])):
            twins = [Path(*parts[:place], side, *parts[place + 1 :]) for side in ("u", "v")]
            return twins[0], twins[1]
    return None
