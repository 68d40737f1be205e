"""The pictures of the site, by the commands of its pages: `python docs/make_pictures.py`.

Trains what `mixtconv demo --quick` trains, or takes the folder of an earlier demo, and draws into
`docs/pictures/`, which git ignores. The site is built with the pictures that are there, or without.
With `--report` also `docs/images/report.png`, which the README shows: the top of the demo's page as
Chromium shows it, in few colours. The committed one is of a whole `mixtconv demo`:

    mixtconv demo --out demo && python docs/make_pictures.py --demo demo --report

With `--runtime DIST`, the folder of onnxruntime-web, also `docs/images/browser.png`: the page of
`mixtconv export --to web` with a clip of the demo, in Chromium.
"""

import argparse
import runpy
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

DOCS = Path(__file__).parent
LARGEST = 200_000
"""Bytes of a picture."""


def draw(demo: Path, out: Path) -> None:
    """The pictures of one demo."""
    model, videos = str(demo / "mstnet" / "model.safetensors"), str(demo / "data")
    video = str(sorted((demo / "data" / "val").glob("*/*.mp4"))[0])
    out.mkdir(exist_ok=True)
    for subject, words in {
        "kernels": [model],
        "confusion": [model, videos],
        "predictions": [model, videos, "--num-wrong", "3", "--num-right", "2"],
        "cam": [model, video],
    }.items():
        path = out / f"{subject}.png"
        mixtconv("visualize", subject, *words, "--out", str(path))
        in_few_colours(path)


def photograph(page: Path, path: Path, *, browser: str) -> None:
    """The top of a page, as a browser shows it."""
    flags = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1100,1340"]
    address = page.resolve().as_uri()
    command = [browser, *flags, f"--screenshot={path.resolve()}", address]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    in_few_colours(path)


def photograph_recognition(demo: Path, path: Path, *, runtime: Path) -> None:
    """The page that runs a model in a browser, after it has recognized a clip."""
    driver = runpy.run_path(str(DOCS.parent / "tests" / "chromium.py"))
    with TemporaryDirectory() as folder:
        page, model = Path(folder, "page"), demo / "mstnet" / "model.safetensors"
        web = ["--to", "web", "--out", str(page), "--runtime", str(runtime)]
        mixtconv("export", str(model), *web)
        handler = partial(SimpleHTTPRequestHandler, directory=str(page))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            browser = driver["Browser"](Path(folder, "profile"))
            browser.open(f"http://127.0.0.1:{server.server_port}/", width=800, height=900)
            browser.wait("!!document.querySelector('#file:enabled')", seconds=60)
            browser.choose_file("#file", sorted((demo / "data" / "val").glob("*/*.mp4"))[0])
            browser.wait("document.querySelector('#status').textContent == 'Done.'")
            browser.screenshot(path)
            browser.close()
            server.shutdown()
    in_few_colours(path)


def in_few_colours(path: Path) -> None:
    """Write a picture again with a palette.

    Raises:
        ValueError: it is large all the same.
    """
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(64)
    few.save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, more than {LARGEST}")


def mixtconv(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "mixtconv", *words], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, help="folder of a demo; default a new quick one")
    parser.add_argument("--report", action="store_true", help="photograph the report as well")
    parser.add_argument("--runtime", type=Path, help="photograph the page for browsers as well")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        demo = arguments.demo or Path(folder) / "demo"
        if arguments.demo is None:
            mixtconv("demo", "--quick", "--out", str(demo))
        draw(demo, DOCS / "pictures")
        if arguments.report:
            browser = shutil.which("chromium") or shutil.which("google-chrome")
            if browser is None:
                sys.exit("--report needs Chromium")
            photograph(demo / "report.html", DOCS / "images" / "report.png", browser=browser)
        if arguments.runtime is not None:
            photograph_recognition(demo, DOCS / "images" / "browser.png", runtime=arguments.runtime)


if __name__ == "__main__":
    main()
