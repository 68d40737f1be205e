"""`mixtconv visualize`: files and numbers, exit statuses, one line for what cannot be used."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mixtconv import Recognizer, create_model
from mixtconv.cli.main import main
from mixtconv.models import load_model, save_model

HERE = ["--workers", "0", "--device", "cpu"]


@pytest.fixture(scope="module")
def model(tiny_dataset: Path, tmp_path_factory) -> str:
    names = sorted(folder.name for folder in (tiny_dataset / "val").iterdir())
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    torch.manual_seed(0)
    untrained = create_model("mstnet_test_resnet", classes=names, num_frames=4, image_size=64)
    save_model(untrained, path)
    return str(path)


@pytest.fixture(scope="module")
def ranked(model: str, tiny_dataset: Path) -> dict[str, list[tuple[str, float]]]:
    """Validation video -> its labels with their scores, as `predict` ranks them."""
    recognizer = Recognizer(model, device="cpu")
    videos = sorted((tiny_dataset / "val").rglob("*.mp4"))
    assert len(videos) == 4
    return {
        str(video): [(item.label, item.score) for item in recognizer.predict(video)]
        for video in videos
    }


def _draw(subject: str, *words: str, out: Path, capsys: pytest.CaptureFixture) -> dict[str, Any]:
    assert main(["visualize", subject, *words, "--out", str(out), "--format", "json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["files"] == [str(out)] and numbers["unreadable"] == []
    return numbers


def _places(page: Path) -> list[list[str]]:
    """What a page says at each place of its picture, line by line."""
    (text,) = re.findall(r'id="places">(.*?)</script>', page.read_text(), re.DOTALL)
    return [place[4].split("\n") for place in json.loads(text)]


def _texts(picture: Path) -> str:
    return " ".join(" ".join(re.findall(r"<text[^>]*>([^<]*)", picture.read_text())).split())


def test_kernels_are_compared_with_those_of_the_start(model: str, tmp_path: Path, capsys) -> None:
    trained = load_model(model)
    with torch.no_grad():
        for name, weights in trained.named_parameters():
            if ".temporal." in name:
                weights.add_(torch.randn(weights.shape))
    save_model(trained, tmp_path / "trained.safetensors")
    out = tmp_path / "k.svg"
    numbers = _draw("kernels", str(tmp_path / "trained.safetensors"), out=out, capsys=capsys)
    before, after = load_file(model), load_file(tmp_path / "trained.safetensors")
    kernels = {name: after[name] for name in after if ".temporal.weights." in name}
    assert len(numbers["groups"]) == len(kernels) == 16
    for group, (name, weights) in zip(numbers["groups"], kernels.items(), strict=True):
        assert group["module"] in name and group["channels"] == len(weights)
        sizes = weights.flatten(1).abs().sum(dim=0)  # of each tap, oldest frame first
        center = len(sizes) // 2
        parts = [sizes[:center].sum(), sizes[center], sizes[center + 1 :].sum()]
        shares = [float(part / sizes.sum()) for part in parts]
        assert group["kernel_size"] == len(sizes)
        assert group["learned_shares"] == pytest.approx(shares, abs=1e-5)
        change = (weights - before[name]).norm() / before[name].norm()
        assert group["relative_change"] == pytest.approx(float(change), rel=1e-4)
    shown = _texts(out)
    assert shown.count("at the start") == shown.count("learned") == 4  # blocks
    assert all(shown.count(f"size {size}") == 4 for size in (1, 3, 5, 7))


def test_a_map_has_a_point_for_every_clip(
    model: str, tiny_dataset: Path, ranked, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "t.html"
    numbers = _draw("tsne", model, str(tiny_dataset), *HERE, out=out, capsys=capsys)
    assert (numbers["num_clips"], numbers["num_classes"]) == (4, 4)
    # of four clips of four classes none has a neighbour of its own class
    assert numbers["models"][0]["neighbourhood_accuracy"] == 0
    assert sorted(_places(out)) == sorted([Path(video).parent.name, video] for video in ranked)


def test_activation_is_of_the_predicted_class_and_its_frames_are_those_of_the_video(
    model: str, ranked, tmp_path: Path, capsys
) -> None:
    (video, ranking), out = next(iter(ranked.items())), tmp_path / "c.mp4"
    numbers = _draw("cam", model, video, "--device", "cpu", out=out, capsys=capsys)
    (found,) = numbers["videos"]
    assert (found["path"], found["label"]) == (video, ranking[0][0])
    assert found["score"] == pytest.approx(ranking[0][1], abs=1e-5)
    assert sum(found["share_of_frames"]) == pytest.approx(1)
    originals = [frame.to_ndarray(format="rgb24") for frame in av.open(video).decode(video=0)]
    length = len(originals) / 4
    assert all(n * length <= frame < (n + 1) * length for n, frame in enumerate(found["frames"]))
    shown = [frame.to_ndarray(format="rgb24") for frame in av.open(out).decode(video=0)]
    assert len(shown) == 4
    for picture, number in zip(shown, found["frames"], strict=True):
        height = picture.shape[0]
        assert picture.shape[1] == 2 * height  # beside its activation
        step = height // originals[number].shape[0]
        left = picture[step // 2 :: step, step // 2 : height : step].astype(int)
        distances = [np.abs(left - original).mean() for original in originals]
        assert distances[number] < min(distances) + 2 and distances[number] < 8
        assert np.abs(picture[:, :height].astype(int) - picture[:, height:]).mean() > 8


def test_a_confusion_matrix_counts_what_is_predicted(
    model: str, tiny_dataset: Path, ranked, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "m.html"
    numbers = _draw("confusion", model, str(tiny_dataset), *HERE, out=out, capsys=capsys)
    expected = sorted((Path(video).parent.name, labels[0][0]) for video, labels in ranked.items())
    matrix, order = np.array(numbers["matrix"]), numbers["order"]
    assert sorted((order[row], order[column]) for row, column in np.argwhere(matrix)) == expected
    assert matrix.sum() == numbers["num_clips"] == 4
    said = [(true, verdict.removeprefix("taken for ")) for true, verdict, _ in _places(out)]
    assert sorted((true, true if name == "recognized" else name) for true, name in said) == expected


def test_predictions_are_shown_wrong_ones_first_with_their_scores(
    model: str, tiny_dataset: Path, ranked, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "p.svg"
    words = [model, str(tiny_dataset), *HERE, "--num-right", "1"]
    numbers = _draw("predictions", *words, out=out, capsys=capsys)
    tops = {video: (Path(video).parent.name, *labels[0]) for video, labels in ranked.items()}
    right = {video: score for video, (true, label, score) in tops.items() if true == label}
    wrong = {video: score for video, (true, label, score) in tops.items() if true != label}
    assert (numbers["num_wrong"], numbers["num_right"]) == (len(wrong), len(right)) == (2, 2)
    expected = [*sorted(wrong, key=wrong.get, reverse=True), max(right, key=right.get)]
    assert [item["path"] for item in numbers["shown"]] == expected
    for item in numbers["shown"]:
        true, label, score = tops[item["path"]]
        assert (item["label"], item["predicted"], item["right"]) == (true, label, true == label)
        assert item["score"] == pytest.approx(score, abs=1e-5)
        verdict = "right" if true == label else "wrong"
        assert f"{verdict}: {label}, {100 * score:.1f}" in _texts(out)
    assert out.read_text().count("<image") == 3


def test_a_sample_is_a_batch_of_training_with_the_labels_that_mirroring_gives(
    tiny_dataset: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "s.svg"
    words = [str(tiny_dataset), "--num-frames", "4", "--image-size", "32", "--batch-size", "6"]
    numbers = _draw("sample", *words, "--epoch", "1", out=out, capsys=capsys)
    assert numbers["clip_shape"] == [4, 3, 32, 32]
    assert len(numbers["samples"]) == out.read_text().count("<image") == 6
    exchanged = {"left to right": "right to left", "right to left": "left to right"}
    for item in numbers["samples"]:
        path = Path(item["path"])
        assert path.parents[1] == tiny_dataset / "train" and item["label"] == path.parent.name
        direction = item["label"].removeprefix("Moving something from ")
        if item["mirrored"] and direction in exchanged:
            assert item["given_label"].endswith(exchanged[direction])
        else:
            assert item["given_label"] == item["label"]
    assert {item["mirrored"] for item in numbers["samples"]} == {True, False}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["kernels", "MODEL", "--out", "k.gif"], "written as .png or .svg"),
        (["kernels", "MODEL", "--out", "k.html"], "written as .png or .svg"),
        (["cam", "MODEL", "DATA/val", "--out", "c.mp4"], "written as .png or .svg"),
        (["tsne", "MODEL", "DATA", "--out", "t.mp4"], "written as .png, .svg or .html"),
        (["tsne", "MODEL", "DATA", "--perplexity", "0"], "--perplexity is 0"),
        (["tsne", "MODEL", "DATA", "--max-clips", "0"], "--max-clips is 0"),
        (["tsne", "MODEL", "MODEL", "DATA"], "is given twice"),
        (["kernels", "MODEL", "--out", "MODEL/k.png"], "model.safetensors is a file"),
        (["tsne", "MODEL", "DATA", "--batch-size", "0"], "--batch-size is 0"),
        (["confusion", "MODEL"], "not a scores file"),
        (["confusion", "nowhere"], "there is no scores file nowhere"),
        (["sample", "DATA", "--epoch=-1"], "--epoch is -1"),
        (["sample", "DATA", "--out", "folder"], "written as .png or .svg"),
        (["predictions", "MODEL", "DATA", "--num-wrong", "0", "--num-right", "0"], "not both 0"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    words: list[str], says: str, model: str, tiny_dataset: Path, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    known = {"MODEL": model, "DATA": str(tiny_dataset)}
    for name, place in known.items():
        words = [word.replace(name, place) for word in words]
    assert main(["visualize", *words]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_unreadable_video_is_named_and_the_picture_made(
    model: str, tiny_dataset: Path, tmp_path: Path, capsys
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    good = str(min(tiny_dataset.rglob("*.mp4")))
    out = tmp_path / "c.png"
    assert main(["visualize", "cam", model, good, str(bad), "--out", str(out)]) == 1
    assert "bad.mp4" in capsys.readouterr().err and out.exists()


def test_no_display_is_needed(model: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    done = subprocess.run(
        [sys.executable, "-m", "mixtconv", "visualize", "kernels", model,
         "--out", str(tmp_path / "k.png")],
        env=environment | {"MPLBACKEND": "TkAgg"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "k.png").exists()


def test_subjects_are_listed(capsys) -> None:
    assert main(["visualize"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("kernels", "tsne", "cam", "confusion", "sample"))
