"""Calibration and rejection against plain loops, NumPy and scikit-learn."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_auc_score, roc_curve

from mixtconv.cli.main import main
from mixtconv.data.listing import DataSource
from mixtconv.evaluation.calibrate import calibrate_model
from mixtconv.evaluation.confidence import (
    are_rejected,
    best_temperature,
    calibration,
    open_set_score,
    rejection,
    rejection_thresholds,
)
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.inference.loading import load_recognizer
from mixtconv.models import create_model, load_model, save_model
from mixtconv.models.file import read_metadata
from mixtconv.training.settings import TrainingSettings


def _random(count: int, num_classes: int, *, several: bool = False, seed: int = 0) -> tuple:
    """Logits that say something of the labels, but twice as surely as they are right."""
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(count, num_classes, generator=generator)
    chances = (logits / 2).sigmoid() if several else (logits / 2).softmax(dim=1)
    if several:
        return logits, torch.bernoulli(chances, generator=generator)
    return logits, torch.multinomial(chances, 1, generator=generator)[:, 0]


@pytest.mark.parametrize("several", [False, True])
def test_temperature_is_the_one_of_the_highest_likelihood(several: bool) -> None:
    logits, labels = _random(400, 5, several=several)

    def loss(temperature: float) -> float:
        """Of the labels, and of one more video of which nothing is known, spread over all."""
        values = (logits / temperature).double()
        share = (len(labels) + 1) / (len(labels) + 2)
        if several:
            targets = labels * share + 0.5 * (1 - share)
            return float(
                torch.nn.functional.binary_cross_entropy_with_logits(values, targets.double())
            )
        smoothing = 1 - share
        return float(torch.nn.functional.cross_entropy(values, labels, label_smoothing=smoothing))

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    found = best_temperature(logits, labels)
    assert found == pytest.approx(best.x, rel=1e-4) and 1.5 < found < 2.7


def test_temperature_of_videos_without_an_error_is_not_0() -> None:
    logits = 3 * torch.eye(4).repeat(5, 1)
    assert 0.2 < best_temperature(logits, torch.arange(4).repeat(5)) < 1


def test_temperature_of_scores_that_mislead_is_the_largest() -> None:
    assert best_temperature(torch.eye(2), torch.tensor([1, 0])) == pytest.approx(20, rel=1e-6)


@pytest.mark.parametrize("several", [False, True])
def test_calibration_error_is_the_weighted_distance_of_bins(several: bool) -> None:
    logits, labels = _random(300, 4, several=several, seed=1)
    scores = logits.double().sigmoid() if several else logits.double().softmax(dim=1)
    readable = torch.ones(300, dtype=torch.bool)
    readable[::7] = False
    confidences, hits = [], []
    for row, label in zip(scores[readable].tolist(), labels[readable].tolist(), strict=True):
        if several:
            confidences += row
            hits += label
        else:
            confidences.append(max(row))
            hits.append(float(row.index(max(row)) == label))
    bins: dict[int, list[tuple[float, float]]] = {}
    for confidence, hit in zip(confidences, hits, strict=True):
        bins.setdefault(min(int(confidence * 15), 14), []).append((confidence, hit))
    error = 0.0
    for pairs in bins.values():
        mean_confidence, accuracy = np.mean(pairs, axis=0)
        error += len(pairs) / len(hits) * abs(mean_confidence - accuracy)
    found = calibration(scores, labels, readable)
    assert found.calibration_error == pytest.approx(100 * error, rel=1e-5)
    if not several:
        own = [scores[n, labels[n]].item() for n in range(300) if readable[n]]
        assert found.negative_log_likelihood == pytest.approx(-np.mean(np.log(own)), rel=1e-6)


def test_no_readable_video_has_no_calibration() -> None:
    found = calibration(torch.eye(2), torch.tensor([0, 1]), torch.zeros(2, dtype=torch.bool))
    assert math.isnan(found.calibration_error)


def test_thresholds_keep_their_share_of_the_recognized_videos_of_each_class() -> None:
    """Of 200 videos in one class, and of 3 in the other, which has the threshold of all."""
    generator = torch.Generator().manual_seed(0)
    first = 0.5 + torch.rand(203, generator=generator) / 2
    first[200:] = 0.501
    scores = torch.stack([first, 1 - first], dim=1)
    scores[200:] = scores[200:].flip(1)
    labels = torch.tensor([0] * 200 + [1] * 3)
    limits = rejection_thresholds(scores, labels, keep=0.9)
    assert (first[:200] >= limits[0]).sum() == 180
    assert (first >= limits[1]).sum() == 203 - 20 and limits[1] != limits[0]
    rejected = are_rejected(scores, limits)
    plain = [row.max().item() < limits[int(row.argmax())] for row in scores]
    assert rejected.tolist() == plain
    wrong = torch.tensor([0] * 203)  # the last three are not recognized, and do not count
    assert rejection_thresholds(scores, wrong, keep=0.9) == (limits[0], limits[0])
    everything = rejection_thresholds(scores, labels, keep=1)
    assert not are_rejected(scores, everything).any()
    found = rejection(scores, labels, torch.ones(203, dtype=torch.bool), limits)
    assert found.rejected == pytest.approx(100 * sum(plain) / 203)
    assert found.right_rejected == found.rejected and found.top1_of_kept == 100


def test_open_set_is_scored_as_scikit_learn_does() -> None:
    known = _random(150, 4, seed=2)[0].softmax(dim=1)
    other = (_random(90, 4, seed=3)[0] / 2).softmax(dim=1)
    found = open_set_score(known, other, classes=["x"], num_videos=91, thresholds=[0.7] * 4)
    best = torch.cat([known, other]).max(dim=1).values.numpy()
    truth = np.r_[np.ones(150), np.zeros(90)]
    assert found.auroc == pytest.approx(100 * roc_auc_score(truth, best), rel=1e-5)
    false, true, _ = roc_curve(truth, best, drop_intermediate=False)
    assert found.fpr95 == pytest.approx(100 * false[np.argmax(true >= 0.95)])
    assert found.rejected == pytest.approx(100 * np.mean(best[150:] < 0.7))
    with pytest.raises(ValueError, match="0 readable videos of known classes"):
        open_set_score(known[:0], other, classes=["x"], num_videos=90)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Path) -> Path:
    """A recognizer of three of the four classes, untrained, with logits that differ."""
    names = sorted(path.name for path in (tiny_dataset / "train").iterdir())
    torch.manual_seed(0)
    model = create_model("mstnet_test_resnet", classes=names[:3], num_frames=4, image_size=32)
    with torch.no_grad():
        model.head.weight.mul_(30)
    path = tmp_path_factory.mktemp("calibrated") / "model.safetensors"
    save_model(model.eval(), path, notes={"events": {}})
    return path


@pytest.fixture(scope="module")
def known(tiny_dataset: Path, model_file: Path) -> DataSource:
    own = read_metadata(model_file)["spec"]["classes"]
    other = [path.name for path in (tiny_dataset / "train").iterdir() if path.name not in own]
    return DataSource(str(tiny_dataset), without=other)


def test_a_calibrated_file_gives_the_scores_of_divided_logits(
    model_file: Path, known: DataSource, tmp_path: Path, tiny_dataset: Path
) -> None:
    out = tmp_path / "calibrated.safetensors"
    settings = EvaluationSettings(split="train", workers=0)
    result = calibrate_model(model_file, known, out=out, settings=settings)
    video = next((tiny_dataset / "train").rglob("*.mp4"))
    before, after = (load_recognizer(path).logits(video) for path in (model_file, out))
    torch.testing.assert_close(after, before / result.temperature)
    scored = [evaluate_model(path, known, settings=settings) for path in (model_file, out)]
    assert scored[0].accuracy == scored[1].accuracy
    for found, expected in zip(scored, (result.before, result.after), strict=True):
        assert found.calibration.negative_log_likelihood == pytest.approx(
            expected.negative_log_likelihood, rel=1e-5
        )
    assert result.after.negative_log_likelihood < result.before.negative_log_likelihood
    notes = read_metadata(out)["notes"]
    assert "events" not in notes and any("tune-events" in note for note in result.notes)
    assert notes["calibration"]["temperature"] == result.temperature
    again = calibrate_model(out, known, settings=settings)
    assert again.temperature == pytest.approx(1, rel=1e-4)
    assert read_metadata(out)["notes"]["calibration"]["temperature"] == pytest.approx(
        result.temperature, rel=1e-4
    )


@pytest.mark.parametrize("tuned", [False, True])
def test_the_rate_of_frames_outlives_the_settings_of_events(
    model_file: Path, known: DataSource, tmp_path: Path, tuned: bool
) -> None:
    """Only settings depend on the scores, and only their loss is said."""
    path = tmp_path / "model.safetensors"
    events = {"times": {"fps": 8.0}} | ({"settings": {}, "facts": {}} if tuned else {})
    save_model(load_model(model_file), path, notes={"events": events})
    settings = EvaluationSettings(split="train", workers=0)
    result = calibrate_model(path, known, settings=settings)
    assert read_metadata(path)["notes"]["events"] == {"times": {"fps": 8.0}}
    assert any("tune-events" in note for note in result.notes) == tuned


def test_a_rejecting_model_gives_no_label_below_its_thresholds(
    model_file: Path, known: DataSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rejecting.safetensors"
    words = [str(model_file), known.data, "--without", f"[{known.without[0]}]"]
    words += ["--split", "train", "--workers", "0", "--format", "json"]
    assert main(["calibrate", *words, "--keep", "0.5", "--out", str(out)]) == 0
    limits = json.loads(capsys.readouterr().out)["thresholds"]
    assert len(limits) == 3
    videos = sorted(map(str, Path(known.data, "train").rglob("*.mp4")))
    assert main(["predict", str(model_file), *videos, "--top-k", "1", "--format", "json"]) == 0
    capsys.readouterr()
    assert main(["predict", str(out), *videos, "--top-k", "1", "--format", "json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    kept = [each for each in answers if each["predictions"]]
    rejected = [each["rejected"] for each in answers if not each["predictions"]]
    assert 0 < len(kept) < len(answers) and not any("rejected" in each for each in kept)
    assert all(best["score"] < limits[best["label"]] for best in rejected)
    best = [each["predictions"][0] for each in kept]
    assert all(each["score"] >= limits[each["label"]] for each in best)

    words[0] = str(out)
    words[2:4] = ["--open-set", "true"]
    assert main(["evaluate", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["num_videos"] == 9 and found["open_set"]["num_videos"] == 3
    assert found["open_set"]["classes"] == known.without
    own = [each for each in answers if Path(each["source"]).parent.name not in known.without]
    share = sum(not each["predictions"] for each in own) / 9
    assert found["rejection"]["rejected"] == pytest.approx(100 * share)
    other = [each for each in answers if each not in own]
    share = sum(not each["predictions"] for each in other) / 3
    assert found["open_set"]["rejected"] == pytest.approx(100 * share)


def test_what_cannot_be_calibrated_is_refused(
    model_file: Path, known: DataSource, tmp_path: Path, tiny_dataset: Path
) -> None:
    with pytest.raises(ValueError, match=r"--keep is 1\.5; give a share above 0, at most 1"):
        calibrate_model(model_file, known, keep=1.5)
    protocol = EvaluationSettings(protocol="nonlocal-10x3")
    with pytest.raises(ValueError, match="averages probabilities"):
        calibrate_model(model_file, known, settings=protocol)
    with pytest.raises(ValueError, match="--without leaves out"):
        calibrate_model(model_file, tiny_dataset, settings=EvaluationSettings(split="train"))
    with pytest.raises(ValueError, match="exported model"):
        calibrate_model("model.onnx", known)
    several = load_model(model_file)
    several.spec = replace(several.spec, label_thresholds=(0.5,) * 3)
    save_model(several, tmp_path / "several.safetensors")
    with pytest.raises(ValueError, match="several labels or none"):
        calibrate_model(tmp_path / "several.safetensors", known, keep=0.9)
    with pytest.raises(ValueError, match="leave one out"):
        replace(several.spec, rejection_thresholds=(0.5,) * 3)


def test_classes_left_out_are_no_classes_of_a_run(
    tiny_settings: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    from mixtconv.training.plan import plan_run

    settings = tiny_settings()
    names = sorted(path.name for path in Path(settings.data, "train").iterdir())
    plan = plan_run(replace(settings, without=[names[1]]))
    assert list(plan.catalog.classes) == [names[0], *names[2:]]
    assert len(plan.catalog.train) == 9
    with pytest.raises(ValueError, match=r"--without: .*nothing"):
        plan_run(replace(settings, without=["nothing"]))
