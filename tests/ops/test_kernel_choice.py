"""Which implementation computes the temporal filter: what is available, and what was asked for."""

import os
import subprocess
import sys

import pytest
import torch

from mixtconv.ops import filter as filter_module
from mixtconv.ops import native_library, plain_filter
from mixtconv.ops.filter import kernel_in_use

COMPILED = kernel_in_use(torch.device("cpu")) != plain_filter.NAME

SCRIPT = """
import torch
from mixtconv.ops import MixTConv
from mixtconv.ops.filter import kernel_in_use
torch.manual_seed(0)
x = torch.randn(1, 8, 16, 20, 20)
layer = MixTConv(16)
y = layer(x)
y.sum().backward()
print(kernel_in_use(x.device), "|", y.abs().sum().item(), layer.weights[3].grad.sum().item())
"""


def _run(**environment: str) -> tuple[str, list[float]]:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    kernel, numbers = result.stdout.split("|")
    return kernel, [float(number) for number in numbers.split()]


def test_a_machine_without_the_compiled_loop_and_one_thread_compute_the_same() -> None:
    plain, expected = _run(MIXTCONV_KERNEL="plain")
    assert plain_filter.NAME in plain
    kernel, got = _run(OMP_NUM_THREADS="1")
    assert (
        kernel.strip()
        == kernel_in_use(torch.device("cpu")).split(",")[0] + ", 1 of torch's threads)"
        or not COMPILED
    )
    assert got == pytest.approx(expected, rel=1e-5)


def test_what_is_said_to_compute_on_a_gpu_is_what_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    from mixtconv.ops import triton_filter

    monkeypatch.delenv(filter_module.KERNEL_VARIABLE, raising=False)
    monkeypatch.setattr(torch.version, "hip", None)
    find = filter_module._kernel.__wrapped__
    for capability, fault, kernel in (
        ((7, 5), None, None),
        ((8, 0), None, triton_filter),
        ((9, 0), None, triton_filter),
        ((9, 0), "no C compiler", None),
    ):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        monkeypatch.setattr(triton_filter, "kernel_fault", lambda _, found=fault: found)
        assert find(torch.device("cuda", 0)) is kernel


def test_a_kernel_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(filter_module.KERNEL_VARIABLE, "Plain")
    with pytest.raises(ValueError, match=r"MIXTCONV_KERNEL is 'Plain' .* give plain or auto"):
        filter_module._kernel.__wrapped__(torch.device("cpu"))


def test_a_library_that_cannot_be_loaded_counts_as_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(native_library, "PATH", broken)
    assert native_library.library.__wrapped__() is None
