"""Labels that neighbours contradict, against distances worked out one by one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mixtconv import create_model, save_model
from mixtconv.cli.main import main
from mixtconv.data.datasets.own import list_own
from mixtconv.inference import neighbours
from mixtconv.inference.neighbours import NUM_NEIGHBOURS, review_neighbours
from mixtconv.inference.torch_recognizers import Recognizer


class Stub(Recognizer):
    """Its features are the mean colours of a video."""

    def embed_views(self, views) -> np.ndarray:
        rows = np.stack([np.asarray(view, float).mean((0, 1, 3, 4)) for view in views]) - 100
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def recognizer() -> Stub:
    torch.manual_seed(0)
    model = create_model("tsn_test_resnet", num_classes=2, num_frames=2, image_size=32)
    return Stub(model, device="cpu")


def _clip(colour) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (4, 32, 32, 3)).copy()


def _videos(seed: int = 0):
    """Three classes around a colour each, of which some labels are exchanged."""
    rng = np.random.default_rng(seed)
    centres = {"red": (190, 100, 100), "green": (100, 190, 100), "blue": (100, 100, 190)}
    pairs = [
        (_clip(np.array(centres[name]) + rng.integers(-9, 10, 3)), name)
        for name in centres
        for _ in range(8)
    ]
    wrong = {3: "blue", 20: "green"}
    data = [(clip, wrong.get(number, name)) for number, (clip, name) in enumerate(pairs)]
    return list_own(data).videos, [name for _, name in pairs], wrong


def test_exchanged_labels_are_found_and_no_others(recognizer: Stub) -> None:
    videos, truth, wrong = _videos()
    review = review_neighbours(recognizer, videos)
    assert review.num_videos == 24 and not review.unreadable
    found = {each.video: each for each in review.suspicious}
    assert set(found) == {f"data[{number}]" for number in wrong}
    vectors = recognizer.embed_views([recognizer.reader.read(v.video).frames for v in videos])
    for number, label in wrong.items():
        each = found[f"data[{number}]"]
        order = sorted(
            (other for other in range(24) if other != number),
            key=lambda other: -float(np.dot(vectors[number], vectors[other])),
        )[:NUM_NEIGHBOURS]
        labels = [videos[other].class_name for other in order]
        assert each.label == label and each.neighbours_label == truth[number]
        assert each.votes == labels.count(truth[number]) >= 4
        assert each.nearest == videos[order[labels.index(truth[number])]].key


def test_blocks_of_rows_do_not_change_what_is_found(
    recognizer: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = _videos()[0]
    whole = review_neighbours(recognizer, videos)
    monkeypatch.setattr(neighbours, "_AT_ONCE", 5)
    assert review_neighbours(recognizer, videos) == whole


def test_videos_that_are_nearly_the_same_are_named_by_label_and_split(recognizer: Stub) -> None:
    rng = np.random.default_rng(1)
    others = [(_clip(rng.integers(0, 256, 3)), "x") for _ in range(6)]
    same = _clip((150, 30, 90))
    listing = list_own([(same, "x"), (same, "y"), *others], val=[(same, "x")])
    pairs = review_neighbours(recognizer, listing.videos).pairs
    assert {(pair.video, pair.other) for pair in pairs} == {
        ("train[0]", "train[1]"),
        ("train[0]", "val[0]"),
        ("train[1]", "val[0]"),
    }
    assert all(pair.similarity == pytest.approx(1, abs=1e-5) for pair in pairs)


def test_too_few_videos_are_not_compared(recognizer: Stub) -> None:
    review = review_neighbours(recognizer, _videos()[0][:5])
    assert review.num_videos == 5 and not review.suspicious and not review.pairs
    assert "takes 6 or more" in review.notes[-1]


def test_the_command_shows_them_and_they_are_no_faults(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = create_model("tsn_test_resnet", num_classes=2, num_frames=2, image_size=32)
    save_model(model, tmp_path / "model.safetensors")
    words = ["check", str(tiny_dataset), "--quick", "--model", str(tmp_path / "model.safetensors")]
    assert main([*words, "--device", "cpu", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["neighbours"]
    assert found["num_videos"] == 16 and found["unreadable"] == []
    assert main([*words, "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    said = "neighbours" in shown.out + shown.err
    assert said != bool(found["pairs"]) or bool(found["suspicious"])
    flow = create_model("tsn_test_resnet", num_classes=2, num_frames=2, modality="flow")
    save_model(flow, tmp_path / "flow.safetensors")
    words[-1] = str(tmp_path / "flow.safetensors")
    assert main(words) == 0  # the check stands
    shown = capsys.readouterr()
    assert "16" in shown.out and "not compared" in shown.out + shown.err
    assert main(["check", str(tiny_dataset), "--model", "model.onnx"]) == 2
    assert "exported model" in capsys.readouterr().err
