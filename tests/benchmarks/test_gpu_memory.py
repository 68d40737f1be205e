"""`benchmarks/gpu.py` where memory does not suffice: fewer clips, graphs that are skipped."""

import importlib
import types
import weakref
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture
def section(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return lambda name: importlib.import_module(f"gpu_sections.{name}")


def test_half_as_many_clips_are_taken_until_memory_suffices(section):
    tried = []

    def measure(clips):
        tried.append(clips)
        if clips > 4:
            raise torch.OutOfMemoryError

    run = section("run").Run(torch.device("cpu"), section("run").SMALL, lambda kind, values: None)
    section("timing").with_fewer_clips(run, measure, 16)
    assert tried == [16, 8, 4]
    with pytest.raises(torch.OutOfMemoryError):
        section("timing").with_fewer_clips(run, lambda clips: measure(5), 2)


class _Gpu:
    """Stands in for `torch.cuda`: a stream of its own while a graph is recorded.

    Like `torch.cuda.graph`, its block ends the recording whatever has happened, which raises if the
    recording has failed, and then leaves the stream as the current one.
    """

    OutOfMemoryError = torch.OutOfMemoryError

    def __init__(self):
        self.now, self.pools = "first", 0

    def graph_pool_handle(self):
        self.pools += 1
        return self.pools

    def Stream(self, device):
        return types.SimpleNamespace(name="side", wait_stream=lambda other: None)

    def current_stream(self, device):
        return types.SimpleNamespace(name=self.now, wait_stream=lambda other: None)

    @contextmanager
    def stream(self, stream):
        before, self.now = self.now, stream.name
        try:
            yield
        finally:
            self.now = before

    def synchronize(self, device=None):
        pass

    def CUDAGraph(self):
        return types.SimpleNamespace(replay=lambda: None)

    @contextmanager
    def graph(self, graph, *, pool, stream):
        before, self.now = self.now, stream.name
        try:
            yield
        except Exception:
            raise RuntimeError("operation failed due to a previous error during capture")  # noqa: B904
        self.now = before


@pytest.fixture
def gpu(section, monkeypatch):
    section("recognizers")  # which imports what needs the true one
    stand_in = _Gpu()
    monkeypatch.setattr(torch, "cuda", stand_in)
    return stand_in


def _failing(calls, error):
    """A step that fails when it is called once more than so often."""
    left = [None] * calls

    def step():
        if not left:
            raise error
        left.pop()

    return step


def test_a_graph_that_memory_does_not_suffice_for_is_skipped_and_the_others_go_on(
    section, gpu, monkeypatch
):
    """The lack of memory is hidden by the error of the recording that is ended."""
    timing, recognizers = section("timing"), section("recognizers")
    noted = []
    run = section("run").Run(
        types.SimpleNamespace(type="cuda"), section("run").SMALL, lambda *each: noted.append(each)
    )
    monkeypatch.setattr(section("run").Run, "free", lambda self: None)
    monkeypatch.setitem(timing._ELAPSED, "cuda", lambda step, repeats: 1.0)
    graphs = timing.Graphs(run.device)
    with pytest.raises(torch.OutOfMemoryError, match="full"):
        graphs.record(_failing(timing.WARM_UPS, torch.OutOfMemoryError("full")))
    assert gpu.now == "first" and graphs.pool == 2
    with pytest.raises(RuntimeError, match="previous error during capture"):
        graphs.record(_failing(timing.WARM_UPS, RuntimeError("not permitted")))
    assert gpu.now == "first"

    key = ("MSTNet", "optimised")
    steps = {
        ("TSN", "optimised"): lambda: None,
        key: _failing(timing.WARM_UPS, torch.OutOfMemoryError("full")),
        ("TSM", "optimised"): lambda: None,
    }
    recognizers.compare(run, steps, {each: {} for each in steps})
    assert [values for kind, values in noted if kind != "rows"] == [
        {"what": "CUDA graph of MSTNet, optimised", "reason": "memory does not suffice"}
    ]
    rows = [(row["recognizer"], row["launch"]) for kind, row in noted if kind == "rows"]
    assert len(rows) == 5 and ("MSTNet", "CUDA graph") not in rows


def test_what_a_failed_part_has_allocated_is_let_go(section):
    run = section("run").Run(torch.device("cpu"), section("run").SMALL, lambda *each: None)
    alive = []

    def fail():
        large = torch.zeros(3)
        alive.append(weakref.ref(large))
        raise torch.OutOfMemoryError

    class Freeing(type(run)):
        def free(self):
            assert alive[0]() is None

    run = Freeing(run.device, run.sizes, run.send)
    with run.attempt("large"):
        fail()
    assert len(alive) == 1
