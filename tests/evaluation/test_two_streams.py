"""Pictures and optical flow from videos to a fused score, by the commands that a user types.

The class of a video is its colour, which flow does not show, and its direction, which a network of
single pictures does not.
"""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mixtconv.cli.main import main
from mixtconv.evaluation.scores_file import SavedScores, load_scores

TRAINING = """
    --model tsn_test_resnet --weights none --num-frames 4 --image-size 32 --crop-scales [1,0.875]
    --epochs 12 --lr 0.02 --scale-lr false --dropout 0 --seed 1 --workers 0 --device cpu
"""
CLASSES = ("blue_left", "blue_right", "red_left", "red_right")
COLOUR = np.array([0, 0, 1, 1])
DIRECTION = np.array([0, 1, 0, 1])


@pytest.fixture(scope="module")
def files(two_stream: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Scores files of a network of pictures and one of flow."""
    folder = tmp_path_factory.mktemp("streams")
    two_stream.make_two_stream_dataset(folder / "rgb", videos_per_class=12, seed=0)
    prepared = ["--flow", "dis", "--short-side", "48", "--workers", "1"]
    assert main(["prepare", f"{folder}/rgb", "--out", f"{folder}/flow", *prepared]) == 0
    for modality in ("rgb", "flow"):
        data, run = f"{folder}/{modality}", f"{folder}/run-{modality}"
        assert main(["train", data, "--out", run, "--modality", modality, *TRAINING.split()]) == 0
        scores = f"{folder}/{modality}.safetensors"
        words = ["evaluate", f"{run}/model.safetensors", data, "--workers", "0"]
        assert main([*words, "--scores", scores]) == 0
    return {name: folder / f"{name}.safetensors" for name in ("rgb", "flow")}


def share_right(scores: SavedScores, group: np.ndarray) -> float:
    """How often the best class is of the right group."""
    counts = scores.confusion().numpy()
    return counts[group[:, None] == group].sum() / counts.sum()


def test_each_stream_sees_its_half_and_the_fusion_both(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rgb, flow = load_scores(files["rgb"]), load_scores(files["flow"])
    assert rgb.classes == flow.classes == CLASSES
    assert set(rgb.keys) == set(flow.keys)  # 000.mp4 and the folder 000 are the same video
    assert share_right(rgb, COLOUR) > 0.8 > share_right(rgb, DIRECTION)
    assert share_right(flow, DIRECTION) > 0.8 > share_right(flow, COLOUR)

    out = tmp_path / "fused.safetensors"
    capsys.readouterr()
    names = [str(files["rgb"]), str(files["flow"])]
    assert main(["fuse", *names, "--out", str(out), "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    alone = [item["top1"] for item in printed["inputs"]]
    assert [item["modality"] for item in printed["inputs"]] == ["rgb", "flow"]
    assert printed["fused"]["top1"] > max(alone) + 10
    assert printed["fused"]["mean_class_accuracy"] > max(alone) + 10
    assert printed["num_videos"] == 16
    assert load_scores(out).accuracy().top1 == printed["fused"]["top1"]
