"""A recognizer as a folder for a browser: a page, the network as ONNX, ONNX Runtime for the web.

Any server of files can serve the folder; the page asks for nothing outside of it. Its scripts, in
`browser_page/`, read frames as `mixtconv.video` does, so that scores are those of `mixtconv
predict`.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from mixtconv._atomic_write import hidden_folder, refuse_place, written_whole
from mixtconv._version import __version__
from mixtconv.exporting.export import Exported, export_model
from mixtconv.exporting.int8 import Calibration, num_bytes
from mixtconv.inference.engines.opening import open_engine
from mixtconv.models import VideoClassifier
from mixtconv.models.spec import PICTURES

PACKAGE = "onnxruntime-web"
RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
"""What the page loads of the package's `dist`: three files for the CPU, three for the GPU."""

RUNTIME_VERSION = (1, 30)
"""The version of the package that the page is tested with, and the first that it takes."""

_SUITABLE = "{}.{} or a later {}.x".format(*RUNTIME_VERSION, RUNTIME_VERSION[0])

_INSTALLED = Path("node_modules", PACKAGE, "dist")

NETWORK, ABOUT, PAGE, RUNTIME = "model.onnx", "model.json", "index.html", "ort"

_GENERATOR = '<meta name="generator" content="mixtconv">'


def export_page(
    model: VideoClassifier,
    folder: str | Path,
    *,
    runtime: str | Path | None = None,
    streaming: bool = False,
    videos: Sequence[str | Path] = (),
    tolerance: float | None = None,
    calibration: Calibration | None = None,
) -> Exported:
    """Write a page that runs a recognizer in a browser, on videos and the camera.

    Args:
        model: the recognizer, of modality rgb or motion; it is not changed.
        folder: to write; an earlier page is replaced as a whole.
        runtime: the folder `dist` of the npm package onnxruntime-web; by default that of
            `node_modules` here or in a folder above.
        streaming, videos, tolerance, calibration: as of `export_model`.

    Returns:
        The export of the network, with the folder as its path and the size of all files; nothing
        was written if its `agreement` does not hold.

    Raises:
        ValueError: whatever `export_model` refuses, a model of another modality, a runtime that is
            not there, not whole or of another version, or a folder that holds something else.
    """
    folder = Path(folder).absolute()
    if model.spec.modality not in PICTURES:
        raise ValueError(
            f"the model takes {model.spec.modality}, and a page reads {' and '.join(PICTURES)} "
            "alone; export it with --to onnx"
        )
    refuse_place(folder, folder=True)
    _refuse_another_folder(folder)
    source = _runtime(runtime)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hidden_folder(folder) as aside:
        exported = export_model(
            model,
            aside / NETWORK,
            target="onnx",
            streaming=streaming,
            pixels="uint8",
            videos=videos,
            tolerance=tolerance,
            calibration=calibration,
        )
        if exported.agreement.holds:
            with written_whole(folder) as unfinished:
                _write_page(unfinished, aside / NETWORK, source)
    size = num_bytes(folder) if exported.agreement.holds else exported.num_bytes
    return replace(exported, target="web", path=folder, num_bytes=size)


def _write_page(folder: Path, network: Path, runtime: Path) -> None:
    """Write the files of a page; the network is moved there."""
    with as_file(files("mixtconv.exporting") / "browser_page") as scripts:
        # As of now: by an earlier date browsers would keep the scripts of an earlier page.
        shutil.copytree(scripts, folder, copy_function=shutil.copyfile)
    text = open_engine(network).description.to_json()
    (folder / ABOUT).write_text(text, encoding="utf-8")
    (folder / RUNTIME).mkdir()
    for name in RUNTIME_FILES:
        shutil.copyfile(runtime / name, folder / RUNTIME / name)
    network.replace(folder / NETWORK)
    page = (folder / PAGE).read_text(encoding="utf-8")
    assert _GENERATOR in page
    made_by = f"mixtconv {__version__}, {PACKAGE} {_version(runtime)}"
    page = page.replace(_GENERATOR, _GENERATOR.replace("mixtconv", made_by))
    (folder / PAGE).write_text(page, encoding="utf-8")


def _refuse_another_folder(folder: Path) -> None:
    """Raise ValueError if a folder would be replaced that holds more than a page."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    page = {PAGE, ABOUT, NETWORK, RUNTIME}
    others = {name for name in names - page if Path(name).suffix not in (".js", ".css")}
    if others or (names and not page <= names):
        raise ValueError(
            f"--out is {folder}, a folder with other files, such as {min(others or names)}; give a "
            "new folder, or that of an earlier page alone, which is replaced"
        )


def _runtime(given: str | Path | None) -> Path:
    """The folder with the files of ONNX Runtime for the web.

    Raises:
        ValueError: it is not there, lacks a file, or is of a version that is not suitable.
    """
    here = Path.cwd()
    places = [here, *here.parents]
    tried = [Path(given)] if given is not None else [place / _INSTALLED for place in places]
    folder = next((place for place in tried if place.is_dir()), None)
    if folder is None:
        where = given if given is not None else f"{_INSTALLED} here or in a folder above"
        raise ValueError(
            f"a page needs the files of {PACKAGE}, and there is no folder {where}: run npm install "
            f"{PACKAGE} here, or give its folder dist with --runtime"
        )
    missing = [name for name in RUNTIME_FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{folder} lacks {', '.join(missing)} of {PACKAGE}: give the folder dist of version "
            f"{_SUITABLE} with --runtime"
        )
    _version(folder)
    return folder


def _version(folder: Path) -> str:
    """The version of ONNX Runtime for the web, as its scripts say it.

    Raises:
        ValueError: they say none, several, or one that the page is not made for.
    """
    scripts = [folder / name for name in RUNTIME_FILES if name.startswith("ort.")]
    versions = sorted({_version_in(script) for script in scripts})
    major, *minor = map(int, re.findall(r"\d+", versions[0])[:2] or [0])
    if len(versions) > 1 or major != RUNTIME_VERSION[0] or (major, *minor) < RUNTIME_VERSION:
        raise ValueError(
            f"{folder} is of {PACKAGE} {' and '.join(versions)}: give the folder dist of version "
            f"{_SUITABLE} with --runtime, as npm install {PACKAGE} gets it"
        )
    return versions[0]


def _version_in(script: Path) -> str:
    """What stands at the start of a script of the package."""
    with script.open(encoding="utf-8", errors="replace") as file:
        found = re.search(r"ONNX Runtime Web v([\d.]+\S*)", file.read(1000))
    return found[1] if found else "of no known version"
