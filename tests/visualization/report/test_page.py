"""The report as a page: whole, self-contained, accessible, the same every time."""

import itertools
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mixtconv.visualization import (
    CurvePoint,
    ExampleStrip,
    KernelGroup,
    KernelSite,
    Prediction,
    render_report,
    write_report,
)
from mixtconv.visualization.clip_maps import ClipMaps
from mixtconv.visualization.feature_map import FeatureMap
from mixtconv.visualization.style import CSS_VARIABLES

VOID = {"meta", "link", "img", "br", "wbr", "hr", "input"}
NUM_PICTURES = 2 + 2 * 2 + 7
EXTERNAL = re.compile(r"(https?:)?//[a-z]", re.IGNORECASE)


class Page(HTMLParser):
    """What a test wants to know of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.parents: list[tuple[str, ...]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        self.parents.append(tuple(self.open))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag == name]

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]


@pytest.fixture(scope="module")
def text(new_report) -> str:
    return render_report(new_report())


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def test_tags_are_balanced_and_ids_unique(page):
    assert not page.unbalanced and not page.open
    ids = page.values("id")
    assert len(ids) == len(set(ids)) > 20


def test_references_lead_to_ids_of_the_page(text, page):
    ids = set(page.values("id"))
    links = {link[1:] for link in page.values("href") if link.startswith("#")}
    labels = {name for value in page.values("aria-labelledby") for name in value.split()}
    clips = set(re.findall(r"url\(#([^)]+)\)", text))
    assert links and labels and clips
    assert (links | labels | clips) <= ids


def test_nothing_is_asked_of_the_network(text, page):
    for address in page.values("href") + page.values("src"):
        assert address.startswith(("data:", "#"))
    assert "<script" not in text and "@import" not in text and "url(" not in page.text
    outside = [value for _, attributes in page.elements for value in attributes.values()
               if not value.startswith("data:")]  # fmt: skip
    assert not [value for value in outside if EXTERNAL.search(value)]


def test_names_are_shown_and_escaped(new_report, text, page):
    report = new_report()
    names = [*report.classes, *(result.name for result in report.results), report.title]
    for name in [*names, "Data <of>", "a & b", "val/<1>.mp4"]:
        assert name in page.text
    assert re.search(r"<text[^>]*>\d costs \$5 and \$6</text>", text)
    assert "<b>" not in text and "<i>" not in text and "<trials>" not in text


def test_every_picture_says_what_it_shows(page):
    pictures = page.all("svg")
    assert len(pictures) == NUM_PICTURES
    for picture in pictures:
        assert picture["role"] == "img"
        assert len(picture["aria-labelledby"].split()) == 2
    assert page.text.count("Confusion matrix of TSN") == 2
    assert "26 of 40 clips are on the diagonal" in page.text
    for image, parents in zip(page.elements, page.parents, strict=True):
        if image[0] == "img":
            assert image[1]["alt"] == "" and "figure" in parents
    strip = next(a for _, a in page.elements if a.get("class") == "frames")
    assert strip["role"] == "img" and "8 frames of a clip of" in strip["aria-label"]


def test_structure_serves_keyboard_and_screen_reader(page):
    tags = [tag for tag, _ in page.elements]
    for landmark in ("header", "nav", "main", "footer"):
        assert tags.count(landmark) == 1
    headings = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}
    assert tags.count("caption") == tags.count("table") > 4
    assert all("scope" in cell for cell in page.all("th"))
    for attributes in (a for _, a in page.elements if "scroll" in a.get("class", "").split()):
        assert attributes["tabindex"] == "0" and attributes["aria-label"]


def test_the_best_is_marked_in_words_and_ties_are_not(page, new_report, new_result):
    assert page.text.count("★ best") == 1  # top-5 is the same for both
    assert "97.5 ★ best" in page.text
    alone = Page(render_report(new_report(results=(new_result(),))))
    assert "★" not in alone.text


def test_right_and_wrong_are_said_in_words(page):
    assert "✗ wrong TSN: Moving something from right to left 60 %" in page.text
    assert "✓ right <i>MSTNet</i>: Moving something from left to right 90 %" in page.text


def test_same_report_same_bytes(text, new_report, tmp_path):
    path = write_report(new_report(), str(tmp_path / "report.html"))
    assert path.read_bytes() == text.encode()


def test_charts_take_the_colors_of_the_page(text):
    light, dark = text[: text.index("</style>")].split("prefers-color-scheme: dark")
    for color, variable in CSS_VARIABLES.items():
        assert f"{variable}: {color};" in light
        assert re.search(rf"{variable}: #[0-9a-f]{{6}};", dark.split("\n  }\n")[0])
    drawing = text[text.index("</style>") :]
    assert not [color for color in CSS_VARIABLES if color in drawing]
    assert "var(--ink)" in drawing and "var(--series-1)" in drawing
    assert "DejaVu" not in drawing and "var(--font)" in drawing


CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=390,900",
    "--enable-logging=stderr",
    "--dump-dom",
)
NAN = float("nan")
EMPTY_SITE = KernelSite("gate", (KernelGroup(3, 2, np.zeros((1, 3))),))
CHANGES = {
    "diverged": {"curve": (CurvePoint(1, NAN, float("inf"), 10.0), CurvePoint(2, 1.0, NAN, NAN))},
    "one epoch": {"curve": (CurvePoint(1, 1.0, 1.0, 25.0),)},
    "no epoch": {"curve": ()},
    "no scores": {"top1": NAN, "top5": NAN, "seconds": NAN, "confusion": np.zeros((4, 4), int)},
    "zero kernels": {"kernels": (EMPTY_SITE,)},
    "nan kernels": {"kernels": (KernelSite("a", (KernelGroup(3, 1, np.full((4, 3), NAN)),)),)},
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_unusual_results(new_report, new_result, change):
    page = Page(render_report(new_report(results=(new_result(**change),), examples=())))
    assert not page.unbalanced
    assert "nan" not in page.text.lower().split() and "inf" not in page.text.lower().split()
    ids = page.values("id")
    assert ("curves" in ids) == bool(change.get("curve", True))
    assert ("kernels" in ids) == ("kernels" in change)
    assert "examples" not in ids


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1, 2, 41, 174])
def test_any_number_of_classes(new_report, new_result, size):
    classes = tuple(f"Pretending to put something number {n} next to it" for n in range(size))
    result = new_result(confusion=np.eye(size, dtype=int))
    page = Page(render_report(new_report(classes=classes, results=(result,), examples=())))
    assert all(name in page.text for name in classes)
    assert "No class is taken for another." in page.text


def test_names_in_any_script(new_report, recwarn):
    classes = ("打开某物", "закрывать", "a\nb", "x" * 300)
    assert "打开某物" in render_report(new_report(classes=classes, examples=()))
    assert not recwarn.list


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium on the PATH")
def test_a_browser_shows_it_without_errors(text, tmp_path: Path):
    page = tmp_path / "report.html"
    page.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["chromium", *CHROMIUM_FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
    assert len(Page(done.stdout).all("svg")) == NUM_PICTURES


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium on the PATH")
@pytest.mark.parametrize("width", [500, 1200])
def test_names_without_a_space_do_not_widen_the_page(
    width: int, new_report, new_result, tmp_path: Path
):
    classes = ("x" * 300, "y" * 120, "z" * 60, "short")
    frames = np.zeros((8, 8, 8, 3), np.uint8)
    said = (Prediction("m" * 90, classes[1], 0.9), Prediction("n", classes[0], 0.9))
    points = np.arange(8.0).reshape(4, 2)
    maps = ClipMaps(np.arange(4), (FeatureMap("m" * 90, points, 1, 1),), 30.0)
    text = render_report(
        new_report(
            classes=classes, maps=maps,
            results=(new_result(name="m" * 90), new_result(name="n", top1=1.0)),
            examples=(ExampleStrip(frames, classes[0], said, source="v" * 200 + ".mp4"),),
        )
    )  # fmt: skip
    measure = """<script>
    const wide = [...document.querySelectorAll("main *")].filter(
      (item) => item.getBoundingClientRect().right > innerWidth &&
        !item.closest(".scroll, .chart"));
    const root = document.documentElement, hidden = root.scrollWidth - root.clientWidth;
    document.title = wide.map((item) => item.tagName + "." + item.className).join(" ") + hidden;
    </script>"""
    text = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", f"{measure}</body>")
    page = tmp_path / "report.html"
    page.write_text(text, encoding="utf-8")
    flags = (
        *CHROMIUM_FLAGS,
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900",
    )
    done = subprocess.run(
        ["chromium", *flags, page.as_uri()], capture_output=True, text=True, timeout=600, check=True
    )
    assert re.findall(r"<title>(.*?)</title>", done.stdout) == ["0"]
