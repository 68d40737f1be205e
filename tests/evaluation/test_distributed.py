"""Several processes score every video once, and say it once."""

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mixtconv.data.datasets.catalog import load_labelled_videos
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.scores_file import load_scores
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models import create_model, save_model


@pytest.mark.parametrize("launcher", ["torchrun", "slurm"])
def test_two_processes_give_the_scores_of_one(
    launcher: str, launchers: ModuleType, tiny_dataset: Path, tmp_path: Path
) -> None:
    classes = sorted(path.name for path in (tiny_dataset / "train").iterdir())
    model = create_model("mstnet_test_resnet", num_frames=4, image_size=32, classes=classes)
    save_model(model, tmp_path / "model.safetensors")
    samples = load_labelled_videos(tiny_dataset, classes=tuple(classes), split="train")
    rows = [f"{sample.path},{classes[sample.label]}" for sample in samples[:6]]
    rows.append(f"{tmp_path}/words.mp4,{classes[0]}")  # seven: an odd number
    data = tmp_path / "data.csv"
    data.write_text("\n".join(["path,label", *rows]))
    (tmp_path / "words.mp4").write_text("words")
    alone = evaluate_model(
        tmp_path / "model.safetensors", data, settings=EvaluationSettings(workers=0)
    )
    words = ["evaluate", "model.safetensors", "data.csv", "--workers", "0", "--device", "cpu"]
    words += ["--scores", "both.safetensors", "--format", "json"]
    status, output, errors = getattr(launchers, launcher)(words, tmp_path)
    assert errors.count("words.mp4") == 1, errors
    report = json.loads(output)  # one process alone printed it
    both = load_scores(tmp_path / "both.safetensors")
    assert status == 1
    assert report["num_videos"] == alone.num_videos == 7
    assert [entry["path"] for entry in report["unreadable"]] == [str(tmp_path / "words.mp4")]
    assert (report["top1"], report["top5"]) == (alone.accuracy.top1, alone.accuracy.top5)
    assert both.keys == alone.scores.keys
    torch.testing.assert_close(both.scores, alone.scores.scores, rtol=1e-5, atol=1e-6)
