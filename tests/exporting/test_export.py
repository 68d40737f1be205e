"""Exported files: the numbers of PyTorch, what they say of themselves, and what is refused."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.exporting import export as export_module
from mixtconv.exporting.agreement import Agreement
from mixtconv.exporting.export import export_model
from mixtconv.exporting.writing import TARGETS
from mixtconv.inference.engines.opening import open_engine
from mixtconv.inference.engines.past import PastOfStreams
from mixtconv.models import VideoClassifier, create_model, save_model
from mixtconv.models.spec import TargetName
from mixtconv.models.streaming import StreamingClassifier, StreamState

CLASSES = ["wave", "jump", "run"]
SIZE = 32
EVERY_TARGET = [
    pytest.param(name, marks=pytest.mark.skipif(not form.is_installed, reason=f"{form.packages}"))
    for name, form in TARGETS.items()
    if name not in ("coreml", "tensorrt")  # whose engines need a machine of their own
]
"""Targets whose engines run on any machine; those that are not installed are skipped."""


def _model(name: str = "mstnet_test_resnet", **options: object) -> VideoClassifier:
    torch.manual_seed(0)
    settings = {"num_frames": 4, "image_size": SIZE, **options}
    model = create_model(name, classes=CLASSES, **settings).eval()
    torch.nn.init.normal_(model.head.weight)
    for key, parameter in model.named_parameters():
        if "temporal" in key:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture(scope="module")
def model() -> VideoClassifier:
    return _model()


@pytest.fixture(scope="module")
def causal_model() -> VideoClassifier:
    return _model(causal=True)


@pytest.fixture(scope="module", params=EVERY_TARGET)
def clip_file(request, model: VideoClassifier, tmp_path_factory) -> Path:
    """A file of every target, that takes pictures as they are read."""
    path = tmp_path_factory.mktemp("clip") / f"model{TARGETS[request.param].suffix}"
    exported = export_model(model, path, target=request.param, pixels="uint8")
    assert exported.agreement.holds
    assert exported.num_bytes == sum(part.stat().st_size for part in path.parent.iterdir())
    return path


@pytest.fixture(scope="module", params=EVERY_TARGET)
def stream_file(request, causal_model: VideoClassifier, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stream") / f"model{TARGETS[request.param].suffix}"
    assert export_model(causal_model, path, target=request.param, streaming=True).agreement.holds
    return path


@pytest.mark.parametrize("batch", [1, 5])
def test_a_file_of_clips_gives_the_logits_of_the_model(
    clip_file: Path, model: VideoClassifier, batch: int
) -> None:
    random = torch.Generator().manual_seed(batch)
    clips = torch.randint(0, 256, (batch, 4, 3, SIZE, SIZE), dtype=torch.uint8, generator=random)
    with torch.inference_mode():
        expected = model(model.normalize(clips))
    got = open_engine(clip_file).run({"video": clips.numpy()})["logits"]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_file_of_streams_gives_the_logits_of_the_streaming_model(
    stream_file: Path, causal_model: VideoClassifier, batch: int
) -> None:
    engine = open_engine(stream_file)
    streaming, state = StreamingClassifier(causal_model, optimize=False), StreamState(batch)
    past = PastOfStreams(engine.description.states or (), batch)
    for frame in torch.rand(11, batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)):
        results = engine.run({"frame": frame.numpy(), **past.before()})
        np.testing.assert_allclose(results["logits"], streaming(frame, state), rtol=1e-4, atol=1e-4)
        past.after(results)


def _less_median(video: torch.Tensor, model: VideoClassifier, *, running: bool) -> torch.Tensor:
    """uint8 frames (B, T, 3, H, W) less the median of the clip, or of the last 4 frames."""
    values = video.numpy() / 255
    spans = [slice(max(0, t - 3), t + 1) if running else slice(None) for t in range(len(values[0]))]
    medians = np.stack([np.median(values[:, span], axis=1) for span in spans], axis=1)
    std = np.array(model.spec.std).reshape(3, 1, 1)
    return torch.from_numpy((values - medians) / std).float()


@pytest.mark.parametrize("target", EVERY_TARGET)
@pytest.mark.parametrize("causal", [False, True])
def test_the_median_picture_is_in_the_file(
    target: TargetName, causal: bool, tmp_path: Path
) -> None:
    model = _model(modality="motion", causal=causal)
    path = tmp_path / f"model{TARGETS[target].suffix}"
    assert export_model(model, path, target=target, pixels="uint8").agreement.holds
    random = torch.Generator().manual_seed(1)
    clips = torch.randint(0, 256, (3, 4, 3, SIZE, SIZE), dtype=torch.uint8, generator=random)
    with torch.inference_mode():
        expected = model(_less_median(clips, model, running=causal))
    got = open_engine(path).run({"video": clips.numpy()})["logits"]
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


KINDS_OF_PIXELS = ("uint8", "float255", "normalized")
STREAMS = [  # like a chessboard: every two of target, pixels and network meet
    pytest.param(*target.values, pixels, ("mstnet", "tsn")[(row + column) % 2], marks=target.marks)
    for row, target in enumerate(EVERY_TARGET)
    for column, pixels in enumerate(KINDS_OF_PIXELS)
]


@pytest.mark.parametrize(("target", "pixels", "name"), STREAMS)
def test_the_running_median_is_in_the_file_of_streams(
    target: TargetName, pixels: str, name: str, tmp_path: Path
) -> None:
    """But for normalised frames, from which who runs the file has taken it."""
    causal = name == "mstnet"  # TSN looks at no other frame
    model = _model(f"{name}_test_resnet", modality="motion", causal=causal)
    path = tmp_path / f"model{TARGETS[target].suffix}"
    exported = export_model(model, path, target=target, streaming=True, pixels=pixels)
    assert exported.agreement.holds
    video = torch.randint(0, 256, (2, 9, 3, SIZE, SIZE), dtype=torch.uint8)
    normal = _less_median(video, model, running=True)
    engine, long = open_engine(path), _model(f"{name}_test_resnet", causal=causal, num_frames=9)
    with torch.inference_mode():
        expected = long.forward_frames(normal).numpy()  # (2, 9, K)
    past = PastOfStreams(engine.description.states or (), 2)
    if pixels != "normalized":
        assert past.before()["past_pictures"].shape == (2, 3, 3, SIZE, SIZE)
        assert past.before()["past_seen"].shape == (2, 1, 3, 1, 1)
    frames = {"uint8": video, "float255": video.float(), "normalized": normal}[pixels].numpy()
    for t in range(9):
        results = engine.run({"frame": np.ascontiguousarray(frames[:, t]), **past.before()})
        np.testing.assert_allclose(results["logits"], expected[:, t], rtol=1e-3, atol=1e-4)
        past.after(results)


def test_a_file_says_what_it_is(clip_file: Path, model: VideoClassifier) -> None:
    about = _metadata(clip_file)
    assert about["spec"]["classes"] == CLASSES
    assert (about["spec"]["num_frames"], about["spec"]["image_size"]) == (4, SIZE)
    assert about["spec"]["mean"] == list(model.spec.mean)
    assert (about["pixels"], about["states"], about["quantized"]) == ("uint8", None, False)
    assert open_engine(clip_file).description.spec == model.spec


def test_only_the_batch_of_a_file_may_be_any(clip_file: Path) -> None:
    """A network that takes any size would give something for pictures of another one."""
    larger = np.zeros((1, 4, 3, 2 * SIZE, 2 * SIZE), np.uint8)
    with pytest.raises(Exception, match=r"(?i)shape|dimension|size|guard"):
        open_engine(clip_file).run({"video": larger})


def test_the_sizes_of_openvinos_states_are_fixed(causal_model: VideoClassifier, tmp_path) -> None:
    exported = export_model(causal_model, tmp_path / "m.xml", target="openvino", streaming=True)
    states = open_engine(exported.path).description.states
    inputs = openvino.Core().read_model(exported.path).inputs
    assert states
    found = {port.get_any_name(): str(port.get_partial_shape()) for port in inputs}
    expected = {state.name: f"[?,{','.join(map(str, state.shape))}]" for state in states}
    assert found == {"frame": f"[?,3,{SIZE},{SIZE}]", "frame_number": "[?]", **expected}


def _metadata(path: Path) -> dict:
    """What is stored under the key of this package, read with the engine's own library."""
    if path.suffix == ".onnx":
        [entry] = onnx.load(str(path)).metadata_props
        return json.loads(entry.value)
    if path.suffix == ".xml":
        return json.loads(openvino.Core().read_model(path).get_rt_info(["mixtconv"]).astype(str))
    if path.suffix == ".tflite":
        return json.loads(zipfile.ZipFile(path).read("mixtconv.json"))
    if path.suffix == ".pte":
        from executorch.runtime import Runtime

        [text] = Runtime.get().load_program(path).load_method("mixtconv").execute([])
        return json.loads(text)
    extra = {"mixtconv": ""}
    torch.export.load(str(path), extra_files=extra)
    return json.loads(extra["mixtconv"])


def test_a_program_of_torch_runs_where_this_package_is_not_installed(
    model: VideoClassifier, tmp_path: Path
) -> None:
    export_model(model, tmp_path / "model.pt2", target="torch", pixels="float255")
    code = (
        "import sys; sys.modules['mixtconv'] = None\n"
        "import torch\n"
        f"program = torch.export.load({str(tmp_path / 'model.pt2')!r}).module()\n"
        f"print(program(torch.full((2, 4, 3, {SIZE}, {SIZE}), 100.0)).tolist())\n"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=tmp_path)
    with torch.inference_mode():
        expected = model(model.normalize(torch.full((2, 4, 3, SIZE, SIZE), 100.0)))
    torch.testing.assert_close(torch.tensor(json.loads(printed)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_file_that_differs_is_not_written_and_an_earlier_one_stays(
    streaming: bool, causal_model: VideoClassifier, tmp_path: Path, capsys, monkeypatch
) -> None:
    save_model(causal_model, tmp_path / "model.safetensors")
    out = tmp_path / "out" / "model.pt2"
    out.parent.mkdir()
    out.write_text("an earlier file")

    def wrong(engine_input):
        return lambda engine, model, clips: engine_input(engine, model, clips) * np.float32(1.01)

    from mixtconv.exporting import agreement

    monkeypatch.setattr(agreement, "engine_input", wrong(agreement.engine_input))
    words = ["export", str(tmp_path / "model.safetensors"), "--to", "torch", "--out", str(out)]
    assert main([*words, *(["--streaming"] if streaming else []), "--format", "json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["path"] is None
    assert result["difference"] > result["allowed_difference"]
    assert out.read_text() == "an earlier file"
    assert [each.name for each in out.parent.iterdir()] == ["model.pt2"]


def test_a_logit_that_is_no_number_is_a_difference() -> None:
    assert not Agreement(float("nan"), 1.0, 5).holds
    assert Agreement(9e-5, 0.5, 5).holds
    assert not Agreement(1.1e-4, 0.5, 5).holds


def test_the_command_compares_on_the_videos_given(
    model: VideoClassifier, tmp_path: Path, media, capsys, monkeypatch
) -> None:
    save_model(model, tmp_path / "model.safetensors")
    video = media.encode(tmp_path / "clip.mp4", media.moving_frames(9))
    compared = []
    compare = export_module.compare
    monkeypatch.setattr(
        export_module,
        "compare",
        lambda model, engine, clips, **rest: (
            compared.append(clips) or compare(model, engine, clips, **rest)
        ),
    )
    words = ["export", str(tmp_path / "model.safetensors"), "--to", "onnx"]
    out = tmp_path / "model.onnx"
    assert main([*words, "--out", str(out), "--video", str(video), "--format", "json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["path"] == str(out)
    assert result["bytes"] == out.stat().st_size
    assert result["difference"] <= result["allowed_difference"]
    from mixtconv.data.protocol import Protocol
    from mixtconv.data.views import TensorViewReader

    assert torch.equal(compared[0], TensorViewReader(model.spec, Protocol(1, 1)).read(video).frames)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--to", "onnx", "--out", "model.xml"], "a file of onnx ends in .onnx: give model.onnx"),
        (["--to", "tflite", "--out", "model.tflite"], "--to is 'tflite'"),
        (["--to", "torch", "--out", "model.pt2", "--streaming"], "is centred"),
        (["--to", "torch", "--out", "model.pt2", "--tolerance", "2"], "--tolerance is 2.0"),
        (["--to", "torch", "--out", "model.pt2", "--int8", "data"], "--to torch has no int8"),
        (["--to", "onnx", "--out", "model.onnx", "--int8", "nowhere"], "'nowhere'"),
        (["--to", "onnx", "--out", "model.onnx", "--int8", "empty"], "no videos in it"),
        (["--to", "torch", "--out", "model.pt2", "--video", "x.mp4"], "no video found"),
        (["--to", "torch", "--out", "folder.pt2"], "this is a folder"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_one_line(
    words: list[str], reason: str, model: VideoClassifier, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(model, "model.safetensors")
    Path("empty").mkdir()
    Path("folder.pt2").mkdir()
    assert main(["export", "model.safetensors", *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert reason in line
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {"model.safetensors", "empty", "folder.pt2"}


def test_a_missing_package_is_named_with_how_to_install_it(
    model: VideoClassifier, tmp_path: Path, monkeypatch
) -> None:
    for module in ("onnx", "onnxscript"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=r"which are not installed: pip install onnx onnxscript$"):
        export_model(model, tmp_path / "model.onnx", target="onnx")


def test_a_model_that_loops_over_its_clips_is_refused(tmp_path: Path) -> None:
    model = create_model("i3d_nl_gcn_resnet50", 3, num_frames=4, image_size=64).eval()
    with pytest.raises(ValueError, match=r"i3d_nl_gcn_resnet50 cannot be exported: torch\.export"):
        export_model(model, tmp_path / "model.pt2", target="torch")


HEADS = {
    "attention": ("tsn_test_resnet", {"feature_head": "attention", "less_mean": True}),
    "blocks": ("mstnet_test_resnet", {"feature_head": "blocks", "less_mean": True}),
    "causal": ("mstnet_test_resnet", {"feature_head": "blocks", "causal": True, "less_mean": True}),
}


@pytest.mark.parametrize("target", EVERY_TARGET)
@pytest.mark.parametrize("head", HEADS)
def test_a_head_on_features_is_exported(head: str, target: TargetName, tmp_path: Path) -> None:
    """Also on motion, where the median is in the graph before it."""
    name, settings = HEADS[head]
    model = _model(name, modality="motion", feature_stage=2, **settings)
    path = tmp_path / f"model{TARGETS[target].suffix}"
    exported = export_model(model, path, target=target, pixels="uint8")
    assert exported.agreement.holds and exported.agreement.largest_logit > 0.01
    if head == "causal":
        stream = tmp_path / f"stream{TARGETS[target].suffix}"
        assert export_model(model, stream, target=target, streaming=True).agreement.holds


@pytest.mark.parametrize("target", EVERY_TARGET)
def test_a_transformer_is_exported_as_clips_and_as_streams(
    target: TargetName, tmp_path: Path
) -> None:
    """With an embedding of places that timm would resample as it is exported."""
    model = _model("mstvit_test_vit", causal=True, num_frames=3)
    for streaming in (False, True):
        path = tmp_path / f"model_{streaming}{TARGETS[target].suffix}"
        exported = export_model(model, path, target=target, streaming=streaming)
        assert exported.agreement.holds and exported.agreement.largest_logit > 0.01
