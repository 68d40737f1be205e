"""The training step that is timed trains, and its memory is compared within its layout."""

from dataclasses import replace

import pytest

from mixtconv.benchmarks import training_step
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.training_step import CANDIDATES, bench_training_step, prepare_step

TINY = Workload(backbone="test_resnet", num_frames=2, image_size=32, batch_size=2, device="cpu")


@pytest.mark.parametrize(
    ("name", "layout"), [(name, layout) for layout, names in CANDIDATES.items() for name in names]
)
def test_steps_on_the_same_clips_bring_the_loss_down(name, layout):
    step = prepare_step(TINY, name, layout)
    losses = [float(step()) for _ in range(6)]
    assert losses[-1] < losses[0] - 1


def test_memory_is_compared_with_tsn_in_the_same_layout(monkeypatch):
    peaks = iter(range(100, 1000, 50))
    monkeypatch.setattr(training_step, "peak_bytes", lambda prepare, *, device: next(peaks))
    result = bench_training_step(replace(TINY, rounds=1))
    baselines = [comparison.baseline for comparison in result.memory]
    assert baselines == ["TSN, NCHW", "TSN, channels-last"]
    nchw, channels_last = result.memory
    assert [nchw.ratio(peak) for peak in nchw.peaks] == [1, 1.5, 2]
    assert list(channels_last.peaks.values()) == [250, 300, 350, 200]
    for times, memory in zip(result.times, result.memory, strict=True):
        assert [timing.name for timing in times.timings] == list(memory.peaks)
