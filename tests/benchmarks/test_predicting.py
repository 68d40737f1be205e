"""The benchmark of a folder of videos: which candidate computes on how many cores."""

from pathlib import Path

import pytest
import torch

from mixtconv.benchmarks import predicting
from mixtconv.benchmarks.loader import write_sample_video
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import create_model


def test_one_core_is_one_thread_of_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_sample_video(tmp_path / "video.mp4", num_frames=4)
    model = create_model("tsn_test_resnet", 3, num_frames=2, image_size=32)
    recognizer = Recognizer(model, device="cpu")
    threads: list[int] = []

    def noted(own: Recognizer, views: torch.Tensor) -> torch.Tensor:
        threads.append(torch.get_num_threads())
        return torch.zeros(3)

    monkeypatch.setattr(Recognizer, "view_logits", noted)
    monkeypatch.setattr(predicting, "usable_cores", lambda: 4)
    candidates = predicting.candidates_of(recognizer, [video] * 2)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        assert candidates[f"{predicting.NETWORK} {predicting.ONE_CORE}"]() == 2
        assert threads == [1, 1]
        threads.clear()
        assert candidates[predicting.IN_TURN]() == 2
        assert threads == [4, 4]
    finally:
        torch.set_num_threads(before)
