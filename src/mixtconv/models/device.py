"""The device and precision that a model runs in, from the user's settings."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

from mixtconv._names import first_line
from mixtconv._types import Precision

HALF = {"bf16": torch.bfloat16, "16": torch.float16}
"""Precision -> the type of a tensor."""

_TYPES = ("cpu", "cuda", "mps")


def resolve_device(device: str = "auto") -> torch.device:
    """The device named, or with `auto` the best one here: CUDA, Apple's MPS, the CPU.

    Raises:
        ValueError: an unknown or unavailable device.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        if chosen.type not in _TYPES:
            raise RuntimeError(f"models do not run on {chosen.type}")
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = first_line(error)
        raise ValueError(
            f"device {device!r} cannot be used here ({reason}); give auto, cpu, cuda, cuda:0 or mps"
        ) from error
    return torch.device("cpu") if chosen.type == "cpu" else chosen  # a CPU has no number


def resolve_precision(precision: Precision, device: torch.device) -> Literal["32", "bf16", "16"]:
    """The precision named, or with `auto` bfloat16 where the GPU has it and float32 elsewhere.

    A CPU gets float32, as does a GPU before Ampere, where bfloat16 is emulated: without
    instructions for it that would take several times as long.

    Raises:
        ValueError: float16 on the CPU, where training in it is not supported.

    >>> resolve_precision("auto", torch.device("cpu"))
    '32'
    """
    if precision == "16" and device.type == "cpu":
        raise ValueError("--precision 16 needs a GPU; on the CPU give bf16 or 32")
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" and _has_bfloat16(device) else "32"


def _has_bfloat16(device: torch.device) -> bool:
    with torch.cuda.device(device):  # torch asks the current one
        return torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def divided_threads(count: int) -> Iterator[None]:
    """Divide torch's threads between so many threads of Python that compute at the same time.

    A thread that Python starts inside the block computes with its part of them, at least one; those
    that run already, the caller's too, keep theirs. Blocks may overlap, in any order.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(1) as pool, divided_threads(torch.get_num_threads()):
    ...     pool.submit(torch.get_num_threads).result()
    1
    """
    _division.begin(count)
    try:
        yield
    finally:
        _division.end()


class _Division:
    """The blocks that divide torch's threads now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_blocks, self._threads_before = 0, 1

    def begin(self, count: int) -> None:
        with self._lock:
            if self._num_blocks == 0:
                self._threads_before = torch.get_num_threads()
            self._num_blocks += 1
            self._set_for_new_threads(max(1, self._threads_before // count))

    def end(self) -> None:
        with self._lock:
            self._num_blocks -= 1
            if self._num_blocks == 0:
                self._set_for_new_threads(self._threads_before)

    @staticmethod
    def _set_for_new_threads(count: int) -> None:
        """Set the number for threads that start from now on: each has its own, and begins with the
        one that was set last, here in a thread that does nothing else."""
        setter = threading.Thread(target=torch.set_num_threads, args=(count,))
        setter.start()
        setter.join()


_division = _Division()


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager:
    """The context that runs a model in a precision on a device."""
    dtype = HALF.get(resolve_precision(precision, device))
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)
