"""A device and a precision of exported models: what a file is for, or refused in one line."""

import json
from pathlib import Path

import onnx
import pytest

from mixtconv.cli.main import main
from mixtconv.exporting.export import export_model
from mixtconv.inference.engine_recognizers import EngineRecognizer
from mixtconv.inference.engines.base import Engine
from mixtconv.inference.engines.coreml import CoreMLEngine
from mixtconv.inference.engines.onnx import OnnxEngine
from mixtconv.inference.engines.tensorrt import TensorRtEngine
from mixtconv.models import create_model


@pytest.fixture(scope="module")
def folder(media, tmp_path_factory) -> Path:
    """An exported model of clips and one of streams, and a video."""
    folder = tmp_path_factory.mktemp("exported")
    settings = {"num_classes": 2, "num_frames": 2, "image_size": 32}
    for name, streaming in (("clips", False), ("streams", True)):
        model = create_model("tsm_test_resnet", causal=streaming, **settings)
        export_model(model, folder / f"{name}.onnx", target="onnx", streaming=streaming)
    media.encode(folder / "clip.mp4", media.moving_frames(20))
    return folder


@pytest.mark.parametrize("flag", ["--device cuda", "--device mps", "--precision 16"])
@pytest.mark.parametrize(
    "command",
    [
        *("predict", "predict --window 10f", "predict --events"),
        *("stream", "stream --events", "serve", "evaluate --events"),
    ],
)
def test_no_command_ignores_a_device_or_a_precision(
    command: str, flag: str, folder: Path, capsys
) -> None:
    name, *more = command.split()
    model = folder / ("streams.onnx" if name == "stream" else "clips.onnx")
    given = {"serve": [], "evaluate": [str(folder)]}
    words = [name, str(model), *given.get(name, [str(folder / "clip.mp4")]), *more]
    assert main([*words, *flag.split()]) == 2
    option, value = flag.split()
    printed = capsys.readouterr()
    assert f"{option} is {value}; {model} is an exported model" in printed.err + printed.out


def _describe(source: Path, path: Path, **values: object) -> None:
    """Copy a file with other values in its description."""
    network = onnx.load(str(source))
    [about] = network.metadata_props
    about.value = json.dumps({**json.loads(about.value), **values})
    onnx.save(network, str(path))


@pytest.mark.parametrize(
    ("said", "given", "refused"),
    [({}, "32", "16"), ({"half": True}, "16", "32"), ({"quantized": True}, "auto", "32")],
)
def test_a_precision_is_that_of_the_file_or_refused(
    said: dict[str, bool], given: str, refused: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    _describe(folder / "clips.onnx", path, **said)
    EngineRecognizer(path, precision=given)
    with pytest.raises(ValueError, match=f"--precision is {refused}; .* leave --precision out"):
        EngineRecognizer(path, precision=refused)


@pytest.mark.parametrize(
    ("engine", "given", "refused"),
    [(OnnxEngine, "cpu", "cuda"), (TensorRtEngine, "cuda", "cpu"), (CoreMLEngine, "auto", "cpu")],
)
def test_a_device_is_the_one_that_the_engine_runs_on_or_refused(
    engine: type[Engine], given: str, refused: str, folder: Path, monkeypatch
) -> None:
    monkeypatch.setattr(OnnxEngine, "devices", engine.devices)
    EngineRecognizer(folder / "clips.onnx", device=given)
    with pytest.raises(ValueError, match=f"--device is {refused}; .* leave --device out"):
        EngineRecognizer(folder / "clips.onnx", device=refused)
