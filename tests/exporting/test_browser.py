"""The page for browsers: what is written, and that it recognizes files, streams and the camera."""

import json
import re
import shutil
from pathlib import Path

import pytest

from mixtconv._version import __version__
from mixtconv.cli.main import main
from mixtconv.exporting import browser
from mixtconv.exporting.agreement import Agreement
from mixtconv.exporting.browser import RUNTIME_FILES, export_page
from mixtconv.exporting.export import Exported
from mixtconv.inference.engine_recognizers import EngineRecognizer, EngineStreamingRecognizer
from mixtconv.models import save_model
from mixtconv.video.reader import iterate_frames

CLASSES = ["wave", "jump", "run <fast>"]
TEXT = "document.querySelector('{}').textContent"


@pytest.fixture
def exported_before(exported_page: Path, monkeypatch) -> None:
    """What is exported is a copy, which takes no time."""

    def export_model(model, path, **settings):
        shutil.copy(exported_page / "model.onnx", path)
        agreement = Agreement(0.0, 1e-4, 1.0)
        return Exported("onnx", path, path.stat().st_size, False, "uint8", agreement)

    monkeypatch.setattr(browser, "export_model", export_model)


def test_a_page_is_whole_and_says_what_the_model_is(exported_page: Path) -> None:
    about = json.loads((exported_page / "model.json").read_text())
    assert (about["spec"]["classes"], about["pixels"], about["states"]) == (CLASSES, "uint8", None)
    assert {each.name for each in (exported_page / "ort").iterdir()} == set(RUNTIME_FILES)
    assert EngineRecognizer(exported_page / "model.onnx").classes == tuple(CLASSES)


def test_every_file_that_a_page_loads_is_in_it_or_beside_it(exported_page: Path) -> None:
    texts = {each: each.read_text() for each in exported_page.glob("*.[hjc][ts]*")}
    names = {
        name
        for text in texts.values()
        for name in re.findall(r"""["'](?:\./)?([\w./-]+\.(?:m?js|css|json|onnx))["']""", text)
    }
    assert {"page.js", "network.js", "ort/ort.wasm.min.mjs", "model.onnx", "resize.js"} <= names
    assert [name for name in names if not (exported_page / name).is_file()] == []
    assert [each.name for each, text in texts.items() if re.search("https?:", text)] == []


@pytest.mark.usefixtures("exported_before")
def test_an_earlier_page_is_replaced_and_no_other_folder(
    tmp_path: Path, page_model, empty_runtime
) -> None:
    runtime, mine = empty_runtime(tmp_path / "dist"), tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("of years")
    with pytest.raises(ValueError, match=r"mine, a folder with other files, such as thesis\.txt"):
        export_page(page_model(), mine, runtime=runtime)
    assert (mine / "thesis.txt").read_text() == "of years"
    page = tmp_path / "page"
    export_page(page_model(), page, runtime=runtime)
    (page / "old.js").write_text("of an earlier version")
    save_model(page_model(), tmp_path / "m.safetensors")
    words = ["export", str(tmp_path / "m.safetensors"), "--to", "web", "--runtime", str(runtime)]
    assert main([*words, "--out", str(page)]) == 0  # by the command too
    assert not (page / "old.js").exists() and (page / "index.html").exists()
    (page / "CNAME").write_text("example.org")  # of whoever serves it
    with pytest.raises(ValueError, match="page, a folder with other files, such as CNAME"):
        export_page(page_model(), page, runtime=runtime)


@pytest.mark.usefixtures("exported_before")
def test_a_runtime_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch, page_model, empty_runtime
) -> None:
    runtime = empty_runtime(tmp_path / "dist")
    with pytest.raises(ValueError, match=r"no folder .*nowhere: run npm install"):
        export_page(page_model(), tmp_path / "page", runtime=tmp_path / "nowhere")
    (runtime / RUNTIME_FILES[2]).unlink()
    with pytest.raises(ValueError, match=rf"dist lacks {RUNTIME_FILES[2]} of onnxruntime-web"):
        export_page(page_model(), tmp_path / "page", runtime=runtime)
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]
    empty_runtime(tmp_path / "node_modules" / "onnxruntime-web" / "dist")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert export_page(page_model(), "page").agreement.holds


@pytest.mark.usefixtures("exported_before")
def test_the_version_of_the_runtime_is_checked_and_kept_in_the_page(
    tmp_path: Path, page_model, empty_runtime
) -> None:
    for version in ("1.29.1", "2.0.0", "one"):
        runtime = empty_runtime(tmp_path / version, version)
        said = version if version[0].isdigit() else "of no known version"
        with pytest.raises(ValueError, match=rf"onnxruntime-web {said}: .* 1\.30 or a later 1\.x"):
            export_page(page_model(), tmp_path / "page", runtime=runtime)
    mixed = empty_runtime(tmp_path / "mixed", "1.31.0")
    name = next(name for name in RUNTIME_FILES if name.startswith("ort."))
    shutil.copy(empty_runtime(tmp_path / "other") / name, mixed / name)
    with pytest.raises(ValueError, match=r"1\.30\.0 and 1\.31\.0"):
        export_page(page_model(), tmp_path / "page", runtime=mixed)
    assert not (tmp_path / "page").exists()
    newer = empty_runtime(tmp_path / "newer", "1.41.2-dev.20270101")
    export_page(page_model(), tmp_path / "page", runtime=newer)
    page = (tmp_path / "page" / "index.html").read_text()
    assert f'content="mixtconv {__version__}, onnxruntime-web 1.41.2-dev.20270101"' in page


def test_other_modalities_and_flags_are_refused(
    tmp_path: Path, capsys, page_model, empty_runtime
) -> None:
    runtime = empty_runtime(tmp_path / "dist")
    with pytest.raises(ValueError, match="takes rgbdiff, and a page reads rgb and motion alone"):
        export_page(page_model(modality="rgbdiff"), tmp_path / "page", runtime=runtime)
    model = tmp_path / "model.safetensors"
    save_model(page_model(), model)
    web = ["export", str(model), "--out", str(tmp_path / "page"), "--to", "web"]
    assert main([*web, "--runtime", str(runtime), "--pixels", "normalized"]) == 2
    assert "--pixels is normalized; a page gives uint8" in capsys.readouterr().err
    onnx = ["export", str(model), "--out", str(tmp_path / "m.onnx"), "--to", "onnx"]
    assert main([*onnx, "--runtime", str(runtime)]) == 2
    assert "--runtime is of --to web, and --to is onnx" in capsys.readouterr().err


def test_a_stream_feeds_its_past_back(chrome, address: str, pages, media, tmp_path: Path) -> None:
    path = media.encode(tmp_path / "clip.mp4", media.moving_frames(11, height=96, width=128))
    page = chrome.open(f"{address}/stream/?backend=webgpu")
    assert page.run("document.querySelector('#backend').value") == "wasm"  # all that runs streams
    frames = list(iterate_frames(path))
    for step, rate in ((1, None), (5, 5)):  # of 25 a second
        with EngineStreamingRecognizer(pages / "stream" / "model.onnx").start() as stream:
            labels = [stream.push(frame).predictions for frame in frames[::step]]
        last = {each.label: each.score for each in labels[-1]}
        expected = pytest.approx(last, abs=1e-3)
        if rate is None:
            assert page.labels(path) == expected
        else:
            page.run("document.querySelector('#status').textContent = ''")
            page.run(f"document.querySelector('#file-rate').value = {rate}")
            page.run("document.querySelector('#again').click()")
            assert page.labels_when_done() == expected


@pytest.mark.parametrize("kind", ["clip", "stream"])
def test_the_camera_is_recognized_until_it_is_stopped(chrome, address: str, kind: str) -> None:
    page = chrome.open(f"{address}/{kind}/")
    page.run("document.querySelector('#tab-camera').click()")
    page.run("document.querySelector('#rate').value = 20")
    page.run("document.querySelector('#start').click()")
    page.wait("document.querySelectorAll('#labels li').length == 3")
    page.wait(TEXT.format("#latency") + ".match(/Frame (\\d+)/)[1] > 5")
    page.run("document.querySelector('#start').click()")
    page.wait(TEXT.format("#status") + " == 'Stopped.'")
    assert page.run("document.querySelector('#camera').srcObject") is None
    assert page.text("#start") == "Start the camera"


def test_the_keyboard_is_enough_and_the_phone_is_wide_enough(chrome, address: str) -> None:
    page = chrome.open(f"{address}/clip/", width=390, height=800, dark=True)
    assert not page.run("document.documentElement.scrollWidth > innerWidth")
    back = page.run("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert max(back) < 60
    focused, order = "document.activeElement.id", []
    for key, code in (("Tab", 9),) * 3 + (("ArrowRight", 39),) + (("Tab", 9),) * 3:
        if key == "ArrowRight":
            page.run("document.querySelector('#tab-file').focus()")
        for kind in ("keyDown", "keyUp"):
            page.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)
        order.append(page.run(focused))
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert order == ["tab-file", "backend", "file", "tab-camera", "backend", "rate", "window"]
    fields = "[...document.querySelectorAll('input, select')].every(f => f.labels.length == 1)"
    assert page.run(fields), "a field has no label"
