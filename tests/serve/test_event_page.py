"""The page of events in a browser: keys, clicks, both lanes, and nothing from a network."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from mixtconv.detection.page import recording_timeline
from mixtconv.detection.predict import messages
from mixtconv.detection.scorers import ScoredStep
from mixtconv.events.curves import ScoreCurves
from mixtconv.events.detector import EventDetector
from mixtconv.events.event import AnnotatedEvent, Event
from mixtconv.events.settings import EventSettings
from mixtconv.visualization.event_page import PageTable, render_event_page

CLASSES = ["wave", "jump <fast>", "background"]
SETTINGS = EventSettings(smoothing_seconds=0, background=("background",))
TRUTHS = [AnnotatedEvent("wave", 1, 2), AnnotatedEvent("jump <fast>", 2, 3)]
NOW = "document.querySelector('.ev-timeline').ariaValueNow"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, media) -> Path:
    """A page in a folder beside that of its video, and a recording that has gone."""
    folder = tmp_path_factory.mktemp("a page")
    frames = media.moving_frames(100)
    (folder / "videos #1").mkdir()
    video = media.encode(folder / "videos #1" / "day 100%.webm", frames, codec="vp8")
    scores = np.zeros((40, 3))
    scores[:, 2] = 1
    scores[10:20, 0], scores[33:39, 1] = 0.9, 0.8
    curves, detector = ScoreCurves(CLASSES), EventDetector(CLASSES, SETTINGS)
    steps = [ScoredStep(n / 10, (n + 1) / 10, row) for n, row in enumerate(scores)]
    said = list(messages(detector, steps, curves))
    events = [each.event for each in said if isinstance(each.event, Event)]
    (folder / "pages").mkdir()
    shown = {"settings": SETTINGS, "folder": folder / "pages", "annotated": TRUTHS}
    recordings = [
        recording_timeline(video, events, curves=curves, name="day", **shown),
        recording_timeline(folder / "gone.mp4", [], curves=None, seconds=4, error="gone", **shown),
    ]
    table = PageTable("metrics", ["class", "AP"], [["jump <fast>", "50.0"]])
    path = folder / "pages" / "page.html"
    path.write_text(render_event_page(recordings, title="Events <1>", tables=[table]))
    return path


def content(page: Path) -> list[dict]:
    text = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page.read_text())
    return json.loads(text[1])


def test_the_page_holds_events_matches_scores_and_thresholds(page) -> None:
    day, gone = content(page)
    assert [(e["label"], e["start"], e["end"], e["match"]) for e in day["events"]] == [
        ("wave", 1.0, 2.0, 0),
        ("jump <fast>", 3.3, 3.9, None),
    ]
    assert [each["found"] for each in day["annotated"]] == [True, False]
    assert day["video"] == "../videos%20%231/day%20100%25.webm"
    assert [each["label"] for each in day["scores"]["classes"]] == CLASSES
    assert day["scores"]["classes"][0]["values"][10:20] == [0.9] * 10
    assert day["thresholds"] == {"wave": [0.5, 0.35], "jump <fast>": [0.5, 0.35]}
    assert gone["error"] == "gone" and gone["scores"] is None


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium on the PATH")
def test_keys_and_clicks_lead_through_the_recording(chromium, page, tmp_path) -> None:
    browser = chromium.Browser(tmp_path / "profile")

    def press(key: str, *, shift: bool = False) -> float:
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=8 * shift)
        browser.call("Input.dispatchKeyEvent", type="keyUp", key=key)
        return float(browser.run(NOW))

    try:
        browser.open(f"file://{page}".replace(" ", "%20"), width=390, height=800)
        browser.wait("document.querySelector('video')?.readyState >= 2")
        assert press("n") == 1.0  # also while nothing has the focus
        assert press("n") == 2.0 and press("p") == 1.0
        assert press("ArrowRight") == 2.0 and press("ArrowRight", shift=True) == 2.1
        assert press("ArrowLeft") == pytest.approx(1.1) and press("End") == 4.0
        browser.wait("document.querySelector('video').currentTime > 3.5")
        assert press("Home") == 0.0
        browser.run("document.querySelector('.ev-timeline').focus()")
        press(" ")
        browser.wait(f"Number({NOW}) > 0.2 && !document.querySelector('video').paused")
        press(" ")
        assert browser.run("document.querySelector('video').paused")
        width = browser.run("document.querySelector('.ev-over').offsetWidth")
        press("+")
        assert browser.run("document.querySelector('.ev-over').offsetWidth") == 2 * width
        press("-")
        box = browser.run(
            "document.querySelector('.ev-over').scrollIntoView({block: 'center'}),"
            "(r => [r.left, r.top, r.width])("
            "document.querySelector('.ev-over').getBoundingClientRect())"
        )
        at = {"x": box[0] + box[2] / 2, "y": box[1] + 60, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            browser.call("Input.dispatchMouseEvent", type=kind, **at)
        assert float(browser.run(NOW)) == pytest.approx(2, abs=0.1)
        rows = browser.run(
            "[...document.querySelectorAll('.ev-table tbody tr')].map(r => r.innerText)"
        )
        assert len(rows) == 4 and sum("annotated, missed" in row for row in rows) == 1
        assert sum("found, matches" in row for row in rows) == 1
        browser.run("document.querySelector('.ev-table tbody button').click()")
        assert float(browser.run(NOW)) == 1.0
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not browser.run(wide), "the page is wider than the phone"
        browser.run(
            "document.querySelector('#recording').value = '1';"
            "document.querySelector('#recording').dispatchEvent(new Event('change'))"
        )
        assert "gone" in browser.run("document.querySelector('#unreadable').textContent")
        remote = [each for each in browser.requests() if not each.startswith(("file:", "data:"))]
        assert remote == []
        complaints = [each for each in browser.complaints() if "gone.mp4" not in each]
        assert complaints == []
    finally:
        browser.close()
