"""Averages over views against loops over them, one view at a time."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.data.labels import choose_pairs
from mixtconv.data.protocol import Protocol
from mixtconv.evaluation.scores_file import load_scores
from mixtconv.evaluation.scoring import model_mirroring, score_videos, view_logits
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import VideoClassifier, create_model, load_model, save_model

CLASSES = ("jump", "turn_left", "sit", "turn_right", "pull_left")
SWAPPED = [0, 3, 2, 1, 4]


@pytest.fixture(scope="module")
def model() -> VideoClassifier:
    return make_model("mstnet_test_resnet")


def make_model(name: str) -> VideoClassifier:
    torch.manual_seed(0)
    model = create_model(name, classes=CLASSES, num_frames=4, image_size=32).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


def some_views(protocol: Protocol, num_frames: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (2, protocol.num_views, num_frames, 3, 32, 32)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def one_by_one(model: VideoClassifier, views: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        rows = [[model(model.normalize(view[None]))[0].numpy() for view in v] for v in views]
    return np.array(rows, dtype=float)  # (B, V, K)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_logits_are_averaged_whatever_passes_together(
    model: VideoClassifier, batch_size: int
) -> None:
    protocol = Protocol.parse("2x5")
    views = some_views(protocol)
    with torch.inference_mode():
        got = view_logits(model, views, protocol, batch_size=batch_size)
    np.testing.assert_allclose(got, one_by_one(model, views).mean(axis=1), rtol=1e-4, atol=1e-5)


def test_crops_of_a_size_that_a_transformer_does_not_take_are_refused(tmp_path: Path) -> None:
    transformer = create_model("mstvit_test_vit", classes=CLASSES, num_frames=2, image_size=64)
    says = (
        r"protocol 1x3 scores crops of 73 pixels, and mstvit_test_vit takes 64 alone: choose "
        r"another, such as stadapter-1x3 or 1x1"
    )
    with pytest.raises(ValueError, match=says):
        Recognizer(transformer, device="cpu", protocol="1x3")
    assert Recognizer(transformer, device="cpu", protocol="stadapter-1x3").protocol.num_views == 3
    convolutions = make_model("mstnet_test_resnet")
    assert Recognizer(convolutions, device="cpu", protocol="1x3").protocol.num_views == 3


def test_probabilities_are_averaged_after_softmax(model: VideoClassifier) -> None:
    protocol = Protocol.parse("nonlocal-10x3")
    views = some_views(protocol)
    exponentials = np.exp(one_by_one(model, views))
    expected = (exponentials / exponentials.sum(axis=2, keepdims=True)).mean(axis=1)
    with torch.inference_mode():
        got = view_logits(model, views, protocol)
    np.testing.assert_allclose(got.softmax(dim=1), expected, rtol=1e-4)
    np.testing.assert_allclose(got.exp().sum(dim=1), 1, rtol=1e-4)


@pytest.mark.parametrize(
    ("pairs", "target"),
    [
        (None, SWAPPED),
        ("none", range(5)),
        ([["jump", "sit"]], [2, 1, 0, 3, 4]),
    ],
)
def test_mirrored_views_exchange_the_classes_of_pairs(
    model: VideoClassifier, pairs: str | list | None, target: list[int]
) -> None:
    protocol = Protocol.parse("2x10")
    views = some_views(protocol)
    rows = one_by_one(model, views)
    expected = np.zeros((2, 5))
    for view in range(20):
        for label in range(5):
            column = target[label] if view % 10 >= 5 else label
            expected[:, label] += rows[:, view, column] / 20
    mirroring = None if pairs is None else choose_pairs(CLASSES, pairs)
    with torch.inference_mode():
        got = view_logits(model, views, protocol, mirroring=mirroring)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_snippets_are_scored_each_on_its_own() -> None:
    """The 2D network over single frames, as TSN tests."""
    model = make_model("tsn_test_resnet")
    protocol = Protocol.parse("tsn-25x10")
    views = some_views(protocol, num_frames=1)
    frames = views[0, :, 0]  # (250, 3, 32, 32)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.spec.mean, model.spec.std))
    with torch.inference_mode():
        rows = model.head(model.backbone((frames / 255 - mean) / std)).numpy()  # (250, K)
        got = view_logits(model, views, protocol, batch_size=64)[0].numpy()
    rows = rows.reshape(25, 2, 5, 5)
    rows = np.stack([rows[:, 0], rows[:, 1][..., SWAPPED]])
    np.testing.assert_allclose(got, rows.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5)


def test_single_snippets_are_refused_before_videos_are_read(
    model: VideoClassifier, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="looks across the 4 of a clip"):
        score_videos(model, (), EvaluationSettings(protocol="25x10"))
    with pytest.raises(ValueError, match="looks across the 4 of a clip"):
        Recognizer(model, protocol="25x10")


def test_a_model_file_says_what_a_mirror_does(model: VideoClassifier, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    assert model_mirroring(load_model(path)).target == tuple(SWAPPED)
    save_model(model, path, notes={"flip_pairs": []})
    assert model_mirroring(load_model(path)).target == (0, 1, 2, 3, 4)
    save_model(model, path, notes={"flip_pairs": [["jump", "sit"]]})
    assert model_mirroring(load_model(path)).target == (2, 1, 0, 3, 4)
    assert Recognizer(path).mirroring == model_mirroring(load_model(path))


@pytest.fixture(scope="module")
def tsn_file(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    classes = sorted(path.name for path in (tiny_dataset / "val").iterdir())
    torch.manual_seed(0)
    model = create_model("tsn_test_resnet", classes=classes, num_frames=2, image_size=32)
    torch.nn.init.normal_(model.head.weight)
    path = tmp_path_factory.mktemp("tsn") / "model.safetensors"
    save_model(model, path)
    return path


@pytest.mark.parametrize("name", ["1x5", "1x10", "10x3", "tsn-25x10", "nonlocal-10x3"])
def test_the_command_scores_by_every_protocol_and_stores_its_name(
    name: str, tsn_file: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "scores.safetensors"
    words = ["evaluate", str(tsn_file), str(tiny_dataset), "--workers", "0", "--protocol", name]
    assert main([*words, "--scores", str(path), "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    stored = str(Protocol.parse(name))
    assert printed["protocol"] == stored
    assert printed["protocol_description"].startswith(f"{stored}: ")
    saved = load_scores(path)
    assert saved.protocol == stored
    assert saved.kind == ("probabilities" if name == "nonlocal-10x3" else "logits")
    recognizer = Recognizer(tsn_file, protocol=name)
    for key, row in zip(saved.keys, saved.probabilities(), strict=True):
        alone = recognizer.logits(tiny_dataset / "val" / f"{key}.mp4").softmax(dim=0)
        torch.testing.assert_close(alone, row, atol=1e-5, rtol=1e-4)


def test_the_command_says_what_mirrored_views_exchange(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    names = sorted(path.name for path in (tiny_dataset / "val").iterdir())
    model = create_model(
        "tsn_test_resnet",
        classes=[*names, "turn_left", "turn_right", "pull_left"],
        num_frames=2,
        image_size=32,
    )
    save_model(model, tmp_path / "model.safetensors")
    words = ["evaluate", str(tmp_path / "model.safetensors"), str(tiny_dataset), "--workers", "0"]
    assert main([*words, "--protocol", "1x10"]) == 0
    said = capsys.readouterr().err
    assert "turn_left / turn_right" in said
    assert "harm classes that name a side and have no partner (1: pull_left)" in said
    assert main([*words, "--protocol", "1x5"]) == 0
    assert "mirrored" not in capsys.readouterr().err
