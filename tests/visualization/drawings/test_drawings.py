"""Pictures from model files and videos: their numbers, and the faults of what is given."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mixtconv.data.datasets.catalog import load_labelled_videos
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.scores_file import save_scores
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models import load_model, save_model
from mixtconv.visualization.clip_maps import ClipFeatures
from mixtconv.visualization.drawings import (
    draw_activation,
    draw_confusion,
    draw_kernels,
    draw_predictions,
    draw_tsne,
)
from mixtconv.visualization.drawings.tsne import drawing_of_features
from mixtconv.visualization.embedding import choose_clips

HERE = EvaluationSettings(split="train", workers=0, device="cpu")


@pytest.fixture
def with_bad_video(tiny_dataset: Path, tmp_path: Path) -> Path:
    """The dataset with one more training video, which is empty."""
    data = shutil.copytree(tiny_dataset, tmp_path / "data")
    first = min((data / "train").iterdir())
    (first / "bad.mp4").write_bytes(b"")
    return data


def test_two_models_are_drawn_on_the_same_clips(make_model, with_bad_video: Path) -> None:
    told: list[tuple[int, int]] = []
    drawing = draw_tsne(
        [make_model("tsn"), make_model("mstnet")], with_bad_video, reading=HERE,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert [item["model"] for item in drawing.numbers["models"]] == [
        "tsn_test_resnet",
        "mstnet_test_resnet",
    ]
    assert drawing.numbers["num_clips"] == 12 and len(drawing.spots) == 24
    assert [Path(video.path).name for video in drawing.unreadable] == ["bad.mp4"]
    assert told[-1] == (26, 26) and told == sorted(told)
    assert drawing.numbers["perplexity"] == pytest.approx(11 / 3)
    assert any("perplexity 3.67 instead of 30" in note for note in drawing.notes)
    again = draw_tsne([make_model("tsn")], with_bad_video, reading=HERE)
    assert again.numbers["models"][0] == drawing.numbers["models"][0]


def test_only_the_clips_that_are_shown_are_read(make_model, tiny_dataset: Path) -> None:
    told: list[int] = []
    drawing = draw_tsne(
        [make_model()], tiny_dataset, reading=HERE, max_clips=5,
        progress=lambda done, total: told.append(total),
    )  # fmt: skip
    assert drawing.numbers["num_clips"] == 5 and drawing.numbers["num_left_out"] == 7
    assert set(told) == {5}
    assert any("5 of 12 clips are shown" in note for note in drawing.notes)


def test_of_very_many_features_some_are_shown_and_it_is_said() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200_000)
    features = (np.eye(3, 8)[labels] + rng.normal(0, 0.1, (200_000, 8))).astype(np.float32)
    chosen = choose_clips(labels, limit=90)
    clips = tuple(f"{number}.mp4" for number in chosen)
    found = ClipFeatures({"a": features[chosen]}, labels[chosen], clips, num_left_out=199_910)
    drawing = drawing_of_features(found, ["x", "y", "z"])
    assert drawing.numbers["num_clips"] == 90 and drawing.numbers["num_left_out"] == 199_910
    assert any("90 of 200000 clips are shown" in note for note in drawing.notes)
    assert drawing.numbers["models"][0]["neighbourhood_accuracy"] == 100
    spot = drawing.spots[7]
    label, clip = spot.text.split("\n")
    assert ["x", "y", "z"][labels[int(clip.removesuffix(".mp4"))]] == label == spot.group


@pytest.mark.parametrize(("num_clips", "says"), [(1, "one clip only"), (3, "one class only")])
def test_one_clip_or_one_class(num_clips: int, says: str) -> None:
    features = np.random.default_rng(0).normal(size=(num_clips, 8)).astype(np.float32)
    found = ClipFeatures({"a": features}, np.zeros(num_clips, int), ("a",) * num_clips)
    drawing = drawing_of_features(found, ["x", "y"])
    assert drawing.numbers["models"][0]["neighbourhood_accuracy"] is None
    assert any(says in note for note in drawing.notes)


def test_models_of_other_classes_are_refused(make_model, tiny_dataset: Path) -> None:
    other = make_model(classes=["jump", "run"])
    for draw in (
        lambda: draw_tsne([make_model(), other], tiny_dataset, reading=HERE),
        lambda: draw_confusion(other, tiny_dataset, reading=HERE),
        lambda: draw_predictions(other, tiny_dataset, reading=HERE),
    ):
        with pytest.raises(ValueError, match="not among the 2 known"):
            draw()


def test_kernels_are_those_of_the_layers(make_model) -> None:
    path = make_model()
    drawing = draw_kernels(path)
    layers = [name for name, _ in load_model(path).named_modules() if name.endswith(".temporal")]
    assert len(drawing.numbers["groups"]) == 4 * len(layers) == len(drawing.rows)
    for group in drawing.numbers["groups"]:
        assert group["relative_change"] == 0 and sum(group["learned_shares"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("family", "why"),
    [("tsn", "no temporal operation"), ("tsm", "learns nothing"), ("conv1d", "mix all channels")],
)
def test_models_without_kernels_of_channels_say_why(make_model, family: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"{family}_test_resnet has no temporal kernels.*{why}"):
        draw_kernels(make_model(family))


def test_confusions_of_a_model_and_of_its_scores_are_the_same(
    make_model, with_bad_video: Path, tmp_path: Path
) -> None:
    path = make_model()
    drawing = draw_confusion(path, with_bad_video, reading=HERE)
    scores = evaluate_model(path, with_bad_video, settings=HERE).scores
    save_scores(scores, tmp_path / "scores.safetensors")
    from_file = draw_confusion(tmp_path / "scores.safetensors")
    assert from_file.numbers == drawing.numbers
    matrix = np.array(drawing.numbers["matrix"])
    assert matrix.sum() == drawing.numbers["num_clips"] == 12
    assert matrix.trace() == drawing.numbers["num_right"]
    assert len(drawing.unreadable) == 1
    off = matrix.sum() - matrix.trace()
    assert sum(item["count"] for item in drawing.numbers["top_confusions"]) == off


def test_classes_that_do_not_fit_the_matrix_are_listed_below_it() -> None:
    import torch

    from mixtconv.evaluation.scores_file import SavedScores, ScoreSource
    from mixtconv.visualization.drawings.confusion import drawing_of_scores

    names = tuple(f"Putting something number {n} onto something" for n in range(60))
    scores = SavedScores(
        names, tuple(map(str, range(60))), torch.arange(60), torch.eye(60), "logits",
        (ScoreSource("a", "rgb", "b", "1x1", ""),),
    )  # fmt: skip
    drawing = drawing_of_scores(scores, title="a")
    texts = " ".join(text.get_text() for text in drawing.figure.texts)
    assert all(f"{n + 1} {name}" in texts for n, name in enumerate(names))


def test_predictions_are_those_of_the_model(make_model, with_bad_video: Path) -> None:
    path = make_model()
    drawing = draw_predictions(path, with_bad_video, reading=HERE, num_wrong=3, num_right=2)
    shown = drawing.numbers["shown"]
    assert [item["right"] for item in shown] == sorted(item["right"] for item in shown)
    for right in (False, True):
        scores = [item["score"] for item in shown if item["right"] == right]
        assert scores == sorted(scores, reverse=True)
    model = load_model(path)
    samples = load_labelled_videos(with_bad_video, classes=model.spec.classes, split="train")
    truth = {str(sample.path): model.spec.classes[sample.label] for sample in samples}
    assert all(truth[item["path"]] == item["label"] for item in shown)
    assert drawing.numbers["num_wrong"] + drawing.numbers["num_right"] == 12
    assert len(drawing.unreadable) == 1 and len(drawing.figure.axes) == len(shown)


def test_activation_of_several_videos_names_the_unreadable(
    make_model, with_bad_video: Path
) -> None:
    folder = min((with_bad_video / "train").iterdir())
    videos = sorted(folder.iterdir())
    path = make_model()
    drawing = draw_activation(path, videos, device="cpu")
    assert [Path(video.path).name for video in drawing.unreadable] == ["bad.mp4"]
    assert len(drawing.numbers["videos"]) == 3 and drawing.animation is None
    assert len(drawing.figure.axes) == 6
    for item in drawing.numbers["videos"]:
        assert sum(item["share_of_frames"]) == pytest.approx(1) and len(item["frames"]) == 4
    with pytest.raises(ValueError, match="none of the videos can be read"):
        draw_activation(path, [folder / "bad.mp4"])
    with pytest.raises(ValueError, match="unknown class 'jump'"):
        draw_activation(path, videos, label="jump")


def test_where_nothing_speaks_for_a_class_it_is_said(make_model, tiny_dataset: Path) -> None:
    video = min((tiny_dataset / "val").rglob("*.mp4"))
    path = make_model()
    model = load_model(path)
    with torch.no_grad():  # the first class grows where any feature falls, and features are >= 0
        model.head.weight[0] = -1
    save_model(model, path)
    drawing = draw_activation(path, [video], label=model.spec.classes[0], device="cpu")
    assert drawing.numbers["videos"][0]["share_of_frames"] == [0, 0, 0, 0]
    assert f"{video.name}: no place of its frames contributes to" in drawing.notes[1]


def test_a_diverged_model_is_refused(make_model, tiny_dataset: Path) -> None:
    path = make_model("mstnet")
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors["head.weight"].fill_(float("nan"))
    save_file(tensors, path, metadata=metadata)
    for draw in (
        lambda: draw_kernels(path),
        lambda: draw_activation(path, [min(tiny_dataset.rglob("*.mp4"))], device="cpu"),
        lambda: draw_tsne([path], tiny_dataset, reading=HERE),
        lambda: draw_confusion(path, tiny_dataset, reading=HERE),
        lambda: draw_predictions(path, tiny_dataset, reading=HERE),
    ):
        with pytest.raises(ValueError, match="diverged in training"):
            draw()


def test_several_clips_of_one_video_make_a_film_in_order(make_model, tiny_dataset: Path) -> None:
    video = min((tiny_dataset / "train").rglob("*.mp4"))
    drawing = draw_activation(make_model(), [video], num_clips=3, device="cpu")
    frames = drawing.numbers["videos"][0]["frames"]
    assert frames == sorted(frames) and len(frames) == 12
    assert drawing.animation is not None
    assert len(drawing.animation.frames) == 12 and drawing.animation.frames_per_second > 0
    assert all(side % 2 == 0 for side in drawing.animation.frames.shape[1:3])


def test_a_missing_library_is_named_with_the_command(monkeypatch, make_model, tiny_dataset) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ValueError, match=r"pip install scikit-learn$"):
        draw_tsne([make_model()], tiny_dataset, reading=HERE)
