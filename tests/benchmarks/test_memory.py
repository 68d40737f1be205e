"""Peak memory is that of what ran, not of the process that asks."""

import platform
from functools import partial

import pytest
import torch

from mixtconv.benchmarks.memory import MemoryComparison, peak_bytes

MIB = 2**20


def _making(num_bytes: int) -> partial:
    """Prepares a run that fills so many bytes and gives them back."""
    return partial(partial, torch.ones, num_bytes, dtype=torch.uint8)


def test_the_peak_is_what_a_run_holds_at_once():
    here = torch.ones(400 * MIB, dtype=torch.uint8)  # which a new process must not inherit
    cpu = torch.device("cpu")
    small, large = (peak_bytes(_making(size * MIB), device=cpu, runs=3) for size in (40, 200))
    assert large - small == pytest.approx(160 * MIB, rel=0.1)
    assert small < 120 * MIB < here.numel()


HOLE = """
import torch

def filled(num_mib):
    return torch.ones(num_mib * 2**20, dtype=torch.uint8)

filled(20)  # by its size glibc learns to keep blocks as large
first, second = filled(15), filled(15)
del first
third = filled(18)  # larger than the hole that the first one left
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_memory_that_was_given_back_is_not_counted():
    peak = peak_bytes(partial(partial, exec, HOLE, {}), device=torch.device("cpu"), runs=1)
    assert 33 * MIB <= peak < 40 * MIB


def test_ratios_are_to_the_baseline():
    comparison = MemoryComparison("a step", "TSN", {"ours": 110, "TSN": 100})
    assert [item["ratio"] for item in comparison.to_dict()["candidates"]] == [1.1, 1.0]
