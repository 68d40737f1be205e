"""TensorRT: the ONNX that it is given, the plan where it is installed, and what is refused."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.exporting.export import export_model
from mixtconv.exporting.network import PortableNetwork, clip_network, streaming_network
from mixtconv.exporting.onnx import write_onnx
from mixtconv.exporting.programs import as_program
from mixtconv.exporting.tensorrt import (
    LARGEST_BATCH,
    build_plan,
    compute_in_half,
    write_tensorrt,
)
from mixtconv.inference.engines.onnx import OnnxEngine
from mixtconv.inference.engines.tensorrt import torch_type
from mixtconv.models import VideoClassifier, create_model, save_model

SIZE = 32
WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")

PARSED = (
    "Add AveragePool Cast Clip Concat Conv Div Equal Expand Gather Gelu Gemm LayerNormalization "
    "MatMul Max MaxPool Min Mul ReduceMean ReduceSum Relu Reshape Shape Slice Softmax Split "
    "Squeeze Sub Tile Transpose Unsqueeze"
)
"""Operators of ONNX that we write and the parser of TensorRT 11 was seen to take."""


def _model(name: str, **settings: object) -> VideoClassifier:
    torch.manual_seed(0)
    model = create_model(name, num_classes=3, num_frames=4, image_size=SIZE, **settings).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


@pytest.fixture(scope="module")
def clips() -> PortableNetwork:
    return clip_network(_model("mstnet_test_resnet"), layout="stacked", pixels="uint8")


@pytest.fixture(scope="module")
def streams() -> PortableNetwork:
    return streaming_network(_model("tsm_test_resnet", causal=True), pixels="uint8")


@pytest.fixture(scope="module")
def files(clips: PortableNetwork, streams: PortableNetwork, tmp_path_factory) -> dict[str, Path]:
    """The network of each form as ONNX, as TensorRT is given it."""
    folder, paths = tmp_path_factory.mktemp("onnx"), {}
    for name, portable in (("clips", clips), ("streams", streams)):
        paths[name] = folder / f"{name}.onnx"
        write_onnx(as_program(portable), portable, paths[name])
    return paths


@pytest.mark.parametrize("form", ["clips", "streams"])
def test_onnx_is_in_the_form_that_the_parser_of_tensorrt_takes(
    form: str, files: dict[str, Path]
) -> None:
    graph = onnx.load(str(files[form]))
    assert {node.op_type for node in graph.graph.node} <= set(PARSED.split())
    assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx"}
    assert all(9 <= entry.version <= 25 for entry in graph.opset_import)
    weights = {each.name for each in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type == "Conv":  # whose weights have to be constants
            assert set(node.input[1:]) <= weights
    for port in graph.graph.input:
        batch, *sizes = port.type.tensor_type.shape.dim
        assert batch.dim_param and all(size.dim_value > 0 for size in sizes)


@pytest.mark.parametrize("form", ["clips", "streams"])
def test_half_computes_in_float16_between_inputs_and_outputs_as_they_were(
    form: str, files: dict[str, Path], tmp_path: Path
) -> None:
    half = tmp_path / "half.onnx"
    half.write_bytes(files[form].read_bytes())
    compute_in_half(half)
    before, after = (onnx.load(str(path)).graph for path in (files[form], half))
    for name in ("input", "output"):
        ports = [
            [(port.name, port.type.tensor_type.elem_type) for port in getattr(graph, name)]
            for graph in (before, after)
        ]
        assert ports[0] == ports[1]
    types = {each.data_type for each in after.initializer}
    assert onnx.TensorProto.FLOAT16 in types and onnx.TensorProto.FLOAT not in types
    assert half.stat().st_size < 0.6 * files[form].stat().st_size
    engines = OnnxEngine(files[form]), OnnxEngine(half)
    random = np.random.default_rng(0)
    inputs = {
        name: random.integers(0, 256, (2, *sizes)).astype(np.uint8)
        if name in ("video", "frame")
        else random.random((2, *sizes), np.float32)
        for name, sizes in engines[0].description.inputs.items()
    }
    exact, rounded = (engine.run(inputs)["logits"] for engine in engines)
    assert 0 < np.abs(exact - rounded).max() < 1e-2 * np.abs(exact).max()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("form", ["clips", "streams"])
def test_tensorrt_builds_a_plan(
    form: str, half: bool, files: dict[str, Path], request, tmp_path: Path
) -> None:
    """Where its builder starts, which wants a GPU unless it builds ahead of time."""
    portable: PortableNetwork = request.getfixturevalue(form)
    tensorrt = pytest.importorskip("tensorrt", reason="pip install tensorrt")
    try:
        tensorrt.Builder(tensorrt.Logger(tensorrt.Logger.ERROR))
    except TypeError as error:  # "factory function returned nullptr"
        pytest.skip(f"its builder does not start: {error}")
    path = tmp_path / "model.onnx"
    path.write_bytes(files[form].read_bytes())
    if half:
        compute_in_half(path)
    assert len(build_plan(tensorrt, path, portable)) > 0.4 * files[form].stat().st_size
    path.write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"cannot be exported: TensorRT's parser says \w"):
        build_plan(tensorrt, path, portable)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="TensorRT needs an NVIDIA GPU")
@pytest.mark.parametrize("half", [False, True])
def test_an_engine_agrees_in_batches_larger_than_its_own(half: bool, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt", reason="pip install tensorrt")
    from mixtconv.inference.engines.opening import open_engine

    model = _model("mstnet_test_resnet")
    path = tmp_path / "model.engine"
    assert export_model(model, path, target="tensorrt", half=half).agreement.holds
    video = torch.rand(LARGEST_BATCH + 3, 4, 3, SIZE, SIZE)
    with torch.inference_mode():
        expected = model(video).numpy()
    got = open_engine(path).run({"video": video.numpy()})["logits"]
    limit = (1e-2 if half else 1e-4) * np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=limit)


@WITHOUT_GPU
def test_without_a_gpu_one_line_says_so(tmp_path: Path, capsys) -> None:
    save_model(_model("tsn_test_resnet"), tmp_path / "model.safetensors")
    out = tmp_path / "model.engine"
    words = ["export", str(tmp_path / "model.safetensors"), "--to", "tensorrt", "--out", str(out)]
    assert main(words) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "an .engine file is built and run by TensorRT on an NVIDIA GPU" in line
    out.write_bytes(b"plan")
    assert main(["predict", str(out), "clip.mp4"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "model.engine is built and run by TensorRT on an NVIDIA GPU" in line


def test_a_type_that_no_export_has_is_named() -> None:
    plan = SimpleNamespace(get_tensor_dtype=lambda name: SimpleNamespace(name="BF16"))
    with pytest.raises(
        ValueError, match=r"^m\.engine has video of type BF16, and exported ones are"
    ):
        torch_type(torch, plan, "video", Path("m.engine"))


def test_a_network_that_cannot_be_rounded_is_refused_by_its_name(
    clips: PortableNetwork, tmp_path: Path, monkeypatch
) -> None:
    def fail(*args: object, **settings: object) -> None:
        raise ValueError("no such operator")

    half = replace(clips, description=replace(clips.description, half=True))
    monkeypatch.setattr("mixtconv.exporting.tensorrt.import_tensorrt", lambda path: None)
    monkeypatch.setattr("onnxruntime.transformers.float16.convert_float_to_float16", fail)
    with pytest.raises(ValueError, match=r"mstnet_test_resnet cannot be exported: .* no such oper"):
        write_tensorrt(as_program(half), half, tmp_path / "m.engine")


@pytest.mark.parametrize("target", ["onnx", "openvino", "torch"])
def test_half_is_refused_where_there_is_none(target: str, tmp_path: Path) -> None:
    suffix = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}[target]
    with pytest.raises(ValueError, match=rf"--to {target} has no --half; give --to coreml or tens"):
        export_model(_model("tsn_test_resnet"), tmp_path / f"m{suffix}", target=target, half=True)
