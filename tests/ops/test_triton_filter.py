"""The GPU's temporal filter against loops: on a GPU where there is one, else in the interpreter.

Triton's interpreter has to be chosen before Triton is imported, so that it gets a process of its
own. Tolerances are bounds: a sum of n products in float32 is off by at most n * eps * sum |w| |x|,
and its rounding to the result's type by eps of that type (the interpreter cuts bfloat16 off where a
GPU rounds, which is the whole of eps instead of half).
"""

import math
import multiprocessing
import site
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

triton = pytest.importorskip("triton")
from mixtconv.ops import triton_filter  # noqa: E402
from mixtconv.ops.taps import TapGroups  # noqa: E402

RELEASE, NUMPY = (tuple(int(n) for n in m.__version__.split(".")[:2]) for m in (triton, np))


@pytest.fixture(scope="module")
def call() -> Iterator[Callable]:
    """Calls a function of the GPU on tensors of the CPU, and gives results on the CPU."""
    if torch.cuda.is_available():
        yield on_gpu
        return
    if (RELEASE < (3, 2) and NUMPY >= (2, 0)) or (RELEASE < (3, 7) and NUMPY >= (2, 4)):
        pytest.skip(f"the interpreter of Triton {triton.__version__} predates NumPy {NUMPY}")
    spawn, root = multiprocessing.get_context("spawn"), str(Path(__file__).parents[2])
    # The functions below are found by the name of this module.
    with ProcessPoolExecutor(1, spawn, site.addsitedir, (root,)) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            pool.submit(int).result()  # starts the process
        yield lambda function, *args: pool.submit(function, *args).result()


def on_gpu(function, *args):
    def moved(value, device):
        if isinstance(value, torch.Tensor):
            numbers = len(value.untyped_storage()) // value.element_size()
            memory = value.as_strided((numbers,), (1,), 0).to(device)
            return memory.as_strided(value.shape, value.stride(), value.storage_offset())
        is_pair = isinstance(value, tuple) and not isinstance(value, TapGroups)
        return tuple(moved(v, device) for v in value) if is_pair else value

    return moved(function(*(moved(arg, "cuda") for arg in args)), "cpu")


class Case(NamedTuple):
    shape: tuple[int, ...]
    channels: list[int]
    num_taps: list[int]
    offsets: list[int]

    @property
    def groups(self) -> TapGroups:
        return TapGroups(*map(tuple, self[1:]))


def centred(*sizes, dilations=None):
    dilations = dilations or [1] * len(sizes)
    return [
        (tap - size // 2) * dilation
        for size, dilation in zip(sizes, dilations, strict=True)
        for tap in range(size)
    ]


CASES = {
    "mixed": Case((2, 8, 11, 3, 5), [3, 3, 3, 2], [1, 3, 5, 7], centred(1, 3, 5, 7)),
    "one frame": Case((3, 1, 5, 2, 3), [3, 2], [3, 5], centred(3, 5)),
    "two frames": Case((2, 2, 8, 4, 4), [4, 4], [3, 1], centred(3, 1)),
    "kernel longer than the clip": Case((1, 3, 4, 3, 3), [4], [9], centred(9)),
    "one kernel": Case((2, 8, 6, 4, 4), [6], [3], centred(3)),
    "dilated": Case((1, 17, 6, 2, 2), [2, 2, 2], [3, 3, 3], centred(3, 3, 3, dilations=[1, 2, 3])),
    "causal": Case((1, 17, 4, 3, 2), [2, 2], [3, 5], [-2, -1, 0, -4, -3, -2, -1, 0]),
    "shift": Case((2, 4, 48, 7, 7), [20, 4, 24], [1, 1, 1], [1, -1, 0]),  # contiguous: flattened
    "nothing met": Case((1, 3, 6, 2, 2), [3, 3], [2, 1], [3, -3, 2**40]),
    "one frame met twice": Case((1, 3, 3, 2, 2), [3], [4], [1, 0, 1, 1]),
    "a group without taps": Case((1, 3, 4, 2, 2), [2, 0, 2], [0, 3, 2], [-1, 0, 1, 0, 1]),
    "several tiles": Case((1, 9, 150, 1, 17), [75, 75], [1, 3], centred(1, 3)),
    "wide frames": Case((2, 2, 3, 20, 20), [2, 1], [1, 3], centred(1, 3)),
    "single positions": Case((2, 3, 40, 1, 1), [20, 20], [3, 1], centred(3, 1)),
    "128 frames": Case((1, 128, 3, 1, 3), [1, 1, 1], [7, 1, 3], centred(7, 1, 3)),
}


def filtered(x, taps, groups):
    return triton_filter.temporal_filter_into(torch.empty_like(x), x, taps, groups)


def both_gradients(x, grad, taps, groups):
    grad_x = torch.empty_like(x)
    return grad_x, triton_filter.taps_gradient(x, grad, groups, weights=taps, grad_x=grad_x)


def draw(case, dtype, channels_last, seed=0):
    """Clips, a gradient of the result, and taps."""
    generator = torch.Generator().manual_seed(seed)

    def clips():
        x = torch.randn(case.shape, generator=generator).to(dtype)
        if channels_last:
            x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
        return x

    num_taps = sum(count * taps for count, taps in zip(case.channels, case.num_taps, strict=True))
    return clips(), clips(), torch.randn(num_taps, generator=generator)


def meetings(case):
    """(index of the tap, channel, output frame, input frame) wherever a tap meets a frame."""
    index = channel = first = 0
    for count, taps in zip(case.channels, case.num_taps, strict=True):
        for _ in range(count):
            for offset in case.offsets[first : first + taps]:
                for t in range(case.shape[1]):
                    if 0 <= t + offset < case.shape[1]:
                        yield index, channel, t, t + offset
                index += 1
            channel += 1
        first += taps


def reference(case, x, grad, taps):
    """The filtered clips, and the gradients of clips and taps."""
    y, grad_x, grad_taps = np.zeros_like(x), np.zeros_like(x), np.zeros_like(taps)
    for index, channel, t, s in meetings(case):
        y[:, t, channel] += taps[index] * x[:, s, channel]
        grad_x[:, s, channel] += taps[index] * grad[:, t, channel]
        grad_taps[index] += (grad[:, t, channel] * x[:, s, channel]).sum()
    return y, grad_x, grad_taps


def assert_near(case, x, grad, taps, *, y=None, grad_x=None, grad_taps=None):
    arrays = [tensor.double().numpy() for tensor in (x, grad, taps)]
    expected = reference(case, *arrays)
    size = reference(case, *(np.abs(array) for array in arrays))  # of the terms added up
    B, T, _, H, W = case.shape
    eps = torch.finfo(torch.float32).eps
    for got, want, terms, count in zip(
        (y, grad_x, grad_taps),
        expected,
        size,
        [len(case.offsets)] * 2 + [B * T * H * W],
        strict=True,
    ):
        if got is not None:
            assert got.shape == want.shape
            error = np.abs(got.double().numpy() - want)
            rounding = torch.finfo(got.dtype)
            bound = (count + 1) * eps * terms
            bound += rounding.eps * np.maximum(np.abs(want), rounding.smallest_normal)
            assert (error <= bound).all(), f"off by {error.max()}"


@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels-last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_filter_and_its_gradients_are_those_of_loops(call, name, dtype, channels_last):
    case = CASES[name]
    x, grad, taps = draw(case, dtype, channels_last)
    y = call(filtered, x, taps, case.groups)
    grad_x, grad_taps = call(both_gradients, x, grad, taps, case.groups)
    assert_near(case, x, grad, taps, y=y, grad_x=grad_x, grad_taps=grad_taps)
    assert (y.dtype, grad_x.dtype, grad_taps.dtype) == (dtype, dtype, torch.float32)
    assert y.stride() == grad_x.stride() == torch.empty_like(x).stride()


@pytest.mark.parametrize("name", ["mixed", "shift", "causal"])
def test_the_gradients_one_by_one_are_those_of_the_backward_pass(call, name):
    case = CASES[name]
    x, grad, taps = draw(case, torch.float32, channels_last=True)
    _, both = call(both_gradients, x, grad, taps, case.groups)
    alone = call(triton_filter.taps_gradient, x, grad, case.groups)
    assert torch.equal(alone, both)  # to the bit: there is one order of adding up
    negated = case._replace(offsets=[-offset for offset in case.offsets]).groups
    grad_x = call(filtered, grad, taps, negated)
    assert_near(case, x, grad, taps, grad_x=grad_x)


VIEWS = {
    "every other frame": lambda x: x.repeat_interleave(2, 1)[:, ::2],
    "half the columns": lambda x: torch.cat([x, x], 4)[..., : x.shape[4]],
    "frames after channels": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "one clip for all": lambda x: x[:1].expand_as(x),
    "unaligned": lambda x: torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape),
}


@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels-last"])
@pytest.mark.parametrize("view", VIEWS)
def test_any_strides_are_taken(call, view, channels_last):
    case = CASES["mixed"]
    x, grad, taps = draw(case, torch.float32, channels_last)
    x = VIEWS[view](x)
    y = call(filtered, x, taps, case.groups)
    grad_x, grad_taps = call(both_gradients, x, grad, taps, case.groups)
    assert_near(case, x, grad, taps, y=y, grad_x=grad_x, grad_taps=grad_taps)
    assert y.stride() == grad_x.stride() == torch.empty_like(x).stride()

    expanded = grad.mean((0, 1, 3, 4), keepdim=True).expand(case.shape)
    _, grad_taps = call(both_gradients, x, expanded, taps, case.groups)
    assert_near(case, x, expanded, taps, grad_taps=grad_taps)


def test_taps_may_be_of_another_type_and_with_gaps(call):
    case = CASES["mixed"]
    x, grad, taps = draw(case, torch.float32, channels_last=False)
    taps = taps.bfloat16()
    y = call(filtered, x, torch.stack([taps, -taps], 1)[:, 0], case.groups)
    assert_near(case, x, grad, taps, y=y)


def test_a_result_may_be_written_to_clips_of_other_strides(call):
    case = CASES["mixed"]
    x, grad, taps = draw(case, torch.float32, channels_last=True)
    out = torch.full(case.shape, math.nan)
    y = call(triton_filter.temporal_filter_into, out, x, taps, case.groups)
    assert_near(case, x, grad, taps, y=y)
    assert y.is_contiguous()


def with_taps_that_are_zero(launch, *args, taps=None, **others):
    launch(*args, taps=None if taps is None else torch.zeros_like(taps), **others)


def fault(wrong=False):
    """What is found wrong with the kernel; with one that computes something else if `wrong`."""
    right = triton_filter.launch
    with pytest.MonkeyPatch.context() as patch:
        if wrong:
            patch.setattr(triton_filter, "launch", partial(with_taps_that_are_zero, right))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return triton_filter.kernel_fault.__wrapped__(torch.device(device))


def test_the_kernel_is_tried_and_refused_if_it_computes_something_else(call):
    assert call(fault) is None
    assert call(fault, True) == "other values than plain torch"


def test_a_kernel_that_cannot_be_launched_is_refused_with_the_reason(monkeypatch, caplog):
    def launch(*args, **others):
        raise RuntimeError("Failed to find C compiler. Please specify.\nMore.")

    monkeypatch.setattr(triton_filter, "launch", launch)
    found = triton_filter.kernel_fault.__wrapped__(torch.device("cpu"))
    assert found == "RuntimeError: Failed to find C compiler. Please specify"
    assert found in caplog.text
    assert "plain torch computes them" in caplog.text


def test_a_lack_of_memory_is_no_fault_of_the_kernel(monkeypatch):
    def launch(*args, **others):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(triton_filter, "launch", launch)
    with pytest.raises(torch.OutOfMemoryError):
        triton_filter.kernel_fault.__wrapped__(torch.device("cpu"))


def test_tables_are_made_where_no_state_of_the_caller_is_and_are_never_freed(monkeypatch):
    """A CUDA graph that is being recorded takes what its thread allocates for its own memory."""
    threads, make = [], triton_filter.tap_tables

    def noting(*args, **options):
        threads.append(threading.get_ident())
        return make(*args, **options)

    monkeypatch.setattr(triton_filter, "tap_tables", noting)
    groups = TapGroups((2, 3), (1, 3), (0, -1, 0, 1))
    form = torch.Size((8, 5, 41, 43)), 4, torch.device("cpu"), groups
    plan = partial(triton_filter._plan, channels_last=True, taps_gradient=False)
    with torch.inference_mode():
        _, tables = plan(*form)
    assert threads
    assert threading.get_ident() not in threads
    assert not tables.slots.is_inference()
    triton_filter._plan.cache_clear()  # as other forms of clips do
    assert plan(*form)[1] is tables


def test_whole_numbers_are_left_to_others():
    assert not triton_filter.takes(torch.zeros(1, 2, 3, 4, 4, dtype=torch.int64))


def test_double_precision_is_kept(call):
    case = CASES["mixed"]
    x, grad, taps = (t.double() for t in draw(case, torch.float32, channels_last=True))
    grad_x, grad_taps = call(both_gradients, x, grad, taps, case.groups)
    y = call(filtered, x, taps, case.groups)
    for got, want in zip(
        (y, grad_x, grad_taps), reference(case, x.numpy(), grad.numpy(), taps.numpy()), strict=True
    ):
        np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("axis", range(5))
def test_empty_clips_give_empty_clips_and_no_gradient(call, axis):
    shape = [2, 4, 4, 3, 3]
    shape[axis] = 0
    case = Case(tuple(shape), [shape[2] // 2] * 2, [1, 3], centred(1, 3))
    x, taps = torch.empty(shape), torch.ones(case.groups.num_weights)
    grad_x, grad_taps = call(both_gradients, x, x, taps, case.groups)
    y = call(filtered, x, taps, case.groups)
    assert y.shape == grad_x.shape == x.shape
    assert torch.equal(grad_taps, torch.zeros_like(taps))


@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels-last"])
def test_a_frame_that_is_not_a_number_reaches_only_those_that_see_it(call, channels_last):
    """Also where channels of different kernel sizes share a tile."""
    case = CASES["mixed"]
    x, _, taps = draw(case, torch.float32, channels_last)
    x[0, 4] = math.nan
    y = call(filtered, x, taps, case.groups)
    reached = torch.zeros(case.shape, dtype=torch.bool)
    for _, channel, t, s in meetings(case):
        reached[0, t, channel] |= s == 4
    assert torch.equal(y.isnan(), reached)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="takes 16 GiB of a GPU")
@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels-last"])
def test_clips_of_more_values_than_32_bits_count(channels_last):
    x = torch.empty((5, 8, 64, 1024, 1024), dtype=torch.bfloat16, device="cuda").normal_()
    assert x.numel() > 2**31
    if channels_last:
        x = x.permute(0, 1, 4, 2, 3)  # (5, 8, 1024, 64, 1024), the channels last in memory
    C = x.shape[2]
    taps = torch.tensor([2.0], device="cuda").expand(C)
    y = filtered(x, taps, TapGroups((C,), (1,), (1,)))
    for clip in range(5):
        assert torch.equal(y[clip, :-1], 2 * x[clip, 1:])
        assert not y[clip, -1].any()
