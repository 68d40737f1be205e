"""The page for browsers: what is written, and that a browser gives the labels of `predict`."""

import json
import os
import platform
import re
import shutil
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter
from PIL import Image

from mixtconv.cli.main import main
from mixtconv.exporting import browser
from mixtconv.exporting.agreement import Agreement
from mixtconv.exporting.browser import RUNTIME_FILES, export_page
from mixtconv.exporting.export import Exported
from mixtconv.inference.engine_recognizers import EngineRecognizer, EngineStreamingRecognizer
from mixtconv.models import create_model, save_model
from mixtconv.video.reader import iterate_frames

CLASSES = ["wave", "jump", "run <fast>"]
TEXT = "document.querySelector('{}').textContent"
READY = "!!document.querySelector('#file') && !document.querySelector('#file').disabled"
LABELS = (
    "Object.fromEntries([...document.querySelectorAll('#labels li')]"
    ".map(line => [line.firstChild.textContent, Number(line.dataset.score)]))"
)
PIXELS = (
    "[...document.querySelectorAll('#seen canvas')].flatMap(canvas => Array.from("
    "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data))"
)
TRACK = (
    "import('./container.js').then(m => m.videoTrack(document.querySelector('#file').files[0]))"
    ".then(track => track.times)"
)


def _model(*, causal: bool = False, modality: str = "rgb"):
    torch.manual_seed(0)
    model = create_model(
        "mstnet_test_resnet",
        classes=CLASSES,
        num_frames=4,
        image_size=32,
        causal=causal,
        modality=modality,
    ).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


@pytest.fixture(scope="module")
def exported_page(tmp_path_factory) -> Path:
    """A page of clips whose runtime is empty files."""
    folder = tmp_path_factory.mktemp("page")
    exported = export_page(_model(), folder / "page", runtime=_empty_runtime(folder / "dist"))
    assert exported.agreement.holds and exported.path == folder / "page"
    assert exported.num_bytes == sum(each.stat().st_size for each in exported.path.rglob("*.*"))
    return exported.path


def _empty_runtime(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in RUNTIME_FILES:
        (folder / name).write_bytes(b"")
    return folder


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
def test_an_earlier_page_is_replaced_and_no_other_folder(tmp_path: Path) -> None:
    runtime, mine = _empty_runtime(tmp_path / "dist"), tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("of years")
    with pytest.raises(ValueError, match=r"mine, a folder with other files, such as thesis\.txt"):
        export_page(_model(), mine, runtime=runtime)
    assert (mine / "thesis.txt").read_text() == "of years"
    page = tmp_path / "page"
    export_page(_model(), page, runtime=runtime)
    (page / "old.js").write_text("of an earlier version")
    save_model(_model(), tmp_path / "m.safetensors")
    words = ["export", str(tmp_path / "m.safetensors"), "--to", "web", "--runtime", str(runtime)]
    assert main([*words, "--out", str(page)]) == 0  # by the command too
    assert not (page / "old.js").exists() and (page / "index.html").exists()
    (page / "CNAME").write_text("example.org")  # of whoever serves it
    with pytest.raises(ValueError, match="page, a folder with other files, such as CNAME"):
        export_page(_model(), page, runtime=runtime)


@pytest.mark.usefixtures("exported_before")
def test_a_runtime_that_is_not_there_is_named(tmp_path: Path, monkeypatch) -> None:
    runtime = _empty_runtime(tmp_path / "dist")
    with pytest.raises(ValueError, match=r"no folder .*nowhere: run npm install"):
        export_page(_model(), tmp_path / "page", runtime=tmp_path / "nowhere")
    (runtime / RUNTIME_FILES[2]).unlink()
    with pytest.raises(ValueError, match=rf"dist lacks {RUNTIME_FILES[2]} of onnxruntime-web"):
        export_page(_model(), tmp_path / "page", runtime=runtime)
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]
    _empty_runtime(tmp_path / "node_modules" / "onnxruntime-web" / "dist")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert export_page(_model(), "page").agreement.holds


def test_other_modalities_and_flags_are_refused(tmp_path: Path, capsys) -> None:
    runtime = _empty_runtime(tmp_path / "dist")
    with pytest.raises(ValueError, match="takes rgbdiff, and a page reads rgb and motion alone"):
        export_page(_model(modality="rgbdiff"), tmp_path / "page", runtime=runtime)
    model = tmp_path / "model.safetensors"
    save_model(_model(), model)
    web = ["export", str(model), "--out", str(tmp_path / "page"), "--to", "web"]
    assert main([*web, "--runtime", str(runtime), "--pixels", "normalized"]) == 2
    assert "--pixels is normalized; a page gives uint8" in capsys.readouterr().err
    onnx = ["export", str(model), "--out", str(tmp_path / "m.onnx"), "--to", "onnx"]
    assert main([*onnx, "--runtime", str(runtime)]) == 2
    assert "--runtime is of --to web, and --to is onnx" in capsys.readouterr().err


@pytest.fixture(scope="module")
def runtime() -> Path:
    variable = "MIXTCONV_ONNXRUNTIME_WEB"
    if not shutil.which("chromium"):
        pytest.skip("needs chromium on the PATH")
    beside = Path(__file__).parents[2] / "node_modules" / "onnxruntime-web" / "dist"
    folder = Path(os.environ.get(variable, beside))
    if not folder.is_dir():
        pytest.skip(
            f"no onnxruntime-web at {folder}: npm install it, or name its dist in {variable}"
        )
    return folder


@pytest.fixture(scope="module")
def pages(runtime: Path, exported_page: Path, tmp_path_factory) -> Path:
    """The folder of two pages, `clip` and `stream`."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(exported_page, folder / "clip")
    for name in RUNTIME_FILES:
        shutil.copy(runtime / name, folder / "clip" / "ort" / name)
    model = folder / "causal.safetensors"
    save_model(_model(causal=True), model)
    out = ["--out", str(folder / "stream"), "--runtime", str(runtime), "--streaming"]
    assert main(["export", str(model), "--to", "web", *out]) == 0
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(pages: Path) -> Iterator[str]:
    """Where both pages are served, as files."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(pages)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def chrome(chromium, tmp_path_factory, address: str) -> Iterator:
    """A browser. It asked for nothing but the pages, and its console is clean."""
    browser = chromium.Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    own = (address, "data:", f"blob:{address}")
    assert [each for each in browser.requests() if not each.startswith(own)] == []
    assert browser.complaints() == []
    browser.close()


@pytest.fixture
def clip_page(chrome, address: str):
    """The browser at the page of clips."""
    return _opened(chrome, f"{address}/clip/")


def _opened(chrome, address: str, **look):
    chrome.open(address, **look)
    ready = f"location.href == '{address}' && document.readyState == 'complete' && {READY}"
    chrome.wait(ready, seconds=60)
    return chrome


def _labels(chrome, path: Path) -> dict[str, float]:
    """The labels that the page gives a file."""
    chrome.run("document.querySelector('#status').textContent = ''")
    chrome.choose_file("#file", path)
    return _labels_when_done(chrome)


def _labels_when_done(chrome) -> dict[str, float]:
    status = chrome.wait(TEXT.format("#status") + ".match(/^Done.|^.*: .*/)?.[0]", seconds=60)
    assert status == "Done.", status
    return chrome.run(LABELS)


def _by_label(predictions) -> dict[str, float]:
    return {each.label: each.score for each in predictions}


def _write_videos(folder: Path, media) -> dict[str, Path]:
    """Short videos of many kinds, each with something that a page could get wrong."""
    frames = media.moving_frames(20, height=96, width=128)
    plain = {"b-frames.mp4": {"options": {"bf": "2"}}, "vp9.webm": {"codec": "libvpx-vp9"},
             "h264.mkv": {}, "wide.mp4": {"pixel_aspect": Fraction(4, 3)},
             "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
             "bt709.mp4": {"options": {"colorspace": "bt709", "color_range": "pc"}}}  # fmt: skip
    videos = {name: media.encode(folder / name, frames, **how) for name, how in plain.items()}
    videos["turned.mp4"] = media.encode(folder / "turned.mp4", frames)
    media.set_display_matrix(videos["turned.mp4"], 0, 1, -1, 0)
    videos["edited.mp4"] = media.encode(folder / "edited.mp4", frames)
    media.cut_start_by_edit_list(videos["edited.mp4"], 3)
    videos["timeless.mp4"] = _without_times(media.encode(folder / "timeless.mp4", frames))
    return videos


def _without_times(path: Path) -> Path:
    """Makes every frame of an MP4 file without B-frames last no time, as some cutters do."""
    content = bytearray(path.read_bytes())
    at = content.index(b"stts") + 8
    for entry in range(int.from_bytes(content[at : at + 4], "big")):
        content[at + 8 + 8 * entry : at + 12 + 8 * entry] = bytes(4)
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def videos(media, tmp_path_factory) -> dict[str, Path]:
    return _write_videos(tmp_path_factory.mktemp("videos"), media)


def test_labels_of_videos_are_those_of_predict(clip_page, pages, videos) -> None:
    recognizer = EngineRecognizer(pages / "clip" / "model.onnx")
    for name, path in videos.items():
        expected = _by_label(recognizer.predict(path))
        assert _labels(clip_page, path) == pytest.approx(expected, abs=1e-3), name
    assert "WASM" in clip_page.run(TEXT.format("#latency"))


def test_labels_of_real_clips_are_those_of_predict(clip_page, pages, shared_videos: Path) -> None:
    recognizer = EngineRecognizer(pages / "clip" / "model.onnx")
    for name in ("cleaning_pool.mp4", "arm_wrestling.mp4"):
        expected = _by_label(recognizer.predict(shared_videos / name))
        assert _labels(clip_page, shared_videos / name) == pytest.approx(expected, abs=1e-3), name


def test_the_pixels_that_the_network_sees_are_those_of_predict(clip_page, pages, videos) -> None:
    """Scores of one model may hide a difference; its pixels do not."""
    reader = EngineRecognizer(pages / "clip" / "model.onnx").reader
    for name, path in videos.items():
        _labels(clip_page, path)
        got = np.array(clip_page.run(PIXELS)).reshape(4, 32, 32, 4)[..., :3].transpose(0, 3, 1, 2)
        difference = np.abs(got - reader.read(path).frames[0])
        assert difference.max() <= 1 and difference.mean() < 0.01, name


def test_a_stream_feeds_its_past_back(chrome, address: str, pages, media, tmp_path: Path) -> None:
    path = media.encode(tmp_path / "clip.mp4", media.moving_frames(11, height=96, width=128))
    page = _opened(chrome, f"{address}/stream/?backend=webgpu")
    assert page.run("document.querySelector('#backend').value") == "wasm"  # all that runs streams
    frames = list(iterate_frames(path))
    for step, rate in ((1, None), (5, 5)):  # of 25 a second
        with EngineStreamingRecognizer(pages / "stream" / "model.onnx").start() as stream:
            labels = [stream.push(frame).predictions for frame in frames[::step]]
        expected = pytest.approx(_by_label(labels[-1]), abs=1e-3)
        if rate is None:
            assert _labels(page, path) == expected
        else:
            page.run("document.querySelector('#status').textContent = ''")
            page.run(f"document.querySelector('#file-rate').value = {rate}")
            page.run("document.querySelector('#again').click()")
            assert _labels_when_done(page) == expected


@pytest.mark.parametrize("kind", ["clip", "stream"])
def test_the_camera_is_recognized_until_it_is_stopped(chrome, address: str, kind: str) -> None:
    page = _opened(chrome, f"{address}/{kind}/")
    page.run("document.querySelector('#tab-camera').click()")
    page.run("document.querySelector('#rate').value = 20")
    page.run("document.querySelector('#start').click()")
    page.wait("document.querySelectorAll('#labels li').length == 3")
    page.wait(TEXT.format("#latency") + ".match(/Frame (\\d+)/)[1] > 5")
    page.run("document.querySelector('#start').click()")
    page.wait(TEXT.format("#status") + " == 'Stopped.'")
    assert page.run("document.querySelector('#camera').srcObject") is None
    assert page.run(TEXT.format("#start")) == "Start the camera"


def test_files_that_cannot_be_read_are_refused_in_a_line(clip_page, tmp_path: Path, media) -> None:
    contents = {
        "garbage.mp4": (b"no video" * 1000, "no MP4, QuickTime, WebM or Matroska file"),
        "empty.webm": (b"", "no MP4, QuickTime, WebM or Matroska file"),
    }
    path = media.encode(tmp_path / "whole.mp4", media.moving_frames(8))
    content = path.read_bytes()
    contents["cut.mp4"] = (content[: content.index(b"moov") - 4], "no index (moov)")
    sound = media.encode_audio(tmp_path / "sound.mp4")
    contents["sound.mp4"] = (sound.read_bytes(), "no video in it")
    for name, (content, reason) in contents.items():
        (tmp_path / name).write_bytes(content)
        clip_page.choose_file("#file", tmp_path / name)
        clip_page.wait(TEXT.format("#status") + f".startsWith('{name}: ')")
        assert reason in clip_page.run(TEXT.format("#status"))
        assert clip_page.run("document.querySelector('#status').classList.contains('error')")


def test_the_keyboard_is_enough_and_the_phone_is_wide_enough(chrome, address: str) -> None:
    page = _opened(chrome, f"{address}/clip/", width=390, height=800, dark=True)
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


def test_times_of_frames_are_those_in_the_file(clip_page, videos) -> None:
    for name, path in videos.items():
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            expected = sorted(float(f.pts * f.time_base) for f in container.decode(stream))
        clip_page.choose_file("#file", path)
        assert clip_page.run(TRACK) == pytest.approx(expected, abs=1e-6), name


@pytest.mark.parametrize("full", [False, True])
def test_colours_are_those_of_ffmpeg(clip_page, full: bool) -> None:
    """Of all values, also those that no camera gives, to the last bit on the processors of PCs."""
    random = np.random.default_rng(0)
    planes = [random.integers(0, 256, each, np.uint8) for each in ((32, 48), (16, 24), (16, 24))]
    frame = av.VideoFrame(48, 32, "yuv420p")
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        rows[:, : values.shape[1]] = values
    frame.colorspace, frame.color_range = 1, 2 if full else 1  # BT.709, full or limited
    expected = VideoReformatter().reformat(frame, format="rgb24", threads=1).to_ndarray()
    luma, *chroma = [
        f"{{data: {values.ravel().tolist()}, offset: 0, stride: {values.shape[1]}, step: 1, "
        f"width: {values.shape[1]}, height: {values.shape[0]}}}"
        for values in planes
    ]
    got = clip_page.run(
        f"import('./colour.js').then(m => Array.from(m.toRgb({{y: {luma}, u: {chroma[0]}, "
        f"v: {chroma[1]}}}, {{matrix: 'bt709', isFull: {str(full).lower()}}}, "
        "{width: 48, height: 32}).data))"
    )
    is_exact = platform.machine() in ("x86_64", "AMD64")
    assert np.abs(np.array(got).reshape(expected.shape) - expected).max() <= (0 if is_exact else 3)


@pytest.mark.parametrize("shape", [(256, 340), (90, 67), (37, 37)])
def test_crops_are_those_of_pillow(clip_page, shape: tuple[int, int]) -> None:
    height, width = shape
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    size = 32
    side = round(size * 256 / 224)
    scale = side / min(shape)
    resized = Image.fromarray(pixels).resize(
        (max(side, int(width * scale + 1e-9)), max(side, int(height * scale + 1e-9))),
        Image.Resampling.BILINEAR,
    )
    left, top = ((length - size) / 2 for length in resized.size)
    box = (round(left), round(top), round(left) + size, round(top) + size)
    expected = np.asarray(resized.crop(box)).transpose(2, 0, 1)
    got = clip_page.run(
        f"import('./resize.js').then(m => {{const to = new Uint8ClampedArray({3 * size * size});"
        f"m.centerCrop({{data: {pixels.ravel().tolist()}, width: {width}, height: {height}}}, "
        f"{size}, to, 0); return Array.from(to)}})"
    )
    np.testing.assert_array_equal(np.array(got).reshape(expected.shape), expected)
