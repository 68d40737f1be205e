"""When a run ends, and which epoch it keeps."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mixtconv.data.datasets.catalog import load_catalog, load_labelled_videos
from mixtconv.models import read_metadata
from mixtconv.training import record
from mixtconv.training.fit import TrainingResult, train
from mixtconv.training.run_folder import read_run
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


def test_a_run_stops_when_its_minutes_are_over_and_goes_on_with_more(
    tiny_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    def seconds() -> float:  # 20 more with each step
        return 20.0 * steps

    end_of_step = record.RunRecord.on_train_batch_end

    def count(self, *args) -> None:
        nonlocal steps
        steps += 1
        end_of_step(self, *args)

    monkeypatch.setattr(record.RunRecord, "on_train_batch_end", count)
    monkeypatch.setattr(record.RunRecord, "_seconds", property(lambda self: seconds()))
    settings = tiny_settings(epochs=9, minutes=1.5, batch_size=4)  # three steps an epoch
    began = time.monotonic()
    result = train(settings)
    assert steps == 5 and time.monotonic() - began < 60
    assert [row.epoch for row in result.epochs] == [1, 2]
    assert not math.isnan(result.epochs[-1].top1)
    assert _metrics(result)["stopped"] == "its 1.5 minutes are over"
    assert train(replace(settings, resume=True)).epochs == result.epochs and steps == 5
    more = train(replace(settings, resume=True, minutes=3.0))
    assert steps == 9 and len(more.epochs) >= 3


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
