"""Int8: what is measured of it, and that it computes what float32 does."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.data.clips import read_clip
from mixtconv.data.transforms import center_crop
from mixtconv.exporting.export import export_model
from mixtconv.exporting.int8 import Calibration
from mixtconv.exporting.writing import TARGETS
from mixtconv.inference.engines.base import Engine
from mixtconv.inference.engines.opening import open_engine
from mixtconv.models import VideoClassifier, create_model, save_model
from mixtconv.models.spec import TargetName
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.writer import write_video

CLASSES = ["wave", "jump", "run"]
SIZE = 32


def _model(modality: str) -> VideoClassifier:
    torch.manual_seed(0)
    model = create_model(
        "mstnet_test_resnet", classes=CLASSES, num_frames=4, image_size=SIZE, modality=modality
    ).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    """Two videos of every class to learn from, and three to score; one cannot be read."""
    root = tmp_path_factory.mktemp("labelled")
    random = np.random.default_rng(0)
    for split, count in (("train", 2), ("val", 3)):
        for label in CLASSES:
            for number in range(count):
                path = root / split / label / f"{number}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                frames = random.integers(0, 256, (6, 48, 48, 3), dtype=np.uint8)
                write_video(path, frames, frames_per_second=25)
    (root / "val" / "run" / "2.mp4").write_text("words")
    return root


@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.parametrize("modality", ["rgb", "motion"])
def test_int8_is_smaller_and_its_accuracy_is_measured_beside_that_of_float32(
    target: TargetName, modality: str, labelled: Path, tmp_path: Path, capsys
) -> None:
    model = _model(modality)
    save_model(model, tmp_path / "model.safetensors")
    out = tmp_path / "out" / f"model{TARGETS[target].suffix}"
    words = ["export", str(tmp_path / "model.safetensors"), "--to", target, "--out", str(out)]
    assert main([*words, "--int8", str(labelled), "--format", "json"]) == 0
    int8 = json.loads(capsys.readouterr().out)["int8"]
    assert (int8["num_calibration_videos"], int8["num_scored_videos"]) == (6, 9)
    assert int8["num_unreadable"] == 1
    assert int8["bytes_after"] < 0.6 * int8["bytes_before"]
    assert int8["bytes_after"] == sum(part.stat().st_size for part in out.parent.iterdir())
    assert int8["top1_drop"] == int8["top1_before"] - int8["top1_after"]
    engine = open_engine(out)
    assert engine.description.quantized
    assert int8["top1_after"] == pytest.approx(_accuracy(engine, model, labelled))
    assert int8["top1_before"] == pytest.approx(_accuracy(model, model, labelled))


def _accuracy(scorer: Engine | VideoClassifier, model: VideoClassifier, labelled: Path) -> float:
    correct = 0
    for path in sorted(labelled.glob("val/*/*.mp4")):
        try:
            clip = read_clip(path, lambda count: [(2 * t + 1) * count // 8 for t in range(4)])
        except UnreadableVideoError:
            continue
        [crop] = center_crop(clip.frames, SIZE)
        video = model.normalize(crop[None])
        with torch.inference_mode():
            logits = (
                scorer.run({"video": video.numpy()})["logits"]
                if isinstance(scorer, Engine)
                else scorer(video).numpy()
            )
        correct += CLASSES[int(logits.argmax())] == path.parent.name
    return 100 * correct / 9


@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.parametrize("modality", ["rgb", "motion"])
def test_bright_pictures_are_not_cut_off_before_the_network(
    target: TargetName, modality: str, tmp_path: Path
) -> None:
    """Scaling, median and normalisation stay exact: logits are those of float32, but for a part."""
    random, videos = np.random.default_rng(0), tmp_path / "videos"
    for number, brightest in enumerate((20, 40, 60, 80, 100, 255)):
        path = videos / "train" / CLASSES[number % 3] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = random.integers(0, brightest + 1, (6, 6, 6, 3), dtype=np.uint8)
        write_video(path, small.repeat(8, axis=1).repeat(8, axis=2), frames_per_second=25)
    model, path = _model(modality), tmp_path / f"int8{TARGETS[target].suffix}"
    calibration = Calibration(videos, num_videos=6)
    exported = export_model(model, path, target=target, pixels="uint8", calibration=calibration)
    assert exported.agreement.holds
    # The brightest one again, as the files take it.
    clip = read_clip(videos / "train" / "run" / "5.mp4", lambda count: [0, 2, 3, 5])
    [crop] = center_crop(clip.frames, SIZE)
    with torch.inference_mode():
        expected = model(model.normalize(crop[None])).numpy()
    got = open_engine(path).run({"video": crop[None].numpy()})["logits"]
    assert np.abs(got - expected).max() < 0.1 * np.abs(expected).max()
