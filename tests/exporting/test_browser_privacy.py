"""No video leaves the device: what a page and its threads ask for, and what they cannot ask."""

import shutil
from pathlib import Path

import pytest

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
"""Headers of a server by which a page may share memory among threads, so that it has several."""

SEND = """Promise.all([
    fetch("{0}/fetched", {{method: "POST", body: "pixels", mode: "no-cors"}}),
    fetch("{0}/asked?pixels", {{mode: "no-cors"}}),
    import("{0}/imported.js"),
    new Promise((done, failed) => {{
        const socket = new WebSocket("{0}/socket".replace("http", "ws"));
        socket.onopen = done;
        socket.onerror = failed;
    }}),
].map(sent => sent.then(() => "sent", () => "kept")))"""

ASK_A_THREAD = """new Promise((done, failed) => {{
    const thread = new Worker("{0}", {{type: "module"}});
    thread.onmessage = event => done(event.data);
    thread.onerror = failed;
}})"""


@pytest.mark.parametrize("headers", [{}, ISOLATED], ids=["one-thread", "several-threads"])
def test_a_page_and_its_threads_ask_for_its_own_files_and_can_ask_for_no_others(
    headers, chromium, pages: Path, serving, media, recognizing_page, tmp_path: Path
) -> None:
    shutil.copytree(pages / "clip", tmp_path / "served")
    (tmp_path / "elsewhere").mkdir()
    video = media.encode(tmp_path / "secret.mp4", media.moving_frames(8, height=96, width=128))
    with (
        serving(tmp_path / "served", headers) as (address, asked),
        serving(tmp_path / "elsewhere") as (elsewhere, asked_elsewhere),
    ):
        send = SEND.format(elsewhere)
        (tmp_path / "served" / "spy.js").write_text(f"{send}.then(postMessage)")
        page = recognizing_page(chromium.Browser(tmp_path / "browser"))
        try:
            page.open(f"{address}/").labels(video)
            network, *others = page.browser.threads
            assert len(others) == 0 if not headers else len(others) > 0
            assert {each.partition("http")[0] for each in page.browser.threads.values()} == {
                "blob:"
            }
            requests = page.browser.requests()
            assert f"{address}/model.onnx" in requests  # those of threads are seen
            for thread in (None, network):
                assert set(page.run(send, thread=thread)) == {"kept"}
            begun = page.run(ASK_A_THREAD.format(f"{address}/spy.js"), thread=network)
            assert set(begun) == {"kept"}  # by the code of others
        finally:
            page.browser.close()
    assert asked_elsewhere == []
    own = (f"{address}/", "data:", f"blob:{address}/")
    assert [each for each in requests if not each.startswith(own)] == []
    for method, path, has_body in asked:
        assert method == "GET" and not has_body, path
        assert (tmp_path / "served" / path.lstrip("/")).exists(), path
