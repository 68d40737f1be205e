"""The example in C++: built and run, its labels are those of `predict` and `stream`."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from mixtconv.exporting.export import export_model
from mixtconv.exporting.writing import TARGETS
from mixtconv.inference.engine_recognizers import EngineRecognizer, EngineStreamingRecognizer
from mixtconv.models import create_model

SOURCE = Path(__file__).parents[2] / "examples" / "cpp" / "recognize.cpp"
CLASSES = ["wave", 'jump "high" \\', "läuft 跑 🏃"]
SIZE = "90x67"


def _flags(folder: Path) -> list[str]:
    """Compiler flags that find ONNX Runtime; skips where its headers are not."""
    headers = os.environ.get("MIXTCONV_ONNXRUNTIME_HEADERS")
    if headers is not None:  # the library is that of the Python package, which has no headers
        [library] = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
        for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
            (folder / name).symlink_to(library)
        return [f"-I{headers}", f"-L{folder}", "-lonnxruntime", f"-Wl,-rpath,{folder}"]
    found = shutil.which("pkg-config") and subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libonnxruntime"],
        capture_output=True,
        text=True,
        check=False,
    )
    if not found or found.returncode != 0:
        pytest.skip(
            "pkg-config knows no libonnxruntime: install libonnxruntime-dev of Debian, "
            "or name the folder of its headers in MIXTCONV_ONNXRUNTIME_HEADERS"
        )
    return found.stdout.split()


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler, c++, on the PATH")
    folder = tmp_path_factory.mktemp("cpp")
    command = [compiler, "-std=c++17", "-O1", str(SOURCE), "-o", str(folder / "recognize")]
    built = subprocess.run([*command, *_flags(folder)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder / "recognize"


def _export(path: Path, *, streaming: bool = False) -> Path:
    torch.manual_seed(0)
    model = create_model(
        "mstnet_test_resnet", classes=CLASSES, num_frames=4, image_size=32, causal=streaming
    ).eval()
    torch.nn.init.normal_(model.head.weight)
    exported = export_model(model, path, target="onnx", streaming=streaming, pixels="uint8")
    assert exported.agreement.holds
    return path


@pytest.fixture(scope="module")
def clip_model(program: Path, tmp_path_factory) -> Path:
    return _export(tmp_path_factory.mktemp("model") / "model.onnx")


def _run(program: Path, *arguments: object, frames: np.ndarray | None = None) -> list[list[str]]:
    given = None if frames is None else frames.tobytes()
    command = [str(program), *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.decode().splitlines()]


@pytest.fixture(scope="module")
def frames(media) -> np.ndarray:
    return media.moving_frames(23, height=67, width=90)


@pytest.mark.parametrize(  # of 4 frames in 23: from frame 1 on, and beyond the end
    ("sampling", "stride"), [("segment", 8), ("dense", 5), ("dense", 7)]
)
def test_labels_of_a_clip_are_those_of_predict(
    program: Path, clip_model: Path, frames: np.ndarray, tmp_path: Path, sampling: str, stride: int
) -> None:
    file, model = onnx.load(str(clip_model)), tmp_path / "model.onnx"
    [entry] = file.metadata_props
    about = json.loads(entry.value)
    about["spec"] |= {"sampling": sampling, "frame_stride": stride}
    entry.value = json.dumps(about)
    onnx.save(file, str(model))
    expected = {each.label: each.score for each in EngineRecognizer(model).predict(frames)}
    got = _run(program, model, SIZE, frames=frames)
    assert [label for label, _ in got] == list(expected)
    scores = {label: float(score) for label, score in got}
    assert scores == pytest.approx(expected, abs=1e-4)


def test_labels_of_a_stream_are_those_of_stream(
    program: Path, frames: np.ndarray, tmp_path: Path
) -> None:
    model, raw = _export(tmp_path / "model.onnx", streaming=True), tmp_path / "frames.rgb"
    raw.write_bytes(frames.tobytes())
    with EngineStreamingRecognizer(model).start() as stream:
        expected = [stream.push(frame).predictions[0] for frame in frames]
    got = _run(program, model, SIZE, raw)
    assert [label for label, _ in got] == [each.label for each in expected]
    scores = [float(score) for _, score in got]
    assert scores == pytest.approx([each.score for each in expected], abs=1e-4)


def test_a_stream_of_an_earlier_version_has_windows(
    program: Path, frames: np.ndarray, tmp_path: Path, monkeypatch
) -> None:
    earlier = replace(TARGETS["onnx"], stream="volume")
    monkeypatch.setitem(TARGETS, "onnx", earlier)
    model, raw = _export(tmp_path / "model.onnx", streaming=True), tmp_path / "frames.rgb"
    [entry] = onnx.load(str(model)).metadata_props
    assert json.loads(entry.value)["states"] and "ring" not in entry.value
    raw.write_bytes(frames.tobytes())
    with EngineStreamingRecognizer(model).start() as stream:
        expected = [stream.push(frame).predictions[0] for frame in frames]
    got = _run(program, model, SIZE, raw)
    assert [label for label, _ in got] == [each.label for each in expected]


def test_what_cannot_be_used_is_refused_in_a_line(
    program: Path, clip_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "junk.onnx").write_text("junk")
    missing, junk = str(tmp_path / "none.onnx"), str(tmp_path / "junk.onnx")
    for arguments, reason in (
        ([], "give a model"),
        ([junk, "large"], "give a model"),
        ([missing, "9x9"], f"cannot open {missing}"),
        ([str(clip_model), "9x9", "/none.rgb"], "cannot open /none.rgb"),
        ([junk, "9x9"], junk),
    ):
        done = subprocess.run(
            [str(program), *arguments], input=b"", capture_output=True, check=False
        )
        assert done.returncode == 2
        assert reason in done.stderr.decode()
        assert done.stderr.startswith(b"recognize: ") and done.stderr.count(b"\n") == 1
