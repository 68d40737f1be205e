"""Scores in a file: what is written is read, and what is no scores file is said to be none."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mixtconv.cli.main import main
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.scores_file import (
    SCORES_KEY,
    SavedScores,
    ScoreSource,
    load_scores,
    refuse_scores_path,
    save_scores,
)
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import create_model, save_model

SOURCE = ScoreSource("m.safetensors", "rgb", "clips", "1x1", "1x1: 1 clip of 8 frames")


def some_scores(num_videos: int = 6, num_classes: int = 4) -> SavedScores:
    rng = np.random.default_rng(0)
    return SavedScores(
        classes=tuple(f"class {chr(228 + k)}" for k in range(num_classes)),
        keys=tuple(f"a b/{n}" for n in range(num_videos)),
        labels=torch.arange(num_videos) % (num_classes - 1),  # the last class has no videos
        scores=torch.tensor(rng.normal(size=(num_videos, num_classes)), dtype=torch.float32),
        kind="logits",
        sources=(SOURCE,),
        unreadable={"a b/1": "it is empty"},
    )


@pytest.fixture(scope="module")
def model_path(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    classes = load_catalog(tiny_dataset).classes
    model = create_model("mstnet_test_resnet", classes=classes, num_frames=2, image_size=32)
    torch.nn.init.normal_(model.head.weight)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(model, path)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    scores = some_scores()
    save_scores(scores, tmp_path / "new folder" / "scores.safetensors")
    read = load_scores(tmp_path / "new folder" / "scores.safetensors")
    assert torch.equal(read.scores, scores.scores)
    assert torch.equal(read.labels, scores.labels)
    same = replace(read, scores=scores.scores, labels=scores.labels)
    assert same == scores
    assert (read.modality, read.protocol) == ("rgb", "1x1")
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["scores.safetensors"]


def test_class_names_are_read_with_their_accents_composed(tmp_path: Path) -> None:
    composed, apart = ("wave", "caf\xe9", "c", "d"), ("wave", "cafe\u0301", "c", "d")
    assert create_model("mstnet_test_resnet", classes=apart).spec.classes == composed
    save_scores(replace(some_scores(), classes=apart), tmp_path / "scores.safetensors")
    assert load_scores(tmp_path / "scores.safetensors").classes == composed
    both = create_model("mstnet_test_resnet", classes=("cafe\u0301", "caf\xe9")).spec.classes
    assert both == ("cafe\u0301", "caf\xe9")  # a model that was trained on them as two


def test_accuracies_and_confusions_equal_counting_by_hand() -> None:
    scores = some_scores(40)
    values, labels = scores.scores.numpy(), scores.labels.numpy()
    counts = np.zeros((4, 4), dtype=int)
    hits: dict[int, list[float]] = {k: [] for k in range(4)}
    for key, row, label in zip(scores.keys, values, labels, strict=True):
        readable = key != "a b/1"
        counts[label, row.argmax()] += readable
        hits[int(label)].append(100.0 * (readable and row.argmax() == label))
    assert scores.confusion().tolist() == counts.tolist()
    by_class = scores.class_accuracies().tolist()
    assert by_class[:3] == pytest.approx([np.mean(hits[k]) for k in range(3)])
    assert np.isnan(by_class[3])
    assert scores.accuracy().mean_class_accuracy == pytest.approx(np.mean(by_class[:3]))


def test_a_video_that_could_not_be_read_counts_as_wrong_even_with_the_best_scores() -> None:
    scores = some_scores()
    right = replace(scores, scores=torch.eye(4)[scores.labels])
    assert right.accuracy().top1 == pytest.approx(100 * 5 / 6)
    assert right.class_accuracies().tolist()[:3] == pytest.approx([100, 50, 100])
    assert replace(right, unreadable={}).accuracy().top1 == 100


def test_probabilities_are_those_of_either_kind() -> None:
    scores = some_scores()
    exponentials = np.exp(scores.scores.numpy().astype(float))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    probabilities = scores.probabilities()
    np.testing.assert_allclose(probabilities.numpy(), expected, rtol=1e-5)
    again = replace(scores, scores=probabilities, kind="probabilities")
    assert torch.equal(again.probabilities(), probabilities)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": ("x",) * 6}, "videos named twice: x"),
        ({"keys": ("x", "y")}, "2 videos and 4 classes, but scores"),
        ({"labels": torch.tensor([0, 1, 2, 4, 0, 0])}, "labels outside 0 to 3"),
        ({"labels": torch.zeros(6, dtype=torch.int32)}, "not float32 and int64"),
        ({"scores": torch.full((6, 4), torch.nan)}, "no finite numbers"),
        ({"kind": "guesses"}, "guesses"),
        ({"unreadable": {"z": ""}}, "without scores: z"),
    ],
)
def test_scores_that_contradict_themselves_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(some_scores(), **change)


def test_a_file_that_holds_no_scores_is_said_to_be_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(ValueError, match=r"there is no scores file .*--scores"):
        load_scores(path)
    save_scores(some_scores(), path)
    whole = path.read_bytes()
    for content, message in [
        (b"", "it is empty"),
        (b"some text", "neither safetensors"),
        (pickle.dumps([1]), "a Python pickle, which is never opened"),
        (whole[:-5], "cut short or damaged"),
        (whole.replace(b'\\"kind', b'\\"bind'), "damaged or of another version"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load_scores(path)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="but not a scores file"):
        load_scores(path)
    save_file({"labels": torch.zeros(2)}, path, metadata={SCORES_KEY: "{}"})
    with pytest.raises(ValueError, match="not a scores file"):
        load_scores(path)


def test_evaluate_saves_the_scores_that_a_video_gets_alone(
    model_path: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "scores.safetensors"
    words = ["evaluate", str(model_path), str(tiny_dataset), "--workers", "0", "--format", "json"]
    assert main([*words, "--scores", str(path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    saved = load_scores(path)
    assert printed["scores"] == str(path)
    assert printed["top1"] == saved.accuracy().top1
    recognizer = Recognizer(model_path)
    videos = load_catalog(tiny_dataset).val
    assert len(saved.keys) == len(videos)
    for key, label, row in zip(saved.keys, saved.labels, saved.scores, strict=True):
        path = tiny_dataset / "val" / f"{key}.mp4"
        assert saved.classes[label] == path.parent.name
        torch.testing.assert_close(recognizer.logits(path), row, atol=1e-5, rtol=1e-4)
    (source,) = saved.sources
    assert (source.model, source.data) == (str(model_path), str(tiny_dataset))
    assert source.protocol_description.startswith("1x1: 1 clip of 2 frames")


def test_an_unreadable_video_is_in_the_file_as_such(
    model_path: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / load_catalog(tiny_dataset).classes[0]
    folder.mkdir(parents=True)
    (folder / "bad.mp4").write_text("no video")
    result = evaluate_model(
        model_path,
        tmp_path / "data",
        settings=EvaluationSettings(workers=0),
        scores_path=tmp_path / "s.safetensors",
    )
    saved = load_scores(tmp_path / "s.safetensors")
    assert list(saved.unreadable) == [f"{folder.name}/bad"]
    assert list(saved.unreadable.values()) == [result.unreadable[0].reason]
    assert saved.accuracy().top1 == result.accuracy.top1 == 0
    assert saved.confusion().sum() == 0


def test_a_path_that_cannot_be_written_is_refused_before_the_work(
    model_path: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["evaluate", str(model_path), str(tmp_path / "no data"), "--scores"]
    (tmp_path / "file").write_text("kept")
    for path, message in [
        (tmp_path, "this is a folder"),
        (tmp_path / "file" / "scores.safetensors", "is a file, no folder can be there"),
        (tmp_path / "file", "holds no scores, so it is not replaced"),
        (model_path, "holds no scores, so it is not replaced"),
        (Path("/proc/scores.safetensors"), "/proc/scores.safetensors"),
    ]:
        assert main([*words, str(path)]) == 2
        said = capsys.readouterr().err.strip()
        assert message in said
        assert "\n" not in said
    assert (tmp_path / "file").read_text() == "kept"
    save_scores(some_scores(), tmp_path / "old.safetensors")
    refuse_scores_path(tmp_path / "old.safetensors")
    refuse_scores_path(tmp_path / "new.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "old.safetensors"]
