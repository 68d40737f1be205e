"""Several labels a video, end to end: trained, resumed, evaluated, predicted, drawn, reported."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mixtconv.cli.main import main
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.multi_label import best_thresholds
from mixtconv.evaluation.scores_file import load_scores
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import create_model, load_model, save_model
from mixtconv.training.fit import train
from mixtconv.training.run_folder import RunFiles
from mixtconv.training.settings import TrainingSettings
from mixtconv.video.writer import write_video

MakeSettings = Callable[..., TrainingSettings]

NAMES = ("bright", "flicker")
RECIPE = {"model": "tsn_test_resnet", "modality": "rgb", "flip": False, "dropout": 0.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips whose left half flickers, whose right half is bright, both or neither."""
    folder = tmp_path_factory.mktemp("several")
    chance = np.random.default_rng(0)
    lines = ["path,label,split"]
    for number in range(16):
        labels = [name for place, name in enumerate(NAMES) if number >> place & 1]
        frames = chance.integers(60, 90, (4, 32, 32, 3), dtype=np.uint8)
        if "flicker" in labels:
            frames[::2, :, :14] += 120
        if "bright" in labels:
            frames[:, :, 18:] += 120
        write_video(folder / f"{number}.mkv", frames, frames_per_second=10)
        split = "val" if number < 4 else "train"
        lines.append(f"{number}.mkv,{'|'.join(labels)},{split}")
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run of some epochs, asymmetric, smoothed, weighted and mixed."""
    settings = TrainingSettings(
        data=str(data),
        out=str(tmp_path_factory.mktemp("run") / "run"),
        weights="none",
        num_frames=4,
        image_size=32,
        epochs=8,
        batch_size=4,
        workers=0,
        device="cpu",
        lr=0.02,
        balance="weights",
        label_smoothing=0.05,
        mixup=0.1,
        gamma_negative=1.0,
        negative_margin=0.05,
        **RECIPE,
    )
    return SimpleNamespace(settings=settings, result=train(settings), data=data)


def _evaluated(trained: SimpleNamespace, **options):
    settings = EvaluationSettings(workers=0, device="cpu")
    return evaluate_model(trained.result.files.model, trained.data, settings=settings, **options)


def test_the_model_file_says_what_it_gives_and_its_scores_are_those_of_evaluate(
    trained: SimpleNamespace, tmp_path: Path
) -> None:
    files, kept = trained.result.files, trained.result.best
    record = json.loads(files.metrics.read_text())
    assert record["labels"] == "several" and record["best"]["top1"] is None
    best = max(row["mean_average_precision"] for row in record["epochs"])
    assert record["best"]["mean_average_precision"] == best == kept.mean_average_precision
    assert kept.mean_average_precision > 90  # it has learned
    spec = load_model(files.model).spec
    assert spec.classes == NAMES and spec.several_labels
    scored = _evaluated(trained, scores_path=tmp_path / "scores.safetensors")
    assert scored.several is not None
    assert scored.several.mean_average_precision == pytest.approx(kept.mean_average_precision)
    assert scored.several.macro_f1 == pytest.approx(kept.macro_f1)
    saved = load_scores(tmp_path / "scores.safetensors")
    assert saved.thresholds == spec.label_thresholds
    assert saved.thresholds == pytest.approx(best_thresholds(saved.probabilities(), saved.labels))
    assert torch.equal(saved.labels, torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).flip(1))
    assert json.dumps(scored.to_dict())


def test_prediction_gives_the_labels_that_reach_their_thresholds(
    trained: SimpleNamespace, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    model = trained.result.files.model
    samples = load_catalog(trained.data).val
    recognizer = Recognizer(model, device="cpu")
    thresholds = dict(zip(NAMES, recognizer.spec.label_thresholds or (), strict=True))
    for sample in samples:
        scores = torch.sigmoid(recognizer.logits(sample.path))
        expected = {n: float(s) for n, s in zip(NAMES, scores, strict=True) if s >= thresholds[n]}
        found = recognizer.predict(sample.path, top_k=1)
        assert {each.label: each.score for each in found} == pytest.approx(expected)
        assert [each.score for each in found] == sorted((e.score for e in found), reverse=True)
    videos = [str(sample.path) for sample in samples]
    assert main(["predict", str(model), *videos, "--device", "cpu", "--format", "json"]) == 0
    assert [len(each["predictions"]) for each in json.loads(capsys.readouterr().out)] == [
        0,
        1,
        1,
        2,
    ]
    assert main(["predict", str(model), *videos, "--device", "cpu"]) == 0
    assert "(no label)" in capsys.readouterr().out
    out = [str(tmp_path / name) for name in ("t.csv", "t.srt", "t.mp4")]
    words = ["predict", str(model), videos[3], "--device", "cpu", "--window", "2f", "--merge"]
    assert main([*words, "--out", ",".join(out), "--format", "json"]) == 0
    (timeline,) = json.loads(capsys.readouterr().out)
    assert {each["label"] for each in timeline["segments"]} == set(NAMES)
    assert all(Path(path).stat().st_size for path in out)


def test_views_and_probabilities_are_averaged_label_by_label(trained: SimpleNamespace) -> None:
    model = trained.result.files.model
    video = load_catalog(trained.data).val[3].path
    several = Recognizer(model, device="cpu", protocol="stadapter-3x1")
    views = several.reader.read(video).frames
    each = [several.view_logits(views[place : place + 1]) for place in range(len(views))]
    assert len(each) == 3
    expected = torch.stack(each).sigmoid().mean(dim=0)
    torch.testing.assert_close(several.view_logits(views).sigmoid(), expected)


def test_a_run_goes_on_as_one_that_was_not_stopped(
    trained: SimpleNamespace, tmp_path: Path
) -> None:
    settings = replace(trained.settings, out=str(tmp_path / "cut"), minutes=1e-6)
    train(settings)
    train(replace(settings, minutes=None, resume=True))
    one, other = load_file(trained.result.files.model), load_file(RunFiles(tmp_path / "cut").model)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_student_learns_several_labels_from_a_teacher(
    trained: SimpleNamespace, tmp_path: Path
) -> None:
    """Of a teacher that is sure of all labels, all are learned; mutual learning goes with it."""
    spec = load_model(trained.result.files.model).spec

    def all_of_them(clips: torch.Tensor) -> torch.Tensor:
        return torch.full((len(clips), spec.num_classes), 9.0)

    settings = replace(
        trained.settings, out=str(tmp_path / "student"), teacher_weight=1.0, temperature=1.0
    )
    result = train(replace(settings, keep="last"), teacher=all_of_them)
    model = load_model(result.files.model).eval()
    size, count = model.spec.image_size, model.spec.num_frames
    clips = torch.randint(0, 256, (2, count, 3, size, size), dtype=torch.uint8)
    with torch.no_grad():
        assert bool((model(model.normalize(clips)).sigmoid() > 0.5).all())
    again = replace(
        settings,
        out=str(tmp_path / "again"),
        teacher=str(result.files.model),
        mutual=settings.model,
        epochs=1,
    )
    partner = load_model(train(again).files.partner)
    assert partner.spec.several_labels and partner.spec.classes == spec.classes


def test_a_page_shows_cooccurrences(
    trained: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    page = tmp_path / "report.html"
    run = str(trained.result.files.folder)
    words = ["report", run, "--out", str(page), "--workers", "0", "--device", "cpu"]
    assert main([*words, "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert found["scores"][0]["mean_average_precision"] == pytest.approx(
        trained.result.best.mean_average_precision
    )
    text = page.read_text()
    assert "Co-occurrence matrix of" in text and "Confusion matrix" not in text
    assert "mAP (%)" in text and "Top-1" not in text
    scores = tmp_path / "scores.safetensors"
    scored = _evaluated(trained, scores_path=scores)
    picture = tmp_path / "matrix.png"
    assert (
        main(["visualize", "confusion", str(scores), "--out", str(picture), "--format", "json"])
        == 0
    )
    drawn = json.loads(capsys.readouterr().out)
    truth = scored.scores.labels
    given = scored.scores.probabilities() >= torch.tensor(scored.scores.thresholds)
    order = [NAMES.index(name) for name in drawn["order"]]
    expected = [
        [int((truth[:, row].bool() & given[:, column]).sum()) for column in order] for row in order
    ]
    assert drawn["matrix"] == expected and drawn["num_clips"] == 4


def test_what_is_of_one_label_refuses_several_in_one_line(
    trained: SimpleNamespace,
    tiny_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    data, model = str(trained.data), str(trained.result.files.model)
    out = ["--out", str(tmp_path / "other")]
    for name in "ab":
        _evaluated(trained, scores_path=tmp_path / f"{name}.safetensors")
    scores = [str(tmp_path / f"{name}.safetensors") for name in "ab"]
    for words, reason in (
        (["fit", data, *out], "fit takes one label a video"),
        (["ablate", data, *out], "compares top-1 of one label"),
        (["train", data, *out, "--balance", "sampler"], "give --balance weights"),
        (["train", data, *out, "--best-by", "macro"], "give map or f1"),
        (["train", str(tiny_dataset), *out, "--gamma-negative", "4"], "leave it out"),
        (["fuse", *scores], "several labels a video"),
        (["visualize", "predictions", model, data], "mixtconv visualize confusion"),
        (["visualize", "tsne", model, data, "--workers", "0"], "one label each"),
        (["evaluate", model, data, "--labels", "one"], "was trained with several"),
    ):
        capsys.readouterr()
        assert main(words) == 2, words
        errors = capsys.readouterr().err.splitlines()
        assert reason in errors[-1], (words, errors)


def test_a_head_alone_is_trained_on_several_labels_and_a_grid_is_refused(
    data: Path, tiny_settings: MakeSettings
) -> None:
    recipe = {**RECIPE, "data": str(data), "train": "head", "feature_head": "average"}
    grid_of_one = {"lr": 0.1, "weight_decay": 0.0, "less_mean": False, "crops": 1}
    run = train(tiny_settings("one", **recipe, **grid_of_one))
    assert load_model(run.files.model).spec.several_labels
    with pytest.raises(ValueError, match="give one head with --feature-head"):
        train(tiny_settings("grid", **recipe))


def test_files_of_models_of_one_label_are_as_before(tmp_path: Path) -> None:
    model = create_model("tsn_test_resnet", classes=["a", "b"])
    assert "label_thresholds" not in model.spec.to_dict()
    model.spec = replace(model.spec, label_thresholds=(0.25, 0.75))
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert again.spec == model.spec
    again.reset_classifier(classes=["a", "b", "c"])
    assert again.spec.label_thresholds == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="label_thresholds"):
        replace(model.spec, label_thresholds=(0.5,))
