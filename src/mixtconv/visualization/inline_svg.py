"""Figures inside HTML, as an SVG element, and what the pages that hold them share."""

import io
import re
import warnings
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.text import Text

from mixtconv._fonts import font_names, fonts_beside_dejavu, say_lacking_letters
from mixtconv._names import visible
from mixtconv.visualization.number_text import number, percent
from mixtconv.visualization.style import CSS_VARIABLES, chart_style

_XLINK = "{http://www.w3.org/1999/xlink}href"
_FONT_FAMILY = re.compile(r"(font-family:|font: .*?px) [^;]+")
"""Both forms in which versions of matplotlib write a font."""
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_COLOR = re.compile("|".join(CSS_VARIABLES))


def inline_svg(figure: Figure, *, id_prefix: str, title: str, description: str) -> Markup:
    """Turn a figure into an `<svg>` whose colours and font are those of the page.

    Args:
        figure: what is drawn.
        id_prefix: begins every id inside, and so must differ between the pictures of a page.
        title: what the picture is.
        description: what it shows, for those who do not see it.

    Returns:
        The element, with role, title and description. The same figure gives the same text.
    """
    root = ElementTree.fromstring(figure_file(figure, "svg", facecolor="none"))
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    targets = {_target(element) for element in root.iter()} - {""}
    for element in root.iter():
        element.tag = element.tag.partition("}")[2]
        element.text = element.text if (element.text or "").strip() else None
        element.tail = None
        _rewrite(element, id_prefix, targets)
    view_box = root.get("viewBox", "")
    width = float(view_box.split()[2])
    root.attrib = {
        "class": "chart",
        "role": "img",
        "aria-labelledby": f"{id_prefix}-title {id_prefix}-desc",
        "viewBox": view_box,
        "style": f"--width: {width:g}px",
    }
    for tag, text in (("desc", description), ("title", title)):
        element = ElementTree.Element(tag, {"id": f"{id_prefix}-{tag}"})
        element.text = text
        root.insert(0, element)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def page_template(name: str) -> Template:
    """The template of a page, with numbers as `number_text` writes them; it escapes every text."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(percent=percent, number=number)
    return environment.from_string(file_text(name))


def page_css() -> Markup:
    """The style of every page."""
    return Markup(file_text("report/report.css"))


def file_text(name: str) -> str:
    """A file of this package, by its path."""
    return files("mixtconv.visualization").joinpath(name).read_text(encoding="utf-8")


def figure_file(figure: Figure, kind: str, **options: Any) -> bytes:
    """A figure as a file of a kind, with options of `savefig`. The same figure gives the same."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    for text in figure.findobj(Text):  # SVG has no control characters, and no font surrogates
        text.set_text(visible(text.get_text(), keep="\n"))
    with chart_style(), warnings.catch_warnings():
        # class names may be in any script, and matplotlib's font lacks some
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        if kind != "svg":  # a browser has its own fonts
            _take_fonts(figure)
        figure.savefig(buffer, format=kind, metadata=metadata, **options)
    return buffer.getvalue()


def _take_fonts(figure: Figure) -> None:
    """Let texts that matplotlib's font lacks letters of use installed fonts."""
    texts: list[Any] = [text for text in figure.findobj(Text) if text.get_text()]
    for text in texts:
        if more := fonts_beside_dejavu(text.get_text()):
            text.set_fontfamily(["DejaVu Sans", *font_names(more)])
    shown = [text.get_text() for text in texts]
    say_lacking_letters(shown, "the picture shows", or_else=", or write an .svg")


def _target(element: ElementTree.Element) -> str:
    """The id that an element refers to, or nothing."""
    reference = _REFERENCE.search(element.get("clip-path", ""))
    return reference[1] if reference else element.get(_XLINK, "#").removeprefix("#")


def _rewrite(element: ElementTree.Element, id_prefix: str, targets: set[str]) -> None:
    """Give an element the page's colours and font, and ids of its own."""
    own_id = element.attrib.pop("id", "")
    if own_id in targets:
        element.set("id", f"{id_prefix}-{own_id}")
    link = element.attrib.pop(_XLINK, "")
    if link:
        is_data = not link.startswith("#")
        element.set("href", "".join(link.split()) if is_data else f"#{id_prefix}-{link[1:]}")
    if "clip-path" in element.attrib:
        clip_path = _REFERENCE.sub(rf"url(#{id_prefix}-\1)", element.attrib["clip-path"])
        element.set("clip-path", clip_path)
    if "style" in element.attrib:
        style = _COLOR.sub(lambda m: f"var({CSS_VARIABLES[m[0]]})", element.attrib["style"])
        element.set("style", _FONT_FAMILY.sub(r"\1 var(--font)", style))


@dataclass(frozen=True)
class Spot:
    """A place of a picture, in pixels from its upper left corner."""

    x: float
    y: float
    half_width: float
    half_height: float
    text: str
    """Shown on hover."""
    group: str
    """All places of a group are highlighted together."""
