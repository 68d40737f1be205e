"""Core ML packages: what they hold, the numbers of their programs, and what is refused."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.exporting.export import Exported, export_model
from mixtconv.exporting.mil_operations import OPERATIONS
from mixtconv.exporting.mil_program import ProgramEngine
from mixtconv.exporting.writing import TARGETS
from mixtconv.inference.engines import coreml
from mixtconv.inference.engines.coreml import CoreMLEngine, runs_here
from mixtconv.inference.engines.opening import open_engine
from mixtconv.models import VideoClassifier, create_model, save_model
from mixtconv.models.streaming import StreamingClassifier, StreamState

coremltools = pytest.importorskip("coremltools", reason="pip install coremltools")

CLASSES = ["wave", "jump", "run"]
SIZE = 32
OFF_A_MAC = pytest.mark.skipif(runs_here(), reason="Core ML is here")


def _model(name: str, *, causal: bool = False) -> VideoClassifier:
    torch.manual_seed(0)
    model = create_model(name, classes=CLASSES, num_frames=4, image_size=SIZE, causal=causal).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


@pytest.fixture(scope="module")
def model() -> VideoClassifier:
    return _model("mstnet_test_resnet")


@pytest.fixture(scope="module")
def causal_model() -> VideoClassifier:
    return _model("tsm_test_resnet", causal=True)


@pytest.fixture(scope="module")
def clips(model: VideoClassifier, tmp_path_factory) -> Exported:
    path = tmp_path_factory.mktemp("clips") / "model.mlpackage"
    return export_model(model, path, target="coreml", pixels="float255")


@pytest.fixture(scope="module")
def streams(causal_model: VideoClassifier, tmp_path_factory) -> Exported:
    path = tmp_path_factory.mktemp("streams") / "model.mlpackage"
    return export_model(causal_model, path, target="coreml", streaming=True)


def test_a_package_gives_the_logits_of_the_model(clips: Exported, model: VideoClassifier) -> None:
    assert clips.agreement.holds and clips.agreement.tolerance == 1e-4
    video = torch.randint(0, 256, (2, 4, 3, SIZE, SIZE), dtype=torch.uint8)
    with torch.inference_mode():
        expected = model(model.normalize(video))
    got = ProgramEngine(clips.path).run({"video": video.float().numpy()})["logits"]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_a_package_describes_itself(clips: Exported, model: VideoClassifier) -> None:
    found = coremltools.models.MLModel(str(clips.path), skip_model_load=True)
    about = json.loads(found.user_defined_metadata["mixtconv"])
    assert about["spec"]["classes"] == CLASSES and about["pixels"] == "float255"
    assert "half" not in about  # as earlier versions read it
    [video], [logits] = found.get_spec().description.input, found.get_spec().description.output
    assert (video.name, [*video.type.multiArrayType.shape]) == ("video", [1, 4, 3, SIZE, SIZE])
    assert (logits.name, [*logits.type.multiArrayType.shape]) == ("logits", [1, 3])
    assert clips.num_bytes == sum(
        each.stat().st_size for each in clips.path.rglob("*") if each.is_file()
    )


def test_core_ml_keeps_the_past_of_a_stream(streams: Exported) -> None:
    found = coremltools.models.MLModel(str(streams.path), skip_model_load=True)
    description = found.get_spec().description
    assert [port.name for port in description.input] == ["frame"]
    assert [port.name for port in description.output] == ["logits"]
    kept = {port.name: port.type.stateType.arrayType for port in description.state}
    described = json.loads(found.user_defined_metadata["mixtconv"])["states"]
    assert described
    assert {name: [*array.shape] for name, array in kept.items()} == {
        state["name"]: [1, *state["shape"]] for state in described
    }
    assert {array.dataType for array in kept.values()} == {
        coremltools.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT16
    }


def test_a_stream_gives_the_logits_of_the_streaming_model(
    streams: Exported, causal_model: VideoClassifier
) -> None:
    """But for the rounding of the past to float16, and for two streams at once."""
    assert streams.agreement.holds and streams.agreement.tolerance == 1e-2
    engine = ProgramEngine(streams.path)
    streaming, state = StreamingClassifier(causal_model, optimize=False), StreamState(2)
    states = engine.description.states
    assert states
    start = {each.name: np.zeros((2, *each.shape), np.float32) for each in states}
    past, of_the_past = start, []
    for frame in torch.rand(9, 2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)):
        results = engine.run({"frame": frame.numpy(), **past})
        np.testing.assert_allclose(results["logits"], streaming(frame, state), rtol=0, atol=5e-3)
        past = {each.name: results[each.next_name] for each in states}
        alone = engine.run({"frame": frame.numpy(), **start})["logits"]
        of_the_past.append(np.abs(alone - results["logits"]).max())
    assert max(of_the_past) > 2e-2


@OFF_A_MAC
def test_the_command_says_what_computed_in_place_of_core_ml(
    model: VideoClassifier, tmp_path: Path, capsys
) -> None:
    save_model(model, tmp_path / "model.safetensors")
    out = tmp_path / "model.mlpackage"
    (out / "an earlier package").mkdir(parents=True)
    words = ["export", str(tmp_path / "model.safetensors"), "--to", "coreml", "--out", str(out)]
    assert main(words) == 2 and "a folder that is no package of Core ML" in capsys.readouterr().err
    (out / "Manifest.json").write_text("{}")
    assert main([*words, "--half", "--format", "json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["compared_by"].startswith("the file's program in PyTorch; Core ML itself runs on")
    assert result["half"] and result["path"] == str(out)
    assert 1e-6 < result["difference"] <= result["allowed_difference"]
    assert not (out / "an earlier package").exists()
    assert {each.name for each in tmp_path.iterdir()} == {"model.mlpackage", "model.safetensors"}
    found = coremltools.models.MLModel(str(out), skip_model_load=True)
    assert json.loads(found.user_defined_metadata["mixtconv"])["half"]


@OFF_A_MAC
def test_a_package_with_a_wrong_weight_is_not_kept(
    model: VideoClassifier, clips: Exported, tmp_path: Path, monkeypatch
) -> None:
    """The comparison reads the file: weights that are wrong in it alone are found."""
    out = tmp_path / "model.mlpackage"
    (out / "earlier").mkdir(parents=True)
    (out / "Manifest.json").write_text("{}")

    def write_wrong(program, portable, path: Path) -> None:
        shutil.copytree(clips.path, path)  # instead of converting once more
        [weights] = path.rglob("weight.bin")
        right = model.head.weight.detach().numpy()
        content = weights.read_bytes()
        assert content.count(right.tobytes()) == 1
        weights.write_bytes(content.replace(right.tobytes(), (1.001 * right).tobytes()))

    wrong = replace(TARGETS["coreml"], write=write_wrong, program=lambda portable: None)
    monkeypatch.setitem(TARGETS, "coreml", wrong)
    exported = export_model(model, out, target="coreml", pixels="float255")
    assert not exported.agreement.holds
    assert {each.name for each in out.iterdir()} == {"earlier", "Manifest.json"}


def test_an_operation_that_is_not_known_is_named(clips: Exported, monkeypatch) -> None:
    monkeypatch.delitem(OPERATIONS, "relu")
    with pytest.raises(
        ValueError, match=r"only a Mac computes \(relu\); export the model on a Mac"
    ):
        ProgramEngine(clips.path)


@pytest.mark.parametrize("error", [ValueError("no such layer"), RuntimeError("no such layer")])
def test_whatever_coremltools_raises_names_the_package(
    error: Exception, clips: Exported, model: VideoClassifier, tmp_path: Path, monkeypatch, capfd
) -> None:
    def fail(*args: object, **settings: object) -> None:
        os.write(2, b"E0000 what went wrong\n")
        raise error

    monkeypatch.setitem(OPERATIONS, "relu", fail)
    program = ProgramEngine(clips.path)
    video = np.zeros((1, *program.description.inputs["video"]), np.float32)
    with pytest.raises(
        ValueError, match=rf"{clips.path.name} .* operation relu .*\(no such layer\)"
    ):
        program.run({"video": video})
    capfd.readouterr()
    monkeypatch.setattr(coremltools, "convert", fail)
    with pytest.raises(ValueError, match="cannot be exported: coremltools says no such layer"):
        export_model(model, tmp_path / "m.mlpackage", target="coreml")
    assert capfd.readouterr().err == "E0000 what went wrong\n"
    monkeypatch.setattr(coremltools.models, "MLModel", fail)
    with pytest.raises(ValueError, match=rf"{clips.path} cannot be read by coremltools: no such"):
        coreml.read_package(clips.path, load=True)


def test_uint8_is_refused(model: VideoClassifier, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no arrays of uint8; give --pixels float255"):
        export_model(model, tmp_path / "m.mlpackage", target="coreml", pixels="uint8")


@OFF_A_MAC
def test_a_package_is_run_on_a_mac_alone(clips: Exported, capsys) -> None:
    assert main(["predict", str(clips.path), "clip.mp4"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "is run by Core ML, which is on macOS alone" in line


def test_core_ml_is_given_the_past_and_asked_for_the_next(streams: Exported, monkeypatch) -> None:
    """With a Core ML that computes the program, and keeps states as Core ML's own does."""
    program = ProgramEngine(streams.path)
    real = coremltools.models.model.MLState

    class State:
        def __init__(self) -> None:
            self.arrays: dict[str, np.ndarray] = {}

        def write_state(self, name: str, value: np.ndarray) -> None:
            assert value.dtype == np.float16
            self.arrays[name] = value

        def read_state(self, name: str) -> np.ndarray:
            return self.arrays[name]

    for method in ("write_state", "read_state"):  # what is called is what coremltools has
        assert hasattr(real, method)

    def predict(inputs, state):
        logits, following = program._predict(inputs, state.arrays)
        state.arrays = following
        return {"logits": logits}

    package = coremltools.models.MLModel(str(streams.path), skip_model_load=True)
    fake = SimpleNamespace(
        user_defined_metadata=package.user_defined_metadata,
        get_spec=package.get_spec,
        make_state=State,
        predict=predict,
    )
    monkeypatch.setattr(coreml, "runs_here", lambda: True)
    monkeypatch.setattr(coreml, "read_package", lambda path, load: fake)
    engine = open_engine(streams.path)
    assert isinstance(engine, CoreMLEngine)
    states = engine.description.states or ()
    inputs = {each.name: np.random.rand(2, *each.shape).astype(np.float32) for each in states}
    inputs["frame"] = np.random.rand(2, 3, SIZE, SIZE).astype(np.float32)
    results, expected = engine.run(inputs), program.run(inputs)
    assert results.keys() == expected.keys() == {"logits", *(each.next_name for each in states)}
    for name, value in expected.items():
        np.testing.assert_array_equal(results[name], value)
