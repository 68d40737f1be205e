"""Training on datasets of a program: the same run as on files, and a change of one's own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from PIL import Image
from torch.utils.data import Dataset

import mixtconv
from mixtconv.cli.main import main
from mixtconv.models import load_model

RUN = {
    "model": "mstnet_test_resnet",
    "weights": "none",
    "num_frames": 2,
    "image_size": 32,
    "batch_size": 4,
    "epochs": 2,
    "workers": 0,
    "modality": "rgb",
    "device": "cpu",
}


def _frames(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (5, 36, 40, 3), dtype=np.uint8)


class Clips(Dataset):
    """Pairs of frames and number of a class."""

    classes = ("down", "up")

    def __init__(self, first: int, size: int) -> None:
        self.first, self.size = first, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, number: int):
        return _frames(self.first + number), number % 2


def _weights(result) -> dict[str, torch.Tensor]:
    return load_model(result.files.model).state_dict()


def _are_same(one, other) -> bool:
    other = _weights(other)
    return all(torch.equal(value, other[name]) for name, value in _weights(one).items())


def test_a_run_on_a_dataset_is_the_run_on_its_videos(tmp_path: Path) -> None:
    rows = []
    for split, first, size in (("train", 0, 6), ("val", 6, 3)):
        for number in range(size):
            folder = tmp_path / "clips" / f"{split}{number}"
            folder.mkdir(parents=True)
            for place, frame in enumerate(_frames(first + number)):
                Image.fromarray(frame).save(folder / f"{place}.png")
            rows.append(f"{split}{number},{Clips.classes[number % 2]},{split}")
    data = tmp_path / "clips" / "list.csv"
    data.write_text("path,label,split\n" + "\n".join(rows) + "\n")
    files = mixtconv.train(data, out=str(tmp_path / "files"), cache="off", **RUN)
    own = mixtconv.train(Clips(0, 6), val=Clips(6, 3), out=str(tmp_path / "own"), **RUN)
    assert _are_same(files, own)
    assert [each.top1 for each in files.epochs] == [each.top1 for each in own.epochs]
    assert load_model(own.files.model).spec.classes == Clips.classes
    assert own.recognizer().predict(_frames(3))[0].label in Clips.classes


def test_a_run_goes_on_and_says_whose_data_it_was(tmp_path: Path, capsys) -> None:
    whole = mixtconv.train(Clips(0, 6), out=str(tmp_path / "whole"), **RUN)
    out = str(tmp_path / "part")
    part = mixtconv.train(Clips(0, 6), out=out, minutes=1e-9, **RUN)
    assert len(part.epochs) == 1
    with pytest.raises(ValueError, match="the videos or labels of <Clips of 8 videos>"):
        mixtconv.train(Clips(0, 8), out=out, resume=True, **RUN)
    assert _are_same(whole, mixtconv.train(Clips(0, 6), out=out, resume=True, **RUN))
    assert main(["train", "--config", str(Path(out, "config.yaml")), "--resume"]) == 2
    assert "was a dataset of a program: give it there, from Python" in capsys.readouterr().err


def test_a_change_of_ones_own_sees_training_clips_and_draws_alike(tmp_path: Path) -> None:
    seen: list[torch.Size] = []

    def transform(clip: torch.Tensor) -> torch.Tensor:
        seen.append(clip.shape)
        return clip.roll(int(torch.randint(8, ())), dims=3)

    settings = {**RUN, "epochs": 1}
    one = mixtconv.train(Clips(0, 6), transform=transform, out=str(tmp_path / "1"), **settings)
    assert set(seen) == {(2, 3, 32, 32)} and len(seen) == 4  # 2 are held out
    torch.rand(3)  # chance elsewhere
    other = mixtconv.train(
        Clips(0, 6), transform=transform, out=str(tmp_path / "2"), **settings | {"workers": 1}
    )
    plain = mixtconv.train(Clips(0, 6), out=str(tmp_path / "3"), **settings)
    assert _are_same(one, other) and not _are_same(one, plain)
    with pytest.raises(ValueError, match=r"transform made torch\.float32 of shape"):
        mixtconv.train(Clips(0, 6), transform=torch.Tensor.float, out=str(tmp_path / "4"), **RUN)


def test_callbacks_may_watch_the_scores(tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []

    class Watch(Callback):
        def on_validation_end(self, trainer, module) -> None:
            seen.append({name: float(v) for name, v in trainer.callback_metrics.items()})

    stop = EarlyStopping("val_loss", patience=1, min_delta=1000.0)
    settings = RUN | {"epochs": 6}
    result = mixtconv.train(
        Clips(0, 6), val=Clips(6, 2), out=str(tmp_path), callbacks=[Watch(), stop], **settings
    )
    assert len(result.epochs) == len(seen) == 2  # none is better by so much
    for row, values in zip(result.epochs, seen, strict=True):
        assert values["val_loss"] == pytest.approx(row.val_loss)
        assert values["top1"] == pytest.approx(row.top1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"root": "x"}, "root is for data on the disk"),
        ({"group": "g(.)"}, "group is for data on the disk"),
        ({"cache": "kept"}, "cache is 'kept', and keeps frames of files"),
        ({"transform": torch.nn.Identity(), "train": "head"}, "transform changes clips"),
    ],
)
def test_what_does_not_go_with_a_dataset(values: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        mixtconv.train(Clips(0, 6), out=str(tmp_path), **RUN | values)
    with pytest.raises(ValueError, match="classes belongs to a dataset"):
        mixtconv.train("clips", classes=["a"], out=str(tmp_path), **RUN)
