"""The second student of mutual learning: what its file says, and which of its epochs it holds."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from safetensors.torch import load_file
from torch import Tensor

from mixtconv.models import create_model, read_metadata, save_model
from mixtconv.training import initial_weights, mutual
from mixtconv.training.epoch_scores import EpochScores, score_epoch
from mixtconv.training.fit import train
from mixtconv.training.initial_weights import InitialModel
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]


def test_each_student_states_where_its_own_weights_come_from_and_that_it_was_stopped(
    tiny_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def imagenet(model: Any, create: Any) -> InitialModel:
        return InitialModel(model, "ImageNet")

    monkeypatch.setattr(initial_weights, "_imagenet_or_random", imagenet)
    first = create_model("mstnet_test_resnet", classes=["a", "b"], num_frames=4, image_size=32)
    save_model(first, tmp_path / "first.safetensors")
    settings = tiny_settings(
        mutual="tsn_test_resnet", weights=str(tmp_path / "first.safetensors"), modality="rgb"
    )
    files = train(replace(settings, minutes=1e-9)).files
    for resumed in (False, True):
        if resumed:
            train(replace(settings, resume=True))
        notes = [read_metadata(path)["notes"] for path in (files.model, files.partner)]
        assert [each["initial_weights"] for each in notes] == [settings.weights, "ImageNet"]
        kept = json.loads(files.metrics.read_text())["partner"]
        assert kept["initial_weights"] == "ImageNet"
        assert notes[1]["epoch"] == kept["epoch"]
        if not resumed:
            assert notes[0]["part"] == notes[1]["part"] < 1
        same = ("data", "protocol", "num_train", "frames", "flip_pairs")
        assert all(notes[0][name] == notes[1][name] for name in same)


class _Partners(Callback):
    """Keeps the weights of the second student after each epoch."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        state = module.partner.state_dict()
        self.states.append({name: value.clone() for name, value in state.items()})


@pytest.mark.parametrize(
    ("keep", "tops", "losses", "epoch"),
    [
        ("best", [50.0, 75.0, 25.0, 75.0], [1, 2, 1, 3], 2),
        ("best", [50.0, 75.0, 25.0, 75.0], [1, 3, 1, 2], 4),  # of equals that with the lowest loss
        ("best", [25.0, 50.0, 75.0, 100.0], [1, 2, 3, 4], 4),
        ("best", [50.0, 25.0, 25.0, 25.0], [4, 3, 2, 1], 1),
        ("last", [50.0, 75.0, 25.0, 50.0], [1, 2, 3, 4], 4),
    ],
)
def test_the_file_of_the_second_student_holds_its_own_best_epoch(
    keep: str,
    tops: list[float],
    losses: list[float],
    epoch: int,
    tiny_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is best of the first one; also after the run was stopped and resumed."""
    coming = zip(tops, losses, strict=True)

    def scored(*args: Any, **options: Any) -> EpochScores:
        found, (top1, loss) = score_epoch(*args, **options), next(coming)
        return replace(found, loss=float(loss), values={**found.values, "top1": top1})

    monkeypatch.setattr(mutual, "score_epoch", scored)
    seen = _Partners()
    settings = tiny_settings(mutual="tsn_test_resnet", modality="rgb", keep=keep, epochs=4)

    class Stop(Callback):
        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            trainer.should_stop = trainer.current_epoch == 1

    files = train(settings, callbacks=[seen, Stop()]).files
    assert len(seen.states) == 2
    train(replace(settings, resume=True), callbacks=[seen])
    kept = json.loads(files.metrics.read_text())["partner"]
    assert (kept["epoch"], kept["top1"]) == (epoch, tops[epoch - 1])
    notes = read_metadata(files.partner)["notes"]
    assert (notes["epoch"], notes["top1"]) == (epoch, tops[epoch - 1])
    state = load_file(files.partner)
    assert all(torch.equal(state[name], seen.states[epoch - 1][name]) for name in state)
    assert not all(torch.equal(state[name], seen.states[epoch % 4][name]) for name in state)
