"""What cannot be imported is said in one line, with what was found and what to do."""

import argparse
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mixtconv.cli.main import main
from mixtconv.models import create_model, save_model
from mixtconv.models.checkpoint_file import read_checkpoint
from mixtconv.models.importing.convert import import_weights

Change = Callable[[dict[str, Tensor]], object]


@pytest.fixture(scope="module")
def states(published: ModuleType) -> dict[str, dict[str, Tensor]]:
    """State dictionaries of small checkpoints by what they hold."""

    def state(network: torch.nn.Module) -> dict[str, Tensor]:
        return {f"module.{key}": value for key, value in network.state_dict().items()}

    def wrapped(kind: type[torch.nn.Module]) -> dict[str, Tensor]:
        return state(published.TSN(published.wrap(published.resnet(18), kind, 4), 5))

    return {
        "tsn": state(published.TSN(published.resnet(18), 5)),
        "tsm": wrapped(published.Shift),
        "mstnet": wrapped(published.Mixed),
    }


BLOCK = "module.base_model.layer1.0."


def _move(old: str, new: str) -> Change:
    """Rename every key that begins with `old`."""

    def change(state: dict[str, Tensor]) -> None:
        for key in [key for key in state if key.startswith(old)]:
            state[new + key.removeprefix(old)] = state.pop(key)

    return change


def _put(key: str, shape: tuple[int, ...]) -> Change:
    return lambda state: state.update({key: torch.zeros(shape)})


FAULTS: dict[str, tuple[str, str, dict[str, Any], Change | None, str]] = {
    "another operation": ("tsn", "tsm_resnet18", {}, None, "a TSN, .* give --model tsn_resnet18"),
    "an unasked shift": ("tsm", "tsn_resnet18", {}, None, "a shift before 8 .* tsm_resnet18"),
    "a shift for filters": ("tsm", "mstnet_resnet18", {}, None, "give --model tsm_resnet18"),
    "filters for a shift": (
        "mstnet",
        "tsm_resnet18",
        {},
        None,
        "8 temporal convolutions of kernel sizes 1, 3, 5, 7, .* --model mstnet_resnet18 or",
    ),
    "filters of other sizes": ("mstnet", "ks135_resnet18", {}, None, "sizes 1, 3, 5, 7"),
    "another backbone": (
        "tsm",
        "tsm_resnet50",
        {},
        None,
        "weights of resnet18, not of resnet50: give --model tsm_resnet18",
    ),
    "other classes": ("tsm", "tsm_resnet18", {"classes": ["a", "b"]}, None, "5 classes, but 2 are"),
    "a missing key": (
        "tsm",
        "tsm_resnet18",
        {},
        lambda state: state.pop(f"{BLOCK}bn2.running_var"),
        "lacks layer1.0.bn2.running_var",
    ),
    "a missing bias": (
        "tsm",
        "tsm_resnet18",
        {},
        lambda state: state.pop("module.new_fc.bias"),
        "lacks head.bias",
    ),
    "a missing last layer": (
        "tsm",
        "tsm_resnet18",
        {},
        lambda state: state.pop("module.new_fc.weight"),
        "has no last layer",
    ),
    "a missing filter": (
        "mstnet",
        "mstnet_resnet18",
        {},
        lambda state: state.pop(f"{BLOCK}conv1.conv15d.weight"),
        r"sizes \[1, 3, 7\] before layer1.0.conv1 and \[1, 3, 5, 7\] before layer1.1.conv1",
    ),
    "a key too many": (
        "tsm",
        "tsm_resnet18",
        {},
        _put(f"{BLOCK}se.fc.weight", (4, 4)),
        f"has {BLOCK}se.fc.weight too many",
    ),
    "a wrong shape": (
        "tsm",
        "tsm_resnet18",
        {},
        _put(f"{BLOCK}conv2.weight", (64, 64, 5, 5)),
        f"has {BLOCK}conv2.weight as 64 x 64 x 5 x 5, not 64 x 64 x 3 x 3",
    ),
    "a filter of a wrong shape": (
        "mstnet",
        "mstnet_resnet18",
        {},
        _put(f"{BLOCK}conv1.conv13d.weight", (16, 1, 3, 3, 1)),
        r"is 16 x 1 x 3 x 3 x 1; a temporal filter is \(C, 1, k, 1, 1\)",
    ),
    "a filter of other channels": (
        "mstnet",
        "mstnet_resnet18",
        {},
        _put(f"{BLOCK}conv1.conv13d.weight", (8, 1, 3, 1, 1)),
        "conv13d.weight as 8 x 1 x 3 x 1 x 1, not 16 x 3",
    ),
    "one weight twice": (
        "tsm",
        "tsm_resnet18",
        {},
        _put(f"{BLOCK}conv1.weight", (64, 64, 3, 3)),
        "are the same weight",
    ),
    "whole blocks": (
        "tsn",
        "tsm_resnet18",
        {},
        _move(BLOCK, f"{BLOCK}net."),
        r"shifts whole blocks \(layer1.0.net\)",
    ),
    "pooling over time": (
        "tsn",
        "tsm_resnet18",
        {},
        _move("module.base_model.layer2.", "module.base_model.layer2.net."),
        r"pools over time \(layer2.net\)",
    ),
    "blocks here and there": (
        "tsm",
        "tsm_resnet18",
        {},
        _move("module.base_model.layer3.0.conv1.net.", "module.base_model.layer3.0.conv1."),
        "neither every n-th block",
    ),
    "unasked non-local blocks": (
        "tsm",
        "tsm_resnet18",
        {},
        _put("module.base_model.layer2.0.nl.theta.weight", (64, 128, 1, 1, 1)),
        "8 convolutions and non-local blocks, so it is no tsm_resnet18: give --model tsm_nl_",
    ),
    "missing non-local blocks": (
        "tsm",
        "tsm_nl_resnet18",
        {},
        None,
        "so it is no tsm_nl_resnet18: give --model tsm_resnet18",
    ),
    "a system": ("tsm", "i3d_resnet50", {}, None, "i3d_resnet50 cannot be imported"),
    "differences of pictures": (
        "tsm",
        "tsm_resnet18",
        {},
        _put("module.base_model.conv1.weight", (64, 15, 7, 7)),
        "takes 15 channels; imported are networks of pictures",
    ),
}


@pytest.mark.parametrize(
    ("holds", "name", "settings", "change", "says"), FAULTS.values(), ids=FAULTS.keys()
)
def test_a_file_that_does_not_fit_says_why_in_one_line(
    holds: str,
    name: str,
    settings: dict[str, Any],
    change: Change | None,
    says: str,
    states: dict[str, dict[str, Tensor]],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    state = dict(states[holds])
    if change is not None:
        change(state)
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": state}, path)
    with pytest.raises(ValueError, match=says) as error:
        import_weights(path, name, **settings)
    text = str(error.value)
    assert (
        (str(path) in text or "system" in request.node.name)
        and "\n" not in text
        and len(text) < 400
    )


def test_non_local_blocks_of_mmaction2_are_of_several_kinds(
    published: ModuleType, tmp_path: Path
) -> None:
    state = published.MMRecognizer(5, 4).state_dict()
    for key in [key for key in state if ".layer2.0." in key]:
        state[key.replace("layer2.0.", "layer2.0.block.")] = state.pop(key)
    state["backbone.layer2.0.non_local_block.g.0.conv.weight"] = torch.zeros(256, 512, 1, 1, 1)
    torch.save({"state_dict": state}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="files of mmaction2 do not state the kind"):
        import_weights(tmp_path / "a.pth", "tsm_resnet50")


def test_keys_outside_of_the_network_are_reported(
    states: dict[str, dict[str, Tensor]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    path, out = tmp_path / "weights.pth", tmp_path / "model.safetensors"
    state = {**states["tsm"], "module.aux_head.weight": torch.zeros(2)}
    del state["module.base_model.bn1.num_batches_tracked"]
    torch.save({"epoch": 2, "state_dict": state, "optimizer": {"lr": 0.1}}, path)
    words = ["import", str(path), "--model", "tsm_resnet18", "--out", str(out)]
    assert main([*words, "--format", "json"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["unused"] == ["module.aux_head.weight"]
    assert "not used: module.aux_head.weight" in printed.err
    assert report["keys_used"] + len(report["unused"]) == report["keys"] == len(state)
    assert report["not_in_file"] == ["backbone.bn1.num_batches_tracked"]
    assert report["other_entries"] == ["epoch", "optimizer"]
    assert set(report["inferred"]) > {"num_classes", "modality", "stages", "block_step"}


def test_a_model_file_needs_no_import(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(create_model("tsn_test_resnet", 2, image_size=32), path)
    with pytest.raises(ValueError, match="is a model file of mixtconv already"):
        import_weights(path, "tsn_test_resnet")


class _Command:
    """Pickles as a call of a function with a path."""

    def __init__(self, function: Callable[..., object], path: Path) -> None:
        self.function, self.path = function, path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return self.function, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("function", [os.mkdir, eval, np.load], ids=["mkdir", "eval", "numpy"])
def test_code_in_a_pickle_is_refused_and_not_run(
    legacy: bool, function: Callable[..., object], tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    path = tmp_path / "weights.pth.tar"
    content = {"state_dict": {"a": torch.zeros(1)}, "best": _Command(function, trace)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match="reading that could run code, so nothing was opened"):
        read_checkpoint(path)
    assert not trace.exists()


def test_a_bare_pickle_with_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(_Command(os.mkdir, tmp_path / "trace"), protocol=2))
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_checkpoint(path)
    assert not (tmp_path / "trace").exists()


def test_objects_of_other_packages_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    content = {"state_dict": {"a": torch.zeros(1)}, "args": argparse.Namespace(lr=0.1)}
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"holds argparse.Namespace, .* save its state_dict alone"):
        read_checkpoint(path)


@pytest.mark.filterwarnings("error:'torch.load'")
def test_a_program_is_refused_as_such(tmp_path: Path) -> None:
    """OpenAI's CLIP is published as one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "clip.pt")
    with pytest.raises(ValueError, match=r"a TorchScript program, .* save its state_dict alone"):
        read_checkpoint(tmp_path / "clip.pt")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("number", [np.float64(1), np.float32(1), np.int64(1), np.bool_(True)])
def test_numpy_scalars_are_passed_over(number: np.generic, legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth.tar"
    content = {"best_prec1": number, "state_dict": {"a": torch.ones(1)}, "again": number}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    checkpoint = read_checkpoint(path)
    assert checkpoint.tensors == {"a": torch.ones(1)}
    assert checkpoint.other_entries == ("best_prec1", "again")


@pytest.mark.parametrize("suffix", [".pth", ".pth.tar", ".safetensors"])
@pytest.mark.parametrize("part", [0, 0.001, 0.3, 0.99])
def test_a_file_cut_short_says_so(
    suffix: str, part: float, states: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    path = tmp_path / f"weights{suffix}"
    state = {key: value for key, value in states["tsm"].items() if "layer1" in key}
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=suffix == ".pth")
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match="is cut short, damaged, or no file of weights") as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.zeros(1)], {"state_dict": {"a": 1}}])
def test_a_file_without_weights_says_so(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="holds no dictionary of tensors"):
        read_checkpoint(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\nb\nc\nd\n", "5 classes, but 4 are named"),
        ("a\nb\n\nd\ne\n", "line 3 is empty; write one class name per line"),
        ("a\nb\nc\na\ne\n", "line 4: 'a' is there for the second time"),
        ("", "it is empty"),
        (
            None,
            "which is not a file; give a text file with one name per line, or one of something_v1",
        ),
    ],
)
def test_class_names_come_from_a_file_with_one_a_line(
    text: str | None,
    says: str,
    states: dict[str, dict[str, Tensor]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, classes, out = tmp_path / "a.pth", tmp_path / "names.txt", tmp_path / "model.safetensors"
    torch.save(states["tsm"], path)
    if text is not None:
        classes.write_text(text)
    words = ["import", str(path), "--model", "tsm_resnet18", "--out", str(out)]
    assert main([*words, "--classes", str(classes)]) == 2
    assert says in capsys.readouterr().err
    assert not out.exists()
