"""Runs on classes of uneven size: what is drawn, by what the best epoch is chosen, what is said."""

import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mixtconv.cli.main import main
from mixtconv.data.listing import VideoSample
from mixtconv.training.data import epoch_sampler
from mixtconv.training.fit import train
from mixtconv.training.record import RunRecord
from mixtconv.training.run_folder import EpochRecord, RunFiles, load_settings
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]


@pytest.fixture
def uneven(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A list of two classes, one with four times the videos of the other to train on."""
    lines = ["path,label,split"]
    for split in ("train", "val"):
        for path in sorted((tiny_dataset / split).glob("*/*")):
            lines.append(f"{path},all,{split}")
    lines[-1] = lines[-1].replace(",all,", ",last,")
    for number in (1, 5, 9):  # of 12 to train on
        lines[number] = lines[number].replace(",all,", ",last,")
    data = tmp_path / "uneven.csv"
    data.write_text("\n".join(lines) + "\n")
    return data


def test_a_balanced_run_draws_evenly_says_what_is_small_and_goes_on_where_it_was(
    uneven: Path, tiny_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = {"data": str(uneven), "balance": "sampler", "best_by": "macro", "val_every": 2}
    with caplog.at_level(logging.INFO):
        whole = train(tiny_settings("whole", **recipe))
    said = "\n".join(caplog.messages)
    assert "2 classes too small to judge: 'last' (1), 'all' (3)" in said
    assert "mean class" in said
    cut = tiny_settings("cut", **recipe, minutes=1e-6)  # one step
    train(cut)
    assert load_settings(RunFiles(Path(cut.out)).config).balance == "sampler"
    train(replace(cut, minutes=None, resume=True))
    one, other = load_file(whole.files.model), load_file(RunFiles(Path(cut.out)).model)
    assert all(torch.equal(one[name], other[name]) for name in one)
    plain = train(tiny_settings("plain", **{**recipe, "balance": "none"}))
    weighted = train(tiny_settings("weighted", **{**recipe, "balance": "weights"}))
    losses = [run.epochs[0].train_loss for run in (whole, plain, weighted)]
    assert len(set(losses)) == 3


@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_epochs_of_a_run_are_balanced_on_request(balance: str, tiny_settings: MakeSettings) -> None:
    samples = [VideoSample(Path(f"{number}.mp4"), int(number < 2)) for number in range(10)]
    sampler = epoch_sampler(samples, tiny_settings(balance=balance))
    drawn = Counter(samples[key.number].label for key in sampler)
    assert drawn == ({0: 5, 1: 5} if balance == "sampler" else {0: 8, 1: 2})


@pytest.mark.parametrize(("best_by", "epoch"), [("top1", 1), ("macro", 3)])
def test_the_best_epoch_is_chosen_by_the_measure_and_patience_waits_for_it(
    best_by: str, epoch: int, tiny_settings: MakeSettings
) -> None:
    record = RunRecord.__new__(RunRecord)
    record.settings = tiny_settings(best_by=best_by, patience=2)
    record.measure = record.settings.measure(several=False)
    scores = [(90.0, 50.0), (80.0, 55.0), (70.0, 60.0)]
    record.epochs = [
        EpochRecord(number, 1.0, 1.0, top1, 100.0, macro, 0.1, 1.0, 0.0, 0)
        for number, (top1, macro) in enumerate(scores, 1)
    ]
    record._cut = []
    assert record.best is record.epochs[epoch - 1] is record.kept
    trainer = type("Trainer", (), {"world_size": 1})()
    assert (record._why_stop(trainer, 0) is not None) == (best_by == "top1")


def test_evaluate_gives_each_class_its_videos_and_how_sure_its_score_is(
    uneven: Path, tiny_settings: MakeSettings, capsys: pytest.CaptureFixture
) -> None:
    run = train(tiny_settings(data=str(uneven), epochs=1))
    words = ["evaluate", str(run.files.model), str(uneven), "--workers", "0", "--device", "cpu"]
    assert main([*words, "--format", "json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["num_videos"]) for each in scored["classes"]] == [
        ("all", 3),
        ("last", 1),
    ]
    assert scored["too_small"] == ["last", "all"]
    for each in scored["classes"]:
        low, high = each["interval"]
        assert low <= each["accuracy"] <= high and high - low > 40
    mean = sum(each["accuracy"] for each in scored["classes"]) / 2
    assert scored["mean_class_accuracy"] == pytest.approx(mean)
    assert main(words) == 0
    assert "2 classes too small to judge" in "".join(capsys.readouterr())


@pytest.mark.parametrize("best_by", ["top1", "macro"])
def test_heads_are_compared_by_the_measure(
    best_by: str, uneven: Path, tiny_settings: MakeSettings
) -> None:
    """A head that takes every clip for the larger class has more right, but one class of two."""
    from mixtconv.training.head_search import CandidateScore, candidates, ranked

    settings = tiny_settings(train="head", best_by=best_by)
    first, second = candidates(settings)[:2]
    scores = [
        CandidateScore(first, 75.0, 50.0, (75.0,), 0.1, 3),
        CandidateScore(second, 70.0, 70.0, (70.0,), 0.2, 3),
    ]
    best = ranked(scores, settings.measure(several=False))[0].candidate
    assert best == (first if best_by == "top1" else second)
