"""When a run ends, and which epoch it keeps."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from mixtconv.data.datasets.catalog import load_catalog, load_labelled_videos
from mixtconv.models import read_metadata
from mixtconv.training import record
from mixtconv.training.fit import TrainingResult, train
from mixtconv.training.plan import plan_run
from mixtconv.training.record import RunRecord
from mixtconv.training.run_folder import RunFiles, plain_row, read_run
from mixtconv.training.run_origin import RunOrigin
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]


def _metrics(result: TrainingResult) -> dict:
    return json.loads(result.files.metrics.read_text())


def _holds_the_weights_of_its_last_step(result: TrainingResult) -> bool:
    state = torch.load(result.files.checkpoint, weights_only=True)["state_dict"]
    saved = load_file(result.files.model)
    return all(torch.equal(value, state[f"model.{name}"]) for name, value in saved.items())


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_run_that_holds_nothing_out_keeps_its_last_epoch(
    tiny_settings: MakeSettings, ema: float
) -> None:
    result = train(tiny_settings(val_fraction=0.0, ema=ema))
    assert result.best.epoch == 2 and math.isnan(result.best.top1)
    metrics = _metrics(result)
    assert (metrics["num_train"], metrics["num_val"], metrics["best"]) == (12, 0, None)
    assert metrics["kept_epoch"] == 2 and metrics["epochs"][0]["top1"] is None
    assert "nothing is held out" in metrics["split_rule"]
    assert "top1" not in read_metadata(result.files.model)["notes"]
    assert _holds_the_weights_of_its_last_step(result)  # with ema those of the average
    assert any("nothing was held out" in remark for remark in read_run(result.files.folder).remarks)


def test_without_a_split_of_their_own_all_videos_train(tiny_settings: MakeSettings) -> None:
    folder = Path(tiny_settings().data, "train")
    catalog = load_catalog(folder, val_fraction=0)
    assert (len(catalog.train), catalog.val) == (12, ())
    with pytest.raises(ValueError, match="no videos for split 'val'"):
        load_labelled_videos(folder, classes=catalog.classes, split="val", val_fraction=0)


def test_the_last_epoch_is_kept_where_that_is_asked_for(
    tiny_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _give_scores(patch, [50.0, 75.0, 25.0])
        best = train(tiny_settings("best", epochs=3))
    _give_scores(monkeypatch, [50.0, 75.0, 25.0])
    last = train(tiny_settings("last", epochs=3, keep="last"))
    assert (best.best.epoch, last.best.epoch) == (2, 3)
    assert [_metrics(run)["best"]["epoch"] for run in (best, last)] == [2, 2]
    notes = [read_metadata(run.files.model)["notes"] for run in (best, last)]
    assert [each["epoch"] for each in notes] == [2, 3]
    assert _holds_the_weights_of_its_last_step(last)
    assert not _holds_the_weights_of_its_last_step(best)


def test_epochs_that_are_not_scored_are_not_kept_once_one_is(tiny_settings: MakeSettings) -> None:
    every = train(tiny_settings("every", epochs=3))
    second = train(tiny_settings("second", epochs=3, val_every=2))
    rows = _metrics(second)["epochs"]
    assert [row["top1"] is None for row in rows] == [True, False, True]
    # Scoring changes nothing of the training.
    assert rows[1]["val_loss"] == _metrics(every)["epochs"][1]["val_loss"]
    assert rows[2]["train_loss"] == _metrics(every)["epochs"][2]["train_loss"]
    assert second.best.epoch == 2
    never = train(tiny_settings("never", epochs=2, val_every=9, minutes=1e-4))
    assert never.best.epoch == 1 and never.files.model.exists()


def test_a_run_stops_after_epochs_without_a_better_score_also_when_resumed(
    tiny_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _give_scores(monkeypatch, [50.0, 75.0, 25.0, 75.0, 25.0])
    settings = tiny_settings(epochs=9, patience=2)
    result = train(settings)
    assert len(result.epochs) == 4 and result.best.epoch == 2  # of equals the lower loss, epoch 2
    assert _metrics(result)["stopped"] == "no better score in 2 epochs"
    again = train(replace(settings, resume=True))
    assert again.epochs == result.epochs
    remark = "it was trained for 4 of 9 epochs (no better score in 2 epochs)"
    assert remark in read_run(result.files.folder).remarks


@pytest.mark.parametrize(
    ("patience", "scores", "num_epochs"),
    [(1, [75.0, 80.0, 25.0], 6), (3, [75.0, 25.0, 80.0, 25.0, 25.0], 10), (4, [75.0, 9.0, 9.0], 6)],
)
def test_patience_waits_for_the_next_score_where_not_every_epoch_has_one(
    tiny_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    patience: int,
    scores: list[float],
    num_epochs: int,
) -> None:
    """Every second epoch is scored: no run ends after one that might have been better."""
    _give_scores(monkeypatch, [score for each in scores for score in (math.nan, each)])
    settings = tiny_settings(epochs=12, patience=patience, val_every=2, checkpoint_minutes=0)
    result = train(settings)
    assert len(result.epochs) == num_epochs
    assert _metrics(result)["stopped"] == f"no better score in {patience} epochs"
    again = train(replace(settings, resume=True))
    assert [plain_row(row) for row in again.epochs] == [plain_row(row) for row in result.epochs]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the batches that were trained on; each takes 20 seconds by a run's clock."""
    taken: list[int] = []
    end_of_step = record.RunRecord.on_train_batch_end

    def count(self, *args) -> None:
        taken.append(args[-1])
        end_of_step(self, *args)

    monkeypatch.setattr(record.RunRecord, "on_train_batch_end", count)
    monkeypatch.setattr(record.RunRecord, "_seconds", property(lambda self: 20.0 * len(taken)))
    return taken


def test_a_run_stops_when_its_minutes_are_over_and_goes_on_with_more(
    tiny_settings: MakeSettings, steps: list[int]
) -> None:
    settings = tiny_settings(epochs=9, minutes=1.5, batch_size=4)  # three steps an epoch
    began = time.monotonic()
    result = train(settings)
    assert len(steps) == 5 and time.monotonic() - began < 60
    assert [(row.epoch, row.part) for row in result.epochs] == [(1, 1), (2, 2 / 3)]
    assert not math.isnan(result.epochs[-1].top1)
    metrics = _metrics(result)
    assert metrics["stopped"] == "its 1.5 minutes are over"
    assert metrics["epochs"][-1]["part"] == 2 / 3
    remark = "it was trained for 1.667 of 9 epochs (its 1.5 minutes are over)"
    assert remark in read_run(result.files.folder).remarks
    assert train(replace(settings, resume=True)).epochs == result.epochs and len(steps) == 5
    more = train(replace(settings, resume=True, minutes=3.0))
    assert steps == [0, 1, 2, 0, 1, 2, 0, 1, 2]  # the rest of the second epoch first
    assert [(row.epoch, row.part) for row in more.epochs] == [(1, 1), (2, 1), (3, 1)]


@pytest.mark.parametrize(
    "recipe",
    [
        {"minutes": 1.5, "batch_size": 4},
        {"minutes": 1.5, "batch_size": 4, "val_every": 2, "ema": 0.9},
        {"minutes": 1.0, "batch_size": 2, "accumulate": 2, "optimizer": "sgd"},
        {"minutes": 0.3, "batch_size": 4, "workers": 1},
        {"minutes": 2.6, "batch_size": 4},
    ],
    ids=["second-epoch", "unscored-ema", "steps-of-two", "first-epoch", "last-epoch"],
)
def test_a_run_that_was_stopped_inside_an_epoch_ends_as_one_that_was_not(
    tiny_settings: MakeSettings, steps: list[int], recipe: dict
) -> None:
    recipe |= {"epochs": 3, "keep": "last"}
    unbroken = train(tiny_settings("unbroken", **recipe | {"minutes": None}))
    expected, steps[:] = list(steps), []
    settings = tiny_settings("stopped", **recipe)
    part = train(settings)
    assert part.epochs[-1].part < 1 and len(steps) < len(expected)
    assert read_metadata(part.files.model)["notes"]["part"] == part.epochs[-1].part
    again = train(replace(settings, resume=True))  # no time is left
    assert list(map(plain_row, again.epochs)) == list(map(plain_row, part.epochs))
    whole = train(replace(settings, resume=True, minutes=None))
    assert steps == expected
    rows = [_metrics(run)["epochs"] for run in (unbroken, whole)]
    for row in (*rows[0], *rows[1]):
        del row["seconds"], row["data_wait"]
    assert rows[0] == rows[1]
    assert "part" not in read_metadata(whole.files.model)["notes"]
    one, other = load_file(unbroken.files.model), load_file(whole.files.model)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_part_of_an_epoch_that_the_rest_made_worse_stays_the_best(
    tiny_settings: MakeSettings, steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _give_scores(monkeypatch, [50.0, 75.0, 25.0, 60.0])
    settings = tiny_settings(epochs=3, minutes=1.5, batch_size=4)
    model = load_file(train(settings).files.model)
    for minutes in (1.9, None):  # to the end of the second epoch, then to that of the run
        result = train(replace(settings, resume=True, minutes=minutes))
    metrics = _metrics(result)
    assert [row["top1"] for row in metrics["epochs"]] == [50.0, 25.0, 60.0]
    assert (metrics["best"]["epoch"], metrics["best"]["part"]) == (2, 2 / 3)
    notes = read_metadata(result.files.model)["notes"]
    assert (notes["epoch"], notes["part"]) == (2, 2 / 3)
    kept = load_file(result.files.model)
    assert all(torch.equal(model[name], kept[name]) for name in model)


def test_patience_and_an_ablation_need_scores(tiny_settings: MakeSettings) -> None:
    with pytest.raises(ValueError, match="--patience waits for a better validation score"):
        tiny_settings(patience=1, val_fraction=0.0)


def _give_scores(monkeypatch: pytest.MonkeyPatch, top1: list[float]) -> None:
    """Replace the top-1 of the epochs to come; the loss of each is its place."""
    scores, add = list(top1), record.RunRecord._add_epoch

    def give(self, *args) -> record.EpochRecord:
        row = add(self, *args)
        loss = float(len(top1) - len(scores))
        self.epochs[-1] = replace(row, top1=scores.pop(0), val_loss=loss)
        return self.epochs[-1]

    monkeypatch.setattr(record.RunRecord, "_add_epoch", give)


def test_a_training_that_diverges_stops_and_says_where(tiny_settings: MakeSettings) -> None:
    settings = tiny_settings(optimizer="sgd", lr=1e30, warmup_epochs=0, clip_gradient=0, epochs=1)
    with pytest.raises(ValueError, match=r"diverged: the loss of step 2 in epoch 1 is nan.*--lr"):
        train(settings)
    assert not (Path(settings.out) / "model.safetensors").exists()  # nothing that looks finished


def test_what_the_last_step_of_a_run_has_broken_is_noticed(tiny_settings: MakeSettings) -> None:
    """Its weights are finite still, and no other step follows."""
    recipe = {"optimizer": "sgd", "warmup_epochs": 0, "clip_gradient": 0, "scale_lr": False}
    settings = tiny_settings(lr=1e38, epochs=1, batch_size=12, **recipe)
    with pytest.raises(ValueError, match="diverged: the validation loss in epoch 1 is nan"):
        train(settings)
    assert not (Path(settings.out) / "model.safetensors").exists()


def test_with_float16_single_losses_may_be_infinite(tiny_settings: MakeSettings) -> None:
    plan = plan_run(tiny_settings())
    record = RunRecord(
        replace(plan, precision="16"),
        RunFiles(Path(plan.settings.out)),
        views="",
        origin=RunOrigin("random", ""),
    )
    trainer = SimpleNamespace(global_step=1, current_epoch=0)
    for loss in [math.inf] * 10 + [1.0] + [math.nan] * 19:
        record._refuse_divergence(loss, trainer)
    with pytest.raises(ValueError, match="diverged"):
        record._refuse_divergence(math.nan, trainer)
