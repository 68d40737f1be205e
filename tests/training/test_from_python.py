"""Training as a function: settings by keyword, and parts of one's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from safetensors.torch import load_file

import mixtconv
from mixtconv.training.fit import given_settings
from mixtconv.training.settings import TrainingSettings


def _weights(result: object) -> dict[str, torch.Tensor]:
    return load_file(result.files.model)


def test_keywords_are_the_fields_of_settings(
    tiny_settings: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    settings = tiny_settings("one", epochs=1)
    first = mixtconv.train(settings)
    values = {**vars(settings), "out": str(tmp_path / "other")}
    second = mixtconv.train(Path(values.pop("data")), **values)
    one, other = _weights(first), _weights(second)
    assert all(torch.equal(one[name], other[name]) for name in one)
    third = mixtconv.train(settings, out=str(tmp_path / "third"), seed=5)
    assert not all(torch.equal(one[name], value) for name, value in _weights(third).items())
    video = next(Path(settings.data).rglob("*.mp4"))
    assert first.recognizer().predict(video) == mixtconv.Recognizer(first.files.model).predict(
        video
    )
    with pytest.raises(ValueError, match="unknown setting 'epoch'; did you mean 'epochs'"):
        mixtconv.train("clips", epoch=3)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("epochs", "two", "epochs is 'two'; allowed are whole numbers"),
        ("lr", "1e-3", "lr is '1e-3'; allowed are finite numbers, and none"),
        ("stages", [0.5], r"stages is '\[0.5\]'; allowed are lists of whole numbers, and none"),
        ("optimizer", "adam", "optimizer is 'adam'; allowed are 'adamw' and 'sgd'"),
        ("flip", "no", "flip is 'no'; allowed are true and false"),
        ("model", torch.nn.ReLU(), r"model is 'ReLU\(\)'; allowed are texts"),
    ],
)
def test_values_of_another_type_are_refused(name: str, value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        mixtconv.train("clips", **{name: value})


def test_settings_are_refused_in_the_words_in_which_they_were_given(
    tiny_settings: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    """By keyword, as a flag, and where the data are known."""
    refused: list[tuple[dict[str, Any], str]] = [
        ({"num_frames": 0}, "num_frames is 0; give 1 or more"),
        ({"patience": 2, "val_fraction": 0.0}, "patience waits .*, and val_fraction 0 has none"),
        ({"temperature": 3.0}, "temperature is for a teacher, and there is none"),
        ({"best_by": "map"}, "best_by is map, and the videos have one label"),
        ({"resume": True}, "holds no run to resume: leave out resume, or correct out$"),
    ]
    data, out = tiny_settings().data, tmp_path / "refused"
    for values, says in refused:
        with pytest.raises(ValueError, match=says) as error:
            mixtconv.train(data, out=out, **values)
        assert "--" not in str(error.value)
    with pytest.raises(ValueError, match=r"^--temperature is for a --teacher"):
        mixtconv.train(tiny_settings(temperature=3.0))
    with pytest.raises(ValueError, match=r"mixtconv prepare DATA --out DIR --flow.* skip_unread"):
        mixtconv.train(data, out=out, modality="flow", device="cpu", weights="none")


def test_paths_tuples_and_numbers_of_numpy_are_settings() -> None:
    values = {"out": Path("a", "b"), "stages": (0, 1), "epochs": np.int64(3), "lr": np.float32(0.5)}
    settings = given_settings("clips", values)
    assert settings == TrainingSettings(
        "clips", out=str(Path("a", "b")), stages=[0, 1], epochs=3, lr=0.5
    )
    assert type(settings.epochs) is int and type(settings.lr) is float


def test_the_same_loss_and_optimizer_of_ones_own_change_nothing(
    tiny_settings: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    """And callbacks and loggers are called."""

    class Count(Callback):
        batches = 0

        def on_train_batch_end(self, *arguments: object) -> None:
            self.batches += 1

    seen, count = [], Count()

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append((tuple(logits.shape), labels.dtype))
        return F.cross_entropy(logits, labels)

    def optimizer(groups: list[dict]) -> torch.optim.Optimizer:
        assert {"params", "lr", "weight_decay"} <= set(groups[0])
        return torch.optim.AdamW(groups)

    recipe = {"epochs": 1, "batch_size": 6, "optimizer": "adamw"}
    plain = mixtconv.train(tiny_settings("plain", **recipe))
    own = mixtconv.train(
        tiny_settings("own", **recipe),
        loss=loss,
        optimizer=optimizer,
        callbacks=[count],
        loggers=[CSVLogger(tmp_path / "csv")],
    )
    one, other = _weights(plain), _weights(own)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert seen == [((6, 4), torch.int64)] * 2 and count.batches == 2
    assert list((tmp_path / "csv").rglob("metrics.csv"))

    changed = mixtconv.train(tiny_settings("changed", **recipe), optimizer=torch.optim.SGD)
    assert not all(torch.equal(one[name], value) for name, value in _weights(changed).items())


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"callbacks": 3}, r"callbacks holds 3; give a list of callbacks of Lightning"),
        ({"callbacks": [LearningRateMonitor]}, r"callbacks holds <class .*LearningRateMonitor\(\)"),
        ({"loggers": "wandb"}, r"loggers holds 'wandb'; give a list of loggers"),
        ({"loss": "ce"}, r"loss is 'ce'; give a function of logits"),
        ({"transform": 1}, r"transform is 1; give a function of a clip"),
        ({"optimizer": 0.1}, r"optimizer is 0.1; give a function of groups"),
    ],
)
def test_parts_that_are_none_are_refused_before_the_run(
    tiny_settings: Callable[..., TrainingSettings], parts: dict, told: str
) -> None:
    settings = tiny_settings("refused")
    with pytest.raises(ValueError, match=told):
        mixtconv.train(settings, **parts)
    assert not Path(settings.out).exists()


@pytest.mark.parametrize(
    "values", [{"label_smoothing": 0.1}, {"balance": "weights"}, {"gamma_negative": 2.0}]
)
def test_settings_of_the_loss_that_is_replaced_are_refused(
    tiny_settings: Callable[..., TrainingSettings], values: dict
) -> None:
    with pytest.raises(ValueError, match=r"belongs to the loss that your own replaces|several"):
        mixtconv.train(tiny_settings(**values), loss=F.cross_entropy)
