"""The training step that is timed trains, and its memory is compared within its layout."""

import re
from contextlib import contextmanager
from dataclasses import replace

import pytest

from mixtconv.benchmarks import training_step
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.training_step import (
    CANDIDATES,
    TRAINED,
    bench_training_step,
    prepare_step,
    prepare_trained_step,
)
from mixtconv.data.parallel import usable_cores

TINY = Workload(backbone="test_resnet", num_frames=2, image_size=32, batch_size=2, device="cpu")


@pytest.mark.parametrize(
    ("name", "layout"), [(name, layout) for layout, names in CANDIDATES.items() for name in names]
)
def test_steps_on_the_same_clips_bring_the_loss_down(name, layout):
    step = prepare_step(TINY, name, layout)
    losses = [float(step()) for _ in range(6)]
    assert losses[-1] < losses[0] - 1


@pytest.mark.parametrize("what", TRAINED)
def test_steps_of_what_is_trained_bring_the_loss_down(what):
    """The last layer of random features learns least."""
    step = prepare_trained_step(replace(TINY, model="mstnet_test_resnet"), what)
    losses = [float(step()) for _ in range(30)]
    assert losses[-1] < losses[0] - 0.01


def test_what_is_trained_is_compared_with_all(monkeypatch):
    peaks = iter([400, 100, 50])
    monkeypatch.setattr(training_step, "peak_bytes", lambda prepare, *, device: next(peaks))
    workload = replace(TINY, model="mstnet_test_resnet", rounds=1)
    result = bench_training_step(workload)
    (times,), (memory,) = result.times, result.memory
    assert times.baseline == memory.baseline == "all"
    assert [timing.name for timing in times.timings] == list(memory.peaks) == list(TRAINED)
    assert [memory.ratio(what) for what in TRAINED] == [1, 0.25, 0.125]
    with pytest.raises(ValueError, match="tsn_test_resnet has no parameters there"):
        bench_training_step(replace(workload, model="tsn_test_resnet"))


def test_memory_is_compared_with_tsn_in_the_same_layout(monkeypatch):
    peaks = iter(range(100, 1000, 50))
    monkeypatch.setattr(training_step, "peak_bytes", lambda prepare, *, device: next(peaks))
    monkeypatch.setattr(training_step, "_compare_waiting", lambda workload, progress: None)
    result = bench_training_step(replace(TINY, rounds=1))
    baselines = [comparison.baseline for comparison in result.memory]
    assert baselines == ["TSN, NCHW", "TSN, channels-last"]
    nchw, channels_last = result.memory
    assert [nchw.ratio(peak) for peak in nchw.peaks] == [1, 1.5, 2]
    assert list(channels_last.peaks.values()) == [250, 300, 350, 200]
    for times, memory in zip(result.times[:2], result.memory, strict=True):
        assert [timing.name for timing in times.timings] == list(memory.peaks)


def test_a_step_is_timed_beside_busy_processes_for_each_way_of_waiting(monkeypatch):
    """Each policy has its own process, and others are busy in their turns alone."""
    log: list[object] = []

    @contextmanager
    def busy(count):
        log.append(count)
        yield log.append

    @contextmanager
    def fresh(prepare, *, environment):
        loss = prepare()()
        assert loss > 0
        yield lambda: log.append(environment.get("OMP_WAIT_POLICY"))

    monkeypatch.setattr(training_step, "peak_bytes", lambda prepare, *, device: 1)
    monkeypatch.setattr(training_step, "busy_processes", busy)
    monkeypatch.setattr(training_step, "prepare_fresh", fresh)
    waiting = bench_training_step(replace(TINY, rounds=1)).times[-1]
    assert log[0] == usable_cores()
    steps = "".join({True: "<", False: ">", None: "d", "passive": "p"}[word] for word in log[1:])
    assert sorted(re.findall("<.>|.", steps)) == sorted(2 * ["d", "p", "<d>", "<p>"])  # a warm-up
    assert waiting.baseline == "waiting by default, alone"
    assert {timing.name for timing in waiting.timings} == {
        f"waiting {how}, {where}"
        for how in ("by default", "passively")
        for where in ("alone", "beside busy processes")
    }
