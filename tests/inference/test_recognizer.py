"""Prediction: ranked labels, the numbers of evaluation, and what cannot be read."""

import json
from pathlib import Path

import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.evaluation.scoring import score_videos
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.inference.collection import predict_collection
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import create_model, save_model


@pytest.fixture(scope="module")
def model_path(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = create_model(
        "mstnet_test_resnet",
        classes=load_catalog(tiny_dataset).classes,
        num_frames=4,
        image_size=32,
    )
    torch.nn.init.normal_(model.head.weight)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(model, path)
    return path


@pytest.mark.parametrize("protocol", ["1x1", "2x3"])
def test_prediction_and_evaluation_give_the_same_numbers(
    model_path: Path, tiny_dataset: Path, protocol: str
) -> None:
    recognizer = Recognizer(model_path, protocol=protocol)
    samples = load_catalog(tiny_dataset).val
    for batch_size, workers in ((1, 0), (5, 1)):
        settings = EvaluationSettings(protocol=protocol, batch_size=batch_size, workers=workers)
        scores = score_videos(recognizer.model, samples, settings)
        for sample, logits in zip(samples, scores.logits, strict=True):
            torch.testing.assert_close(recognizer.logits(sample.path), logits, atol=1e-5, rtol=1e-4)


def test_labels_are_ranked_and_scores_are_probabilities(
    model_path: Path, tiny_dataset: Path
) -> None:
    video = load_catalog(tiny_dataset).val[0].path
    recognizer = Recognizer(model_path)
    predictions = recognizer.predict(video)
    assert len(predictions) == 4  # of five asked for, there are four classes
    scores = [prediction.score for prediction in predictions]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1)
    best = recognizer.logits(video).argmax()
    assert predictions[0].label == recognizer.classes[best]
    assert recognizer.predict(video, top_k=2) == predictions[:2]
    with pytest.raises(ValueError, match="top_k is 0"):
        recognizer.predict(video, top_k=0)


def test_many_videos_are_named_by_folders_and_patterns(
    model_path: Path, tiny_dataset: Path
) -> None:
    done: list[tuple[int, int]] = []
    by_pattern = predict_collection(
        model_path,
        [str(tiny_dataset / "val" / "*" / "*.mp4")],
        progress=lambda number, total: done.append((number, total)),
    )
    assert done == [(number, 4) for number in range(1, 5)]
    assert predict_collection(model_path, [tiny_dataset / "val"]) == by_pattern
    recognizer = Recognizer(model_path)
    assert list(recognizer.predict_many([tiny_dataset / "val"])) == by_pattern
    assert by_pattern == [recognizer.try_predict(item.source) for item in by_pattern]


def test_the_command_prints_json_for_files_folders_and_patterns(
    model_path: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture
) -> None:
    videos = sorted((tiny_dataset / "val").rglob("*.mp4"))
    for source in (str(tiny_dataset / "val"), str(tiny_dataset / "val" / "*" / "*.mp4")):
        assert main(["predict", str(model_path), source, "--format", "json", "--top-k", "2"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert sorted(item["source"] for item in printed) == sorted(map(str, videos))
        for item in printed:
            assert set(item) == {"source", "predictions"}
            assert [set(entry) for entry in item["predictions"]] == [{"label", "score"}] * 2


def test_a_video_that_cannot_be_read_is_named_and_the_others_are_predicted(
    model_path: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    good = str(load_catalog(tiny_dataset).val[0].path)
    assert main(["predict", str(model_path), good, str(bad), "--format", "json"]) == 1
    captured = capsys.readouterr()
    first, second = json.loads(captured.out)
    assert first["predictions"]
    assert (second["source"], second["predictions"]) == (str(bad), [])
    assert second["error"]
    assert str(bad) in captured.err
    assert main(["predict", str(model_path), str(bad), "--format", "json"]) == 2


def test_the_evaluate_command_prints_the_promised_keys(
    model_path: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["evaluate", str(model_path), str(tiny_dataset), "--workers", "0"]
    assert main([*words, "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {
        "model",
        "data",
        "protocol",
        "num_videos",
        "top1",
        "top5",
        "mean_class_accuracy",
        "unreadable",
    } <= set(printed)
    assert (printed["protocol"], printed["num_videos"], printed["unreadable"]) == ("1x1", 4, [])
    assert main(words) == 0
    assert "1x1: 1 clip of 4 frames" in capsys.readouterr().out
