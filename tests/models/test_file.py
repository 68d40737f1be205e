"""Model files say everything, and what is none is refused with what it is."""

import errno
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mixtconv.models import create_model, load_model, read_metadata, save_model


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


def test_weights_that_are_not_finite_are_neither_written_nor_read(tmp_path: Path) -> None:
    model = create_model("tsn_test_resnet", 2)
    path = tmp_path / "model.safetensors"
    with torch.no_grad():
        next(model.parameters())[0] = torch.inf
    with pytest.raises(ValueError, match=r"is not written: .* not finite numbers \(.*weight\)"):
        save_model(model, path)
    assert not list(tmp_path.iterdir())
