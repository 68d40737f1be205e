"""What we use of other packages that they do not promise to keep: a new release fails here first.

Each test does with the private interface what the named file does with it.
"""

import ctypes
import inspect
from pathlib import Path

import pytest
import torch
from torch import nn


def test_torch_fuses_a_convolution_with_an_addition_and_relu() -> None:
    """`models/fused_conv.py`: oneDNN's operators in optimised float32 inference."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    torch.manual_seed(0)
    conv, other = nn.Conv2d(3, 4, 1), torch.randn(1, 4, 5, 5)
    x = torch.randn(1, 3, 5, 5)
    with torch.no_grad():
        result = other.clone()
        fused = torch.ops.mkldnn._convolution_pointwise_.binary(
            result, x, conv.weight, conv.bias, [0, 0], [1, 1], [1, 1], 1, "add", 1.0, "relu", [], ""
        )
        torch.testing.assert_close(fused, torch.relu(conv(x) + other))
        alone = torch.ops.mkldnn._convolution_pointwise(
            x, conv.weight, conv.bias, [0, 0], [1, 1], [1, 1], 1, "relu", [], ""
        )
        torch.testing.assert_close(alone, torch.relu(conv(x)))


def test_torch_packs_the_weights_of_a_convolution() -> None:
    """`models/fused_conv.py`: weights in the order that oneDNN wants for a size."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    weight = torch.randn(8, 8, 3, 3)
    packed = torch.ops.aten.mkldnn_reorder_conv2d_weight(
        weight.to_mkldnn(), [1, 1], [1, 1], [1, 1], 1, [1, 8, 14, 14]
    )
    torch.testing.assert_close(packed.to_dense(), weight)


def test_torch_counts_the_writes_to_a_tensor() -> None:
    """`models/insertion.py`: an input that was written to is not computed with again."""
    x = torch.zeros(3)
    before = x._version
    x.add_(1)
    assert x._version == before + 1


def test_torch_has_a_base_of_all_batch_norms() -> None:
    """`training/module.py` and `models/backbone.py`: all of them are frozen or start at one."""
    from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

    for norm in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm):
        assert issubclass(norm, _BatchNorm)
    assert issubclass(_BatchNorm, _NormBase)


def test_timm_groups_parameters_by_layer() -> None:
    """`training/backbone_layers.py`: which learn at which rate."""
    from timm.models._manipulate import group_with_matcher

    names = [("conv1.weight", None), ("layer1.0.conv1.weight", None), ("fc.weight", None)]
    matcher = {"stem": "^conv1", "blocks": r"^layer(\d+)\.(\d+)"}
    found = group_with_matcher(iter(names), matcher, reverse=True)
    assert found == {"conv1.weight": 0, "layer1.0.conv1.weight": 1, "fc.weight": 2}


def test_timm_names_the_weights_of_clip() -> None:
    """`models/importing/formats.py`: of files of adapters on a CLIP, each by itself."""
    from timm.models.vision_transformer import _convert_openai_clip

    names = {
        "class_embedding": "cls_token",
        "positional_embedding": "pos_embed",
        "conv1.weight": "patch_embed.proj.weight",
        "ln_pre.bias": "norm_pre.bias",
        "transformer.resblocks.3.ln_2.weight": "blocks.3.norm2.weight",
        "transformer.resblocks.3.attn.in_proj_bias": "blocks.3.attn.qkv.bias",
        "transformer.resblocks.3.attn.out_proj.weight": "blocks.3.attn.proj.weight",
        "transformer.resblocks.3.mlp.c_proj.bias": "blocks.3.mlp.fc2.bias",
        "ln_post.weight": "norm.weight",
    }
    for theirs, ours in names.items():
        found = _convert_openai_clip({f"visual.{theirs}": torch.empty(0, 0)}, None)
        assert list(found) == [ours]


def test_the_export_of_torch_says_what_a_user_did_wrong() -> None:
    """`exporting/writing.py`: a model that cannot be traced is refused in one line."""
    from torch._dynamo.exc import UserError

    assert issubclass(UserError, Exception)


def test_timm_asks_whether_a_program_is_exported_where_it_resamples_places() -> None:
    """`exporting/writing.py`: an embedding of the size of the pictures is left as it is."""
    from timm.layers import pos_embed

    source = inspect.getsource(pos_embed.resample_abs_pos_embed)
    assert "if not is_exporting() and" in source and callable(pos_embed.is_exporting)


def test_torch_lends_its_threads_to_a_c_library() -> None:
    """`ops/native_library.py`: what the loops start threads with, or else one thread."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    if not library.exists():
        pytest.skip("torch is not in one shared library here")
    opened = ctypes.CDLL(str(library))
    names = ("GOMP_parallel", "omp_get_thread_num", "_ZN2at15get_num_threadsEv")
    assert all(hasattr(opened, name) for name in names)
    count = opened._ZN2at15get_num_threadsEv
    count.restype = ctypes.c_int
    assert count() == torch.get_num_threads()


def test_numpy_keeps_its_scalars_where_old_checkpoints_look_for_them() -> None:
    """`models/checkpoint_file.py`: names of classes in checkpoints, which stand-ins take."""
    import numpy as np

    reduced = np.float32(1).__reduce__()[0]
    assert (reduced.__module__, reduced.__name__) in {
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
    }


def test_uvicorn_tells_a_protocol_of_its_connection_and_request() -> None:
    """`serve/connections.py`: clients that are slow, or do not read, are given up."""
    uvicorn = pytest.importorskip("uvicorn")
    from uvicorn.protocols.http.h11_impl import H11Protocol
    from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

    names = ("connection_made", "data_received", "connection_lost")
    for protocol in (H11Protocol, WSProtocol):
        for method in (*names, "pause_writing", "resume_writing"):
            assert callable(getattr(protocol, method))
        made = inspect.getsource(protocol.__init__)
        assert "self.loop" in made and "self.transport" in made
    assert "self.cycle" in inspect.getsource(H11Protocol.__init__)
    assert callable(uvicorn.Server.capture_signals)
    assert callable(uvicorn.Server.handle_exit)


def test_uvicorn_takes_the_frames_of_a_websocket_from_its_connection() -> None:
    """`serve/connections.py`: they are counted there, and a flood ends the WebSocket."""
    pytest.importorskip("uvicorn")
    from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

    made = inspect.getsource(WSProtocol.__init__)
    assert all(f"self.{name}" in made for name in ("conn", "queue", "close_sent"))
    assert "self.conn.events()" in inspect.getsource(WSProtocol.handle_events)


def test_uvicorn_marks_a_request_that_is_answered() -> None:
    """`serve/connections.py`: the next head is waited for once the answer is complete."""
    pytest.importorskip("uvicorn")
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

    assert "response_complete" in inspect.getsource(RequestResponseCycle)


def test_onnx_runtime_tells_damaged_files_by_their_errors() -> None:
    """`inference/engines/onnx.py`: a file that is no network is refused in one line."""
    runtime = pytest.importorskip("onnxruntime")
    states = runtime.capi.onnxruntime_pybind11_state
    names = (
        "Fail",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "NoSuchFile",
        "NotImplemented",
    )
    for name in names:
        assert issubclass(getattr(states, name), Exception)
    with pytest.raises((states.InvalidProtobuf, states.Fail)):
        runtime.InferenceSession(b"no network", providers=["CPUExecutionProvider"])


def test_coremltools_reads_the_program_of_a_package_back() -> None:
    """`exporting/mil_program.py`: what a package is compared by where there is no Core ML."""
    pytest.importorskip("coremltools", reason="pip install coremltools")
    from coremltools.converters.mil.frontend.milproto import load
    from coremltools.converters.mil.mil import types

    parameters = inspect.signature(load.load).parameters
    assert {"model_spec", "specification_version", "file_weights_dir"} <= set(parameters)
    assert types.nptype_from_builtin(types.fp16).__name__ == "float16"


def test_onnx_runtime_rewrites_a_network_to_compute_in_float16() -> None:
    """`exporting/tensorrt.py`: TensorRT computes in the types of the file."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    assert "keep_io_types" in inspect.signature(convert_float_to_float16).parameters
