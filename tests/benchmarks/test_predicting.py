"""The benchmark of a folder of videos: which candidate computes on how many cores."""

from pathlib import Path
from threading import get_ident
from time import sleep
from typing import Any

import pytest
import torch

from mixtconv.benchmarks import benchmark, predicting
from mixtconv.benchmarks.loader import write_sample_video
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Timing
from mixtconv.inference import predicting as inference
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


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_part_keeps_to_the_threads_that_are_asked_for(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoders times videos at a time, and torch's threads times them, of six cores."""
    video = write_sample_video(tmp_path / "video.mp4", num_frames=4)
    seen: dict[str, dict[int, list[int]]] = {"decoders": {}, "torch": {}}
    read = Recognizer._read

    def note(kind: str, count: int) -> None:
        seen[kind].setdefault(get_ident(), []).append(count)

    def decoded(own: Recognizer, video: Path) -> torch.Tensor:
        note("decoders", own.decoder_threads or 6)
        sleep(0.05)  # so that every thread gets a video
        return read(own, video)

    def scored(own: Recognizer, views: torch.Tensor) -> torch.Tensor:
        note("torch", torch.get_num_threads())
        sleep(0.05)
        return torch.zeros(3)

    for module in (predicting, inference, benchmark):
        monkeypatch.setattr(module, "usable_cores", lambda: 6)
    made: dict[str, Any] = {}

    def run_once(candidates: dict[str, Any], **options: Any) -> list[Timing]:
        for name, candidate in candidates.items():
            for counts in seen.values():
                counts.clear()
            candidate()
            made[name] = {kind: dict(counts) for kind, counts in seen.items()}
        return [Timing(name, (1.0,)) for name in candidates]

    monkeypatch.setattr(Recognizer, "_read", decoded)
    monkeypatch.setattr(Recognizer, "view_logits", scored)
    monkeypatch.setattr(predicting, "interleave", run_once)
    before = torch.get_num_threads()
    workload = Workload(
        backbone="test_resnet",
        num_frames=2,
        image_size=32,
        device="cpu",
        video=str(video),
        videos=6,
        threads=threads,
    )
    try:
        benchmark.run_benchmark("predict", workload)
    finally:
        torch.set_num_threads(before)
    for name, kinds in made.items():
        one = predicting.ONE_CORE in name
        for kind, counts in kinds.items():
            cores = sum(max(each) for each in counts.values())
            assert cores == (1 if one else threads) or not counts, (name, kind, counts)
    assert all(made[predicting.BOTH].values()) and made[predicting.DECODING]["decoders"]


def test_more_threads_than_cores_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "usable_cores", lambda: 2)
    says = "^--threads is 3, and 2 cores can be used.*: give as many or fewer$"
    with pytest.raises(ValueError, match=says):
        benchmark.run_benchmark("op", Workload(threads=3))
