"""Pages for browsers, written, served and open in a browser."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.exporting.browser import RUNTIME_FILES, export_page
from mixtconv.models import VideoClassifier, create_model, save_model

TEXT = "document.querySelector('{}').textContent"
READY = "!!document.querySelector('#file') && !document.querySelector('#file').disabled"
LABELS = (
    "Object.fromEntries([...document.querySelectorAll('#labels li')]"
    ".map(line => [line.firstChild.textContent, Number(line.dataset.score)]))"
)


class RecognizingPage:
    """A browser at a page that `export --to web` wrote."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.run, self.wait, self.call = browser.run, browser.wait, browser.call
        self.choose_file = browser.choose_file

    def open(self, address: str, **look: Any) -> "RecognizingPage":
        """Go to a page, and wait until its model is there."""
        self.browser.open(address, **look)
        ready = f"location.href == '{address}' && document.readyState == 'complete' && {READY}"
        self.wait(ready, seconds=60)
        return self

    def text(self, selector: str) -> str:
        return self.run(TEXT.format(selector))

    def status(self, path: Path) -> str:
        """What the page says at the end of a file."""
        self.run("document.querySelector('#status').textContent = ''")
        self.choose_file("#file", path)
        return self.status_when_done()

    def status_when_done(self) -> str:
        return self.wait(TEXT.format("#status") + ".match(/^Done.*|^.*: .*/)?.[0]", seconds=60)

    def labels(self, path: Path) -> dict[str, float]:
        """The labels that the page gives a file."""
        self.run("document.querySelector('#status').textContent = ''")
        self.choose_file("#file", path)
        return self.labels_when_done()

    def labels_when_done(self) -> dict[str, float]:
        status = self.status_when_done()
        assert status == "Done.", status
        return self.run(LABELS)


@pytest.fixture(scope="session")
def page_model() -> Callable[..., VideoClassifier]:
    """A small recognizer of three classes, by its settings."""

    def make(**settings: Any) -> VideoClassifier:
        torch.manual_seed(0)
        values = {"classes": ["wave", "jump", "run <fast>"], "num_frames": 4, "image_size": 32}
        model = create_model("mstnet_test_resnet", **values | settings).eval()
        torch.nn.init.normal_(model.head.weight)
        return model

    return make


@pytest.fixture(scope="session")
def empty_runtime() -> Callable[[Path], Path]:
    """Makes a folder whose files are those of ONNX Runtime by name and version alone."""

    def make(folder: Path, version: str = "1.30.0") -> Path:
        folder.mkdir(parents=True)
        for name in RUNTIME_FILES:
            text = f"/*!\n * ONNX Runtime Web v{version}\n */" if name.startswith("ort.") else ""
            (folder / name).write_text(text)
        return folder

    return make


@pytest.fixture(scope="session")
def exported_page(tmp_path_factory, page_model, empty_runtime) -> Path:
    """A page of clips whose runtime is empty files."""
    folder = tmp_path_factory.mktemp("page")
    exported = export_page(page_model(), folder / "page", runtime=empty_runtime(folder / "dist"))
    assert exported.agreement.holds and exported.path == folder / "page"
    assert exported.num_bytes == sum(each.stat().st_size for each in exported.path.rglob("*.*"))
    return exported.path


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def pages(runtime: Path, exported_page: Path, page_model, tmp_path_factory) -> Path:
    """The folder of two pages, `clip` and `stream`."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(exported_page, folder / "clip")
    for name in RUNTIME_FILES:
        shutil.copy(runtime / name, folder / "clip" / "ort" / name)
    model = folder / "causal.safetensors"
    save_model(page_model(causal=True), model)
    out = ["--out", str(folder / "stream"), "--runtime", str(runtime), "--streaming"]
    assert main(["export", str(model), "--to", "web", *out]) == 0
    return folder


class _Files(SimpleHTTPRequestHandler):
    """Serves files, with headers for all; `requests` gets a line and its headers of each."""

    def __init__(self, *args: Any, requests: list, headers: dict[str, str], **more: Any) -> None:
        self._requests, self._headers = requests, headers
        super().__init__(*args, **more)

    def end_headers(self) -> None:
        for name, value in self._headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args: object) -> None:
        pass

    def parse_request(self) -> bool:
        is_one = super().parse_request()
        if is_one:
            self._requests.append((self.command, self.path, "Content-Length" in self.headers))
        return is_one


@pytest.fixture(scope="session")
def serving() -> Callable:
    """Serves a folder as files within the block: its address, and a list of what is asked."""

    @contextmanager
    def serve(folder: Path, headers: dict[str, str] | None = None) -> Iterator[tuple[str, list]]:
        requests: list[tuple[str, str, bool]] = []
        handler = partial(_Files, directory=str(folder), requests=requests, headers=headers or {})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
        server.shutdown()
        server.server_close()

    return serve


@pytest.fixture(scope="session")
def address(pages: Path, serving: Callable) -> Iterator[str]:
    """Where both pages are served, as files."""
    with serving(pages) as (where, _):
        yield where


@pytest.fixture(scope="session")
def recognizing_page() -> Callable[[Any], RecognizingPage]:
    """A browser as one at a page of `export --to web`."""
    return RecognizingPage


@pytest.fixture(scope="module")
def chrome(chromium, tmp_path_factory, address: str) -> Iterator[RecognizingPage]:
    """A browser. It asked for nothing but the pages, and its console is clean."""
    browser = chromium.Browser(tmp_path_factory.mktemp("browser"))
    yield RecognizingPage(browser)
    own = (address, "data:", f"blob:{address}")
    assert [each for each in browser.requests() if not each.startswith(own)] == []
    assert browser.complaints() == []
    browser.close()


@pytest.fixture
def clip_page(chrome: RecognizingPage, address: str) -> RecognizingPage:
    """The browser at the page of clips."""
    return chrome.open(f"{address}/clip/")
