"""Model files say everything, and what is none is refused with what it is."""

import errno
import json
import os
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mixtconv.models import VideoClassifier, create_model, load_model, read_metadata, save_model
from mixtconv.models.spec import ModelSpec
from mixtconv.models.systems import factory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    model = create_model("mstnet_test_resnet", classes=["a", "b"], num_frames=4, image_size=32)
    save_model(model, tmp_path / "model.safetensors", notes={"top1": 50.0})
    return tmp_path / "model.safetensors"


def test_the_metadata_hold_everything_but_the_weights(path: Path) -> None:
    about = read_metadata(path)
    assert about["version"]
    assert about["notes"] == {"top1": 50.0}
    assert about["spec"]["classes"] == ["a", "b"]
    assert about["spec"]["num_frames"] == 4
    assert len(about["spec"]["mean"]) == 3


@pytest.mark.parametrize("kept", [0, 3, 8, 200, 0.5])
def test_a_file_cut_short_is_refused(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match="is not a model file of mixtconv: it is") as error:
        load_model(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (pickle.dumps({"a": 1}), "Python pickle, which is never opened"),
        (b"PK\x03\x04 and so on", "zip archive"),
        (b"this is a text file that is long enough", "neither safetensors nor"),
        (b"", "is empty"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        load_model(path)


def test_weights_without_a_description_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="weights without a description"):
        load_model(tmp_path / "model.safetensors")


@pytest.mark.parametrize("about", ["no json", "{}", '{"version": "1", "spec": 3, "notes": {}}'])
def test_a_damaged_description_is_refused(tmp_path: Path, about: str) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata={"mixtconv": about})
    with pytest.raises(ValueError, match="description that is damaged") as error:
        load_model(path)
    assert str(path) in str(error.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(ValueError, match="there is no model file"):
            load_model(path)


def test_weights_that_do_not_fit_their_description_are_refused(path: Path) -> None:
    model = load_model(path)
    model.head = torch.nn.Linear(3, 2)
    save_model(model, path)
    with pytest.raises(ValueError, match="do not fit mstnet_test_resnet"):
        load_model(path)


def test_a_file_is_replaced_by_a_whole_one_or_not_at_all(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="what was there before is whole"):
        save_model(load_model(path), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("part", "name", "value", "says"),
    [
        ("spec", "num_frames", 10**9, "num_frames is 1000000000; give 1 to 4096"),
        ("spec", "num_frames", 10**400, "num_frames is 1000000"),
        ("spec", "image_size", 10**5, "image_size is 100000; give 16 to 2048"),
        ("spec", "num_frames", 4.0, "num_frames is '4.0'; allowed are whole numbers"),
        ("spec", "num_frames", True, "num_frames is 'True'; allowed are whole numbers"),
        ("spec", "name", 5, "name is '5'; allowed are texts"),
        ("spec", "name", "a" * 10**6, "unknown model"),
        ("spec", "mean", "x", "mean is 'x'; allowed are lists of finite numbers"),
        ("spec", "mean", [0.5], "give three numbers each"),
        ("spec", "std", [1.0, 0.0, 1.0], "no std of 0 or below"),
        ("spec", "shift_fraction", float("nan"), "shift_fraction is 'nan'; allowed are finite"),
        ("spec", "classes", ["a", 3], "allowed are lists of texts"),
        (
            "spec",
            "classes",
            ["a", "b", "c"],
            "head.bias is [2] and should be [3]",
        ),
        ("spec", "name", "tsn_resnet152", "do not fit tsn_resnet152"),
        ("notes", "top1", "high", "top1 is 'high'; allowed are finite numbers"),
        ("notes", "val_fraction", [0.2], "val_fraction is '[0.2]'; allowed are finite numbers"),
        ("notes", "group", 5, "group is '5'; allowed are texts"),
        ("notes", "flip_pairs", [["a", 1]], "flip_pairs is"),
        ("notes", "flip_pairs", "/etc/passwd", "allowed are lists"),
    ],
)
def test_a_description_of_wrong_types_or_sizes_is_one_line(
    path: Path, part: str, name: str, value: object, says: str
) -> None:
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["mixtconv"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a dict
    about[part][name] = value
    save_file(tensors, path, metadata={"mixtconv": json.dumps(about)})
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        load_model(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 800


def test_a_note_without_a_value_is_none(path: Path) -> None:
    model = load_model(path)
    save_model(model, path, notes={"top1": None, "val_fraction": None, "group": None, "a": 0})
    assert read_metadata(path)["notes"] == {"a": 0}


def test_a_deep_description_is_refused(path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, path, metadata={"mixtconv": "[" * 10**5})
    with pytest.raises(ValueError, match="damaged or of another version"):
        load_model(path)


def test_a_network_is_compared_before_memory_is_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    make = factory.create_from_spec

    def note_device(spec: ModelSpec) -> VideoClassifier:
        made.append(torch.get_default_device().type)
        return make(spec)

    monkeypatch.setattr(factory, "create_from_spec", note_device)
    load_model(path)
    assert made == ["meta", "cpu"]
    content = read_metadata(path)
    other = {"mixtconv": json.dumps({**content, "spec": {**content["spec"], "classes": ["a"]}})}
    save_file({"head.weight": torch.zeros(2, 256)}, path, metadata=other)
    with pytest.raises(ValueError, match="are missing"):
        load_model(path)
    assert made == ["meta", "cpu", "meta"]


def test_weights_that_are_not_finite_are_neither_written_nor_read(tmp_path: Path) -> None:
    model = create_model("tsn_test_resnet", 2)
    path = tmp_path / "model.safetensors"
    with torch.no_grad():
        next(model.parameters())[0] = torch.inf
    with pytest.raises(ValueError, match=r"is not written: .* not finite numbers \(.*weight\)"):
        save_model(model, path)
    assert not list(tmp_path.iterdir())
