"""Pages with hover: self-contained, escaped, and at work in a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixtconv.visualization.confusion import confusion_matrix, confusion_order, confusion_spots
from mixtconv.visualization.drawing import Drawing, hover_page
from mixtconv.visualization.inline_svg import Spot, figure_file

COUNTS = np.array([[3, 0, 7], [0, 9, 1], [6, 0, 4]])
CLASSES = ["</script><b>left", "b & c", "right"]


@pytest.fixture(scope="module")
def page() -> str:
    order = confusion_order(COUNTS)
    figure = confusion_matrix(COUNTS, CLASSES, order=order)
    spots = confusion_spots(figure, COUNTS, CLASSES, order)
    return hover_page(_drawing(figure, spots, rows=((0.5,),), notes=("a <note>",)))


def _drawing(figure: Figure, spots: tuple[Spot, ...], **more: Any) -> Drawing:
    return Drawing(
        "Confusions", "", figure, {}, **{"columns": ("a",), "rows": (), **more}, spots=spots
    )


def _places(page: str) -> list[list]:
    found = re.search(r'id="places">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_cells_say_what_was_taken_for_what(page: str):
    texts = [place[4] for place in _places(page)]
    assert len(texts) == np.count_nonzero(COUNTS)
    assert f"{CLASSES[0]}\ntaken for right\n7 of 10 clips, 70\N{NO-BREAK SPACE}%" in texts
    assert any(text.startswith("b & c\nrecognized\n9 of 10") for text in texts)


def test_spots_lie_on_their_cells():
    counts = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 1]])
    figure = confusion_matrix(counts, ["a", "b", "c"], order=[0, 1, 2])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    spots = confusion_spots(figure, counts, ["a", "b", "c"], [0, 1, 2])
    for spot in spots:
        at = pixels[round(spot.y + spot.half_height / 2), round(spot.x + spot.half_width / 2)]
        assert np.abs(at - [34, 98, 173]).max() < 3
    assert [spot.text.split("\n")[0] for spot in spots] == ["a", "b", "c"]


def test_nothing_is_asked_of_the_network_and_names_are_escaped(page: str):
    assert not re.search(r"(src|href)=.(?!data:|#)", page)
    assert "<b>" not in page and "&lt;note&gt;" in page
    assert page.count("<script") == page.count("</script>") == 2


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium on the PATH")
def test_a_browser_shows_what_is_pointed_at(page: str, tmp_path: Path):
    x, y = _places(page)[0][:2]
    move = f"""<script>
    const box = document.querySelector("svg.chart"), point = new DOMPoint({x}, {y});
    const at = point.matrixTransform(box.getScreenCTM());
    box.dispatchEvent(new PointerEvent("pointermove", {{clientX: at.x, clientY: at.y}}));
    </script></body>"""
    trial = page.replace("</body>", move)
    trial = re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", trial)
    for name, text in (("page", page), ("trial", trial)):
        (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
             f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]  # fmt: skip
    shown = [
        subprocess.run(
            ["chromium", *flags, (tmp_path / f"{name}.html").as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )
        for name in ("page", "trial")
    ]  # fmt: skip
    assert all("CONSOLE" not in done.stderr for done in shown), shown[0].stderr
    assert '<g class="marks">' in shown[0].stdout  # the script ran under the page's own policy
    tip = re.search(r'<div id="tip"[^>]*>(.*?)</div>', shown[1].stdout, re.DOTALL)
    assert tip and "hidden" not in tip[0] and "3 of 10 clips" in tip[1]
    assert '<rect x="' in shown[1].stdout.partition('<g class="marks">')[2]


def test_the_same_picture_gives_the_same_page(page: str):
    figure = confusion_matrix(COUNTS, CLASSES)
    spots = (Spot(1, 2, 3, 4, "a", "b"),)
    texts = {hover_page(_drawing(figure, spots)) for _ in range(2)}
    assert len(texts) == 1


def test_names_with_control_characters_and_bytes_are_drawn_as_escapes() -> None:
    """XML has no control characters, and no font has a byte that is not UTF-8."""
    names = ["a\x1b[31m", "caf\udce9", "c\x00d"]
    figure = confusion_matrix(COUNTS, names, order=confusion_order(COUNTS))
    root = ElementTree.fromstring(figure_file(figure, "svg"))
    texts = {"".join(element.itertext()).strip() for element in root.iter()}
    drawn = " ".join(texts)
    assert all(shown in drawn for shown in (r"a\x1b[31m", r"caf\xe9", r"c\x00d"))
