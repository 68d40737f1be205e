"""Time and memory on a GPU: events, CUDA graphs, candidates in turn.

Without a GPU a graph is the function itself and the clock is the host's, which proves the script.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from gpu_sections.run import Run
from mixtconv.benchmarks.timing import Comparison, Timing, running_order

Step = Callable[[], object]

WARM_UPS = 3
"""Calls before a graph is recorded: kernels are compiled and algorithms chosen in them."""
FEWEST_ROUNDS = 3

PRECISIONS: dict[str, tuple[bool, torch.dtype | None]] = {
    "bf16": (True, torch.bfloat16),
    "tf32": (True, None),
    "float32": (False, None),
}
"""Name -> whether products may be TF32, and what autocast rounds to."""


@contextmanager
def products(precision: str) -> Iterator[None]:
    """The context that decides on TF32, also of backward passes.

    torch has TF32 on for convolutions and off for matrix products by default.
    """
    tf32, _ = PRECISIONS[precision]
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """The context of a forward pass in a precision."""
    half = PRECISIONS[precision][1]
    with products(precision), torch.autocast(device.type, half, enabled=half is not None):
        yield


def inference(model: Callable[[Tensor], Tensor], clips: Tensor, precision: str) -> Step:
    """Computes the logits of clips.

    Each call has an autocast of its own, which keeps casts of weights until it ends: a graph has to
    hold the casts that its products read.
    """

    @torch.inference_mode()
    def infer() -> Tensor:
        with arithmetic(precision, clips.device):
            return model(clips)

    return infer


class Graphs:
    """CUDA graphs that share one memory, since none needs what another has left there.

    They are replayed one at a time, and all that lives on (weights, states of optimizers, results
    that were recorded) is elsewhere or stays allocated.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def record(self, step: Step) -> Callable[[], Any]:
        """A graph of the step; a call replays it and gives the tensors that it writes to.

        Raises:
            OutOfMemoryError: memory does not suffice for it.
        """
        if self.device.type != "cuda":
            return step
        lack: str | None = None
        try:
            # Ending a recording that has failed may fail, and leaves its stream as the current.
            with torch.cuda.stream(torch.cuda.current_stream(self.device)):
                return self._record(step)
        except Exception as error:
            lack = lack_of_memory(error)
            if lack is None:
                raise
        # Outside of the handler, whose traceback would keep what was allocated. The memory of a
        # recording that was broken off may count as in use: the next graphs have another.
        self.pool = torch.cuda.graph_pool_handle()
        raise torch.OutOfMemoryError(lack)

    def _record(self, step: Step) -> Callable[[], Any]:
        # One stream for both: libraries keep their handles and work space by stream.
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                step()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=stream):
            result = step()

        def replay() -> object:
            graph.replay()
            return result

        return replay


def lack_of_memory(error: BaseException) -> str | None:
    """The message of a lack of memory that an error is, or that it hides; None if there was none.

    `torch.cuda.graph` ends the recording when an error leaves its block, and what that raises, such
    as "operation failed due to a previous error during capture", takes the place of the error.
    """
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, torch.OutOfMemoryError):
            return str(at)
        at = at.__cause__ or at.__context__
    return None


def in_turn(
    run: Run, candidates: Mapping[str, Step], *, rounds: int | None = None, repeats: int = 1
) -> dict[str, Timing]:
    """Seconds of each candidate round by round, in an order that changes between rounds.

    Args:
        run: whose time ends the rounds early, after three at least.
        candidates: name -> what to run.
        rounds: after one that warms up; by default those of the sizes.
        repeats: consecutive calls of a candidate in its turn; the time is their mean.
    """
    names = list(candidates)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, rounds or run.sizes.rounds):
        if number >= FEWEST_ROUNDS and run.seconds_left() < 0:
            break
        for index in running_order(len(names), number):
            taken = _ELAPSED[run.device.type](candidates[names[index]], repeats)
            if number >= 0:
                seconds[names[index]].append(taken / repeats)
    return {name: Timing(name, tuple(values)) for name, values in seconds.items()}


def _events(step: Step, repeats: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(repeats):
        step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


def _host_clock(step: Step, repeats: int) -> float:
    start = perf_counter()
    for _ in range(repeats):
        step()
    return perf_counter() - start


_ELAPSED: dict[str, Callable[[Step, int], float]] = {"cuda": _events, "cpu": _host_clock}


def milliseconds(timing: Timing) -> dict[str, float]:
    """Median and quartiles, as rows have them."""
    return {
        "milliseconds": 1000 * timing.median_seconds,
        "low": 1000 * timing.low_seconds,
        "high": 1000 * timing.high_seconds,
    }


def times(timing: Timing, other: Timing) -> float:
    """Time as a multiple of another's: the median of the ratios inside rounds."""
    return Comparison("", other.name, (timing, other)).ratio(timing)


def peak_of(run: Run, prepare: Callable[[], Step]) -> tuple[Step, int | None]:
    """What is prepared, and the bytes at the peak of a step that it takes after two others.

    Counted is what is allocated beyond the state before: the first steps, in which cuDNN tries
    algorithms, are not.
    """
    if not run.on_gpu:
        return prepare(), None
    run.free()
    before = torch.cuda.memory_allocated()
    step = prepare()
    for _ in range(2):
        step()
    run.free()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return step, torch.cuda.max_memory_allocated() - before


def with_fewer_clips(run: Run, measure: Callable[[int], object], clips: int) -> None:
    """Measure with so many clips, or with half as many as often as memory does not suffice."""
    while True:
        try:
            measure(clips)
        except torch.OutOfMemoryError:
            if clips == 1:
                raise
        else:
            return
        # Outside of the handler, whose traceback would keep what was allocated.
        run.free()
        clips //= 2
