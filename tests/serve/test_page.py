"""The pages in a browser: a clip and the camera are recognized, and nothing remote is loaded."""

import base64
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium on the PATH")

TEXT = "document.querySelector('{}').textContent"
TAB = "[...document.querySelectorAll('button[role=tab]')].find(t => t.textContent == '{}').click()"
WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


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
    """Whether nothing was loaded from elsewhere and the console is clean, so that the pages keep
    to their policy."""
    own = (address, address.replace("http", "ws"), "data:", f"blob:{address}")
    assert [each for each in browser.requests() if not each.startswith(own)] == []
    assert browser.complaints() == []
    return True


def test_a_video_and_the_camera(browser, page, shared_clip: Path) -> None:
    browser.open(page.address, width=390, height=800)
    browser.wait("!!document.querySelector('#recognize') && document.readyState == 'complete'")
    browser.run("document.querySelector('#recognize').click()")
    browser.wait(TEXT.format("#video-status") + ".includes('choose a video')")
    browser.choose_file("#video-file", shared_clip)
    browser.run("document.querySelector('#recognize').click()")
    browser.wait(TEXT.format("#video-status") + ".includes('done')")
    browser.wait("document.querySelectorAll('#frames img').length == 4")
    labels = browser.run(TEXT.format("#labels"))
    assert all(name in labels for name in ("wave", "jump", "run <fast>"))
    assert browser.run("document.querySelectorAll('#timeline .bar span').length") >= 1
    bars = "[...document.querySelectorAll('#labels i, #timeline .bar span')]"
    assert browser.run(f"{bars}.every(bar => bar.getBoundingClientRect().width > 1)")
    assert browser.run("[...document.querySelectorAll('#frames img')].every(i => i.naturalWidth)")
    assert not browser.run(WIDE), "the page is wider than the phone"

    browser.run(TAB.format("Live"))
    for _ in range(2):  # the second, while the camera is asked for, does nothing
        browser.run("document.querySelector('#live-start').click()")
    browser.wait("document.querySelectorAll('#live-labels li').length == 3")
    browser.wait(TEXT.format("#live-frame") + ".includes('frame 3')")
    say = "showLiveEvent({{state: '{}', label: '{}', start: {}, end: {}, score: 0.87}})"
    events = "[...document.querySelectorAll('#live-events li')].map(li => li.innerText)"
    browser.run("document.querySelector('#live-events').replaceChildren()")
    browser.run(say.format("started", "jump", 61.5, "null"))
    assert [each.split("\n") for each in browser.run(events)] == [
        ["1:01.5 \u2013 …", "jump", "87 %"]
    ]
    browser.run(say.format("started", "wave", 62, "null"))
    browser.run(say.format("ended", "jump", 61.5, 63.25))
    shown = [each.split("\n") for each in browser.run(events)]
    assert [each for each in shown if each[1] == "jump"] == [
        ["1:01.5 \u2013 1:03.3", "jump", "87 %"]
    ]
    assert shown[0][:2] == ["1:02.0 \u2013 …", "wave"]
    assert not browser.run(WIDE), "the page is wider than the phone"
    browser.run("document.querySelector('#live-start').click()")
    browser.wait(TEXT.format("#live-status") + " == 'stopped'")
    ends = [each.split("\n")[0].split()[-1] for each in browser.run(events) if "1:0" in each]
    assert ends == ["stop", "1:03.3"]
    [socket] = [each for each in browser.requests() if "/v1/live" in each]
    assert "events=true" in socket and "fps=8" in socket
    assert stays_here(browser, page.address)
    assert sum(each["method"] == "Network.webSocketCreated" for each in browser.events) == 1

    browser.run(TAB.format("Video"))
    browser.run("document.querySelector('#window').value = 'soon'")
    browser.run("document.querySelector('#recognize').click()")
    browser.wait(TEXT.format("#video-status") + ".startsWith('no timeline: ')")
    assert browser.run(TEXT.format("#labels li span")) in ("wave", "jump", "run <fast>")
    assert browser.run(TEXT.format("#timeline")) == ""
    assert browser.run("document.querySelectorAll('#frames img').length") == 4


def test_a_refusal_is_shown(browser, page, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(b"no video" * 1000)
    browser.open(page.address, dark=True)
    browser.wait("!!document.querySelector('#recognize') && document.readyState == 'complete'")
    browser.choose_file("#video-file", garbage)
    browser.run("document.querySelector('#recognize').click()")
    browser.wait(TEXT.format("#video-status") + ".includes('no video of a known format')")
    assert browser.run("document.querySelector('#video-status').classList.contains('error')")
    (refused,) = browser.complaints()  # the browser's own words for a status of 415
    assert "415" in refused


def press(browser, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
        code = {"Tab": 9, "Enter": 13, "ArrowRight": 39, "End": 35}[key]
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text
        )


def test_the_keyboard_is_enough(browser, page) -> None:
    browser.open(page.address)
    browser.wait("!!document.querySelector('#recognize') && document.readyState == 'complete'")
    focused = "document.activeElement.id || document.activeElement.textContent"
    order = []
    for _ in range(6):
        press(browser, "Tab")
        order.append(browser.run(focused))
        assert browser.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert order == ["API", "tab-video", "video-file", "window", "stride", "recognize"]
    press(browser, "Enter")
    browser.wait(TEXT.format("#video-status") + ".includes('choose a video')")
    browser.run("document.querySelector('#tab-video').focus()")
    press(browser, "ArrowRight")
    assert browser.run(focused) == "tab-events"
    press(browser, "ArrowRight")
    assert browser.run(focused) == "tab-live"
    press(browser, "End")
    assert browser.run(focused) == "tab-model"
    shown = (
        "[...document.querySelectorAll('[role=tabpanel]')].filter(p => !p.hidden).map(p => p.id)"
    )
    assert browser.run(shown) == ["panel-model"]
    assert "mstnet_test_resnet" in browser.run(TEXT.format("#panel-model"))
    fields = "[...document.querySelectorAll('input')].every(i => i.labels.length == 1)"
    assert browser.run(fields), "a field has no label"


@pytest.mark.parametrize("dark", [False, True])
def test_colours_follow_the_system_and_have_contrast(browser, page, dark: bool) -> None:
    browser.open(page.address, dark=dark)
    browser.wait("!!document.querySelector('#recognize') && document.readyState == 'complete'")
    style = "getComputedStyle(document.querySelector('{}')).{}.match(/[0-9.]+/g).map(Number)"
    back = luminance(browser.run(style.format("body", "backgroundColor")))
    assert (back < 0.1) is dark
    button = luminance(browser.run(style.format("#recognize", "backgroundColor")))
    for selector, behind in (("body", back), ("header p", back), ("#recognize", button)):
        text = luminance(browser.run(style.format(selector, "color")))
        light, low = max(text, behind) + 0.05, min(text, behind) + 0.05
        assert light / low >= 4.5, selector  # WCAG 2.2, 1.4.3


def luminance(colour: list[float]) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    parts = [value / 255 for value in colour[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_api_is_described_without_a_network(browser, page) -> None:
    browser.open(f"{page.address}/docs")
    browser.wait("document.querySelectorAll('.opblock').length == 10")
    browser.run(
        "document.querySelector('[id$=timeline_source_v1_timeline_source_post] button').click()"
    )
    browser.wait("document.querySelectorAll('.opblock.is-open .responses-wrapper').length == 1")
    text = browser.run("document.body.innerText")
    for word in ("/v1/timeline-source", "stride", "WindowAnswer", "busy"):
        assert word in text
    assert stays_here(browser, page.address)


def test_the_policy_forbids_inline_scripts_and_eval(browser, page) -> None:
    for path in ("/", "/docs"):
        policy = page.client.get(path).headers["content-security-policy"]
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == rules["script-src"] == rules["style-src"] == "'self'"
        assert "unsafe" not in policy and "http" not in policy
        browser.open(f"{page.address}{path}")
        browser.wait("document.readyState == 'complete'")
        browser.run(
            "const inline = document.createElement('script');"
            "inline.textContent = 'window.wasRun = true'; document.head.append(inline);"
            "setTimeout('window.wasRun = true');"
            "document.body.setAttribute('onclick', 'wasRun = 1');"
            "document.body.click()"
        )
        assert (
            browser.run("new Promise(done => setTimeout(() => done(window.wasRun), 100))") is None
        )
        assert any("Content Security Policy" in each for each in browser.complaints())


def test_only_the_page_and_its_files_can_be_reached(page) -> None:
    client = page.client
    assert client.get("/").status_code == client.head("/").status_code == 200
    assert client.get("/static/page.js").headers["content-type"].startswith("text/javascript")
    for path in ("/gradio_api/info", "/gradio_api/file=/etc/passwd", "/config", "/static/",
                 "/static/../page.py", "/static/%2e%2e/page.py", "/static/swagger/../../page.py",
                 "/static/../../../../etc/passwd"):  # fmt: skip
        assert client.get(path).status_code == 404, path
    for path in ("/", "/docs", "/static/page.js"):
        assert client.post(path, files={"files": b"x"}).status_code == 405, path


def test_without_the_page_the_api_is_described(service, running) -> None:
    with running(service, page=False) as server:
        assert server.client.get("/").status_code == 404
        assert server.client.get("/docs").status_code == 200


def test_the_page_asks_for_the_token(browser, service, running) -> None:
    with running(service, page=True, token="a-token-of-some-length") as server:
        for path in ("/", "/docs", "/static/page.js", "/static/swagger/swagger-ui.css"):
            assert server.client.get(path).status_code == 401
        # What a browser sends after asking its user; its WebSocket has the cookie alone.
        password = base64.b64encode(b"anybody:a-token-of-some-length").decode()
        browser.call("Network.setExtraHTTPHeaders", headers={"Authorization": f"Basic {password}"})
        browser.open(server.address)
        browser.wait("!!document.querySelector('#recognize') && document.readyState == 'complete'")
        browser.run(TAB.format("Live"))
        browser.run("document.querySelector('#live-start').click()")
        browser.wait("document.querySelectorAll('#live-labels li').length == 3")
        assert stays_here(browser, server.address)


def test_events_of_a_video_on_a_timeline(browser, page, clip: Path) -> None:
    browser.open(page.address, width=390, height=800)
    browser.wait("!!document.querySelector('#find-events') && document.readyState == 'complete'")
    browser.run(TAB.format("Events"))
    browser.run("document.querySelector('#find-events').click()")
    browser.wait(TEXT.format("#events-status") + ".includes('choose a video')")
    browser.choose_file("#events-file", clip)
    field = "document.querySelector('#events-form [name={}]').value = '{}'"
    for name, value in (("fps", 10), ("enter", 0.0), ("min_seconds", 0.5)):  # all is an event
        browser.run(field.format(name, value))
    browser.run("document.querySelector('#find-events').click()")
    browser.wait(TEXT.format("#events-status") + ".includes('3 events')")
    assert browser.run("document.querySelectorAll('#events-view .ev-bar.ev-none').length") >= 3
    assert browser.run("document.querySelectorAll('#events-view path').length") == 6
    assert browser.run("document.querySelectorAll('.ev-table tbody tr').length") == 3
    browser.run("document.querySelector('.ev-timeline').focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
    now = "Number(document.querySelector('.ev-timeline').ariaValueNow)"
    assert browser.run(now) == 1
    assert not browser.run(WIDE), "the page is wider than the phone"
    assert stays_here(browser, page.address)
    assert page.client.get("/timeline/nothing.js").status_code == 404
