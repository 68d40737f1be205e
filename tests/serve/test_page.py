"""The page in a browser: a clip is recognized, the camera is, and nothing is asked of others."""

import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium on the PATH")

TEXT = "document.querySelector('{}').textContent"
TAB = "[...document.querySelectorAll('button[role=tab]')].find(t => t.textContent == '{}').click()"


@pytest.fixture(scope="module")
def page(service, running):
    with running(service, page=True) as server:
        yield server


@pytest.fixture
def browser(chromium, tmp_path: Path):
    browser = chromium.Browser(tmp_path / "profile")
    yield browser
    browser.close()


def stays_here(browser, address: str) -> bool:
    """Whether nothing was asked of others, and the console is clean."""
    own = (address, address.replace("http", "ws"), "data:", f"blob:{address}")
    assert [each for each in browser.requests() if not each.startswith(own)] == []
    assert browser.complaints() == []
    return True


def test_a_video_and_the_camera(browser, page, shared_clip: Path) -> None:
    browser.open(page.address, width=390, height=800)
    browser.wait("!!document.querySelector('#recognize') && !!window.mixtconv")
    browser.wait("!!document.querySelector('#video-file')")
    browser.run("document.querySelector('#recognize').click()")
    browser.wait(TEXT.format("#video-status") + ".includes('choose a video')")
    browser.choose_file("#video-file", shared_clip)
    browser.run("document.querySelector('#recognize').click()")
    browser.wait(TEXT.format("#video-status") + ".includes('done')")
    browser.wait("document.querySelectorAll('#frames img').length == 4")
    labels = browser.run(TEXT.format("#labels"))
    assert all(name in labels for name in ("wave", "jump", "run <fast>"))
    assert browser.run("document.querySelectorAll('#timeline .bar span').length") >= 1
    assert browser.run("[...document.querySelectorAll('#frames img')].every(i => i.naturalWidth)")
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not browser.run(wide), "the page is wider than the phone"

    browser.run(TAB.format("Live"))
    for _ in range(2):  # the second, while the camera is asked for, does nothing
        browser.run("document.querySelector('#live-start').click()")
    browser.wait("document.querySelectorAll('#live-labels li').length == 3")
    browser.wait(TEXT.format("#live-frame") + ".includes('frame 3')")
    browser.run("document.querySelector('#live-start').click()")
    browser.wait(TEXT.format("#live-status") + " == 'stopped'")
    assert stays_here(browser, page.address)
    assert sum(each["method"] == "Network.webSocketCreated" for each in browser.events) == 1

    labels, timeline, frames = browser.run("window.mixtconv.recognize('soon', '')")
    assert labels["label"] in ("wave", "jump", "run <fast>")
    assert timeline == "" and "<img" in frames
    assert browser.run(TEXT.format("#video-status")).startswith("no timeline: ")


def test_a_refusal_is_shown(browser, page, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(b"no video" * 1000)
    browser.open(page.address, dark=True)
    browser.wait("!!document.querySelector('#video-file') && !!window.mixtconv")
    browser.wait("!!document.querySelector('#recognize')")
    browser.choose_file("#video-file", garbage)
    browser.run("document.querySelector('#recognize').click()")
    browser.wait(TEXT.format("#video-status") + ".includes('no video of a known form')")
    assert browser.run("document.querySelector('#video-status').classList.contains('fault')")
    (refused,) = browser.complaints()  # the browser's own words for a status of 415
    assert "415" in refused


def test_nothing_of_gradio_but_the_page_can_be_reached(page) -> None:
    client = page.client
    assert client.get("/").status_code == 200
    for path in ("/gradio_api/info", "/gradio_api/file=/etc/passwd", "/gradio_api/queue/data",
                 "/gradio_api/heartbeat/x",
                 "/gradio_api/proxy=http://127.0.0.1/", "/login_check", "/monitoring"):  # fmt: skip
        assert client.get(path).status_code == 404, path
    for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/run/predict", "/"):
        assert client.post(path, files={"files": b"x"}).status_code == 404, path
    assert client.get("/static/../../../../etc/passwd").status_code == 404
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy
