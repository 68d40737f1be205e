"""Several processes train one model and score every video once."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.training.settings import TrainingSettings


def test_two_processes_train_one_model_and_speak_once(
    tiny_settings: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    settings = tiny_settings(epochs=1)
    words = ["train", settings.data, "--out", settings.out, "--model", settings.model]
    words += ["--weights", "none", "--num-frames", "4", "--image-size", "32", "--epochs", "1"]
    words += ["--batch-size", "4", "--workers", "0", "--device", "cpu", "--devices", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "mixtconv", *words, "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout)["best"]  # one process alone printed it
    assert done.stderr.count("epoch 1/1") == 1
    scored = evaluate_model(Path(settings.out) / "model.safetensors", settings.data, workers=0)
    assert scored.accuracy.top1 == best["top1"]
    checkpoint = torch.load(Path(settings.out) / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2  # six clips for each process, four a step
