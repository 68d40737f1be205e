"""A picture as a page that says more about its places: one HTML file, nothing from the network.

The picture is the same SVG as everywhere. Beside it lie the places that have something to say, and
a small script (`hover.js`) shows what belongs to the nearest one, and marks all places of one
group. A library for interactive charts would add megabytes to every page for that.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from mixtconv.visualization.inline_svg import inline_svg


@dataclass(frozen=True)
class Spot:
    """A place of a picture, in pixels from its upper left corner."""

    x: float
    y: float
    half_width: float
    half_height: float
    text: str
    """What is said of it."""
    group: str
    """What it belongs to; all places of a group are marked together."""


def hover_page(
    figure: Figure,
    spots: Sequence[Spot],
    *,
    title: str,
    description: str,
    notes: Sequence[str] = (),
    columns: Sequence[str] = (),
    rows: Sequence[Sequence[object]] = (),
) -> str:
    """Write the page. The same picture gives the same text.

    Args:
        figure: the picture.
        spots: its places.
        title, description: what it is, and what it shows.
        notes: sentences below it.
        columns, rows: its numbers as a table.

    >>> spot = Spot(1, 1, 3, 3, "a.mp4", "jump")
    >>> page = hover_page(Figure(), [spot], title="Map", description="")
    >>> page.count("<svg"), "a.mp4" in page
    (1, True)
    """
    folder = files("mixtconv.visualization")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((folder / "hover.html.j2").read_text(encoding="utf-8"))
    script = (folder / "hover.js").read_text(encoding="utf-8")
    groups = list(dict.fromkeys(spot.group for spot in spots))
    number = {group: index for index, group in enumerate(groups)}
    places = [
        [*(round(v, 1) for v in (s.x, s.y, s.half_width, s.half_height)), s.text, number[s.group]]
        for s in spots
    ]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template.render(
        title=title,
        description=description,
        notes=notes,
        columns=columns,
        rows=[[_text(cell) for cell in row] for row in rows],
        groups=groups,
        picture=inline_svg(figure, id_prefix="picture", title=title, description=description),
        css=Markup((folder / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_digest=digest,
        places=Markup(json.dumps(places, ensure_ascii=False).replace("<", "\\u003c")),
    )


def _text(cell: object) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
