"""The temporal filter, compiled and plain, against loops in float64 written from its definition."""

import multiprocessing
import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from mixtconv.ops import cpu_filter, native_library, plain_filter
from mixtconv.ops import filter as filter_module
from mixtconv.ops.filter import kernel_in_use, temporal_filter
from mixtconv.ops.taps import TapGroups

COMPILED = kernel_in_use(torch.device("cpu")) != plain_filter.NAME
needs_compiled = pytest.mark.skipif(
    not COMPILED, reason="the compiled loop was not built here, or MIXTCONV_KERNEL=plain"
)
SETS = list(native_library.instruction_sets()) if cpu_filter.is_available() else []

# channels and offsets of every group
GROUPS = {
    "mixed": [(5, [0]), (4, [-1, 0, 1]), (4, [-2, -1, 0, 1, 2]), (4, list(range(-3, 4)))],
    "causal": [(9, [-2, -1, 0]), (8, [-6, -5, -4, -3, -2, -1, 0])],
    "dilated": [(9, [-2, 0, 2]), (8, [-6, -3, 0, 3, 6])],
    "nine taps": [(17, list(range(-4, 5)))],
    "eleven taps": [(17, list(range(-5, 6)))],
    "shift": [(3, [1]), (3, [-1]), (11, [0])],
    "falling": [(17, [3, 2, 1, 0, -1])],
    "no rule": [(8, [-5, 0, 1]), (9, [4, 4, -2])],
    "even": [(17, [-1, 0])],
    "out of reach": [(8, [40]), (9, [-50, 0, 50])],
    "many groups": [(1, [0]), (1, [-1, 0, 1]), *[(1, [1])] * 13, (1, [-2, 0, 2]), (1, [0])],
}


def _reference(x: Tensor, taps: Tensor, groups: list[tuple[int, list[int]]]) -> np.ndarray:
    frames, y = x.detach().double().numpy(), np.zeros(x.shape)
    for channel, weights in enumerate(_by_channel(taps, groups)):
        for offset, weight in weights:
            for t in range(x.shape[1]):
                if 0 <= t + offset < x.shape[1]:
                    y[:, t, channel] += weight * frames[:, t + offset, channel]
    return y


def _by_channel(taps: Tensor, groups: list[tuple[int, list[int]]]) -> Iterator[list]:
    values = iter(taps.detach().double().tolist())
    for count, offsets in groups:
        for _ in range(count):
            yield [(offset, next(values)) for offset in offsets]


def _reference_taps_gradient(x: Tensor, grad: Tensor, groups: list) -> np.ndarray:
    frames, factor = x.detach().double().numpy(), grad.detach().double().numpy()
    gradient, channel, num_frames = [], 0, x.shape[1]
    for count, offsets in groups:
        for _ in range(count):
            for offset in offsets:
                gradient.append(
                    sum(
                        (factor[:, t, channel] * frames[:, t + offset, channel]).sum()
                        for t in range(num_frames)
                        if 0 <= t + offset < num_frames
                    )
                )
            channel += 1
    return np.array(gradient, dtype=float)


def _groups(groups: list[tuple[int, list[int]]]) -> TapGroups:
    return TapGroups(
        tuple(count for count, _ in groups),
        tuple(len(offsets) for _, offsets in groups),
        tuple(offset for _, offsets in groups for offset in offsets),
    )


def _clips(shape: tuple[int, ...], *, channels_last: bool, dtype: torch.dtype, seed: int) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    if channels_last:
        x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    return x


def _taps(groups: list[tuple[int, list[int]]]) -> Tensor:
    size = sum(count * len(offsets) for count, offsets in groups)
    return torch.randn(size, generator=torch.Generator().manual_seed(9))


def _check(x: Tensor, grad: Tensor, groups: list[tuple[int, list[int]]]) -> None:
    taps = _taps(groups)
    x, taps = x.requires_grad_(), taps.requires_grad_()
    y = temporal_filter(x, taps, _groups(groups))
    assert y.dtype == x.dtype and y.shape == x.shape
    y.backward(grad)
    assert x.grad is not None and taps.grad is not None
    negated = [(count, [-offset for offset in offsets]) for count, offsets in groups]
    # Sums of n products, each rounded to relative precision eps, are off by about n eps of them.
    eps = torch.finfo(x.dtype).eps
    got = (y, x.grad, taps.grad)
    expected = (
        _reference(x, taps, groups),
        _reference(grad, taps, negated),
        _reference_taps_gradient(x, grad, groups),
    )
    bounds = (
        _reference(x.abs(), taps.abs(), groups),
        _reference(grad.abs(), taps.abs(), negated),
        _reference_taps_gradient(x.abs(), grad.abs(), groups),
    )
    for result, value, bound, precision in zip(
        got, expected, bounds, (eps, eps, 1e-6), strict=True
    ):
        error = np.abs(result.detach().double().numpy() - value)
        assert (error <= 4 * precision * bound + 1e-30).all(), error.max()


@needs_compiled
@pytest.mark.parametrize("number", SETS)
@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", GROUPS)
def test_the_compiled_loop_is_the_definition(
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    channels_last: bool,
    dtype: torch.dtype,
    name: str,
) -> None:
    monkeypatch.setattr(native_library, "best", lambda: number)
    for shape in ((2, 8, 17, 5, 7), (1, 3, 17, 1, 2), (1, 1, 17, 3, 3), (2, 17, 17, 2, 9)):
        x = _clips(shape, channels_last=channels_last, dtype=dtype, seed=0)
        grad = _clips(shape, channels_last=channels_last, dtype=dtype, seed=1)
        _check(x, grad, GROUPS[name])


@needs_compiled
@pytest.mark.parametrize("number", SETS)
@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "channels_last"])
@pytest.mark.parametrize("shape", [(2, 8, 64, 33, 33), (1, 11, 64, 40, 40), (42, 8, 64, 7, 7)])
def test_results_larger_than_a_cache_are_the_definition(
    monkeypatch: pytest.MonkeyPatch, number: int, channels_last: bool, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr(native_library, "best", lambda: number)
    groups = [(16, [0]), (16, [-1, 0, 1]), (16, [-2, 0, 2]), (16, list(range(-6, 1)))]
    x = _clips(shape, channels_last=channels_last, dtype=torch.float32, seed=0)
    grad = _clips(shape, channels_last=channels_last, dtype=torch.float32, seed=1)
    assert 4 * x.numel() > 1 << 22
    _check(x, grad, groups)
    into = _clips(shape, channels_last=channels_last, dtype=torch.float32, seed=2)
    shifted = torch.empty(x.numel() + 1)[1:].as_strided(into.shape, into.stride())  # of no line
    frame = into.stride(1)
    num_frames = shape[0] * shape[1]
    apart = torch.empty(num_frames * (frame + 3)).as_strided(
        into.shape, (shape[1] * (frame + 3), frame + 3, *into.stride()[2:])
    )
    taps = _taps(groups)
    for out in (into, shifted, apart):
        with torch.no_grad():
            cpu_filter.temporal_filter_into(out, x, taps, _groups(groups))
        assert torch.equal(out, temporal_filter(x.detach(), taps, _groups(groups)))


@needs_compiled
@pytest.mark.parametrize("number", SETS)
@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "channels_last"])
def test_bfloat16_is_the_float32_result_rounded_as_torch_rounds(
    monkeypatch: pytest.MonkeyPatch, number: int, channels_last: bool
) -> None:
    monkeypatch.setattr(native_library, "best", lambda: number)
    groups = GROUPS["mixed"]
    x = _clips((2, 8, 17, 9, 9), channels_last=channels_last, dtype=torch.bfloat16, seed=0)
    x[0, 0, :, 0, 0] = torch.tensor(float("inf"))
    x[1, 4, :, 2, 3] = torch.tensor(float("nan"))
    narrow = temporal_filter(x, _taps(groups), _groups(groups))
    wide = temporal_filter(x.float(), _taps(groups), _groups(groups))
    torch.testing.assert_close(narrow, wide.bfloat16(), rtol=0, atol=0, equal_nan=True)


@needs_compiled
@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "channels_last"])
@pytest.mark.parametrize("num_channels", [1, 2, 3, 24, 64, 130])
def test_channel_counts_around_the_width_of_a_vector(
    num_channels: int, channels_last: bool
) -> None:
    groups = [(num_channels, [-1, 0, 1])]
    for frames in (1, 2, 7, 8, 9, 16):
        shape = (1, frames, num_channels, 4, 5)
        x = _clips(shape, channels_last=channels_last, dtype=torch.float32, seed=0)
        _check(x, _clips(shape, channels_last=False, dtype=torch.float32, seed=1), groups)


@needs_compiled
@pytest.mark.parametrize("number", SETS)
@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "channels_last"])
@pytest.mark.parametrize("earlier", ["half", "all", "none"])
def test_blocks_of_frames_fit_together_in_clips_of_any_length(
    monkeypatch: pytest.MonkeyPatch, number: int, channels_last: bool, earlier: str
) -> None:
    monkeypatch.setattr(native_library, "best", lambda: number)
    reach = {"half": lambda size: size // 2, "all": lambda size: size - 1, "none": lambda size: 0}
    groups = [(16, [tap - reach[earlier](size) for tap in range(size)]) for size in (1, 3, 5, 7, 9)]
    for num_frames in range(1, 36):
        shape = (1, num_frames, 80, 2, 9)
        x = _clips(shape, channels_last=channels_last, dtype=torch.float32, seed=num_frames)
        arguments = (x, _taps(groups), _groups(groups))
        expected = plain_filter.temporal_filter_into(torch.empty_like(x), *arguments)
        torch.testing.assert_close(temporal_filter(*arguments), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", GROUPS)
def test_plain_torch_is_the_definition(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(filter_module, "_kernel", lambda device: None)
    for channels_last in (False, True):
        x = _clips((2, 5, 17, 3, 2), channels_last=channels_last, dtype=torch.float32, seed=0)
        grad = _clips(x.shape, channels_last=not channels_last, dtype=torch.float32, seed=1)
        _check(x, grad, GROUPS[name])


@needs_compiled
@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_large_clips_are_split_among_threads(num_threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        for channels_last in (False, True):
            shape = (2, 8, 17, 40, 41)
            x = _clips(shape, channels_last=channels_last, dtype=torch.float32, seed=0)
            grad = _clips(shape, channels_last=channels_last, dtype=torch.float32, seed=1)
            _check(x, grad, GROUPS["mixed"])
    finally:
        torch.set_num_threads(before)


@needs_compiled
def test_gradients_do_not_depend_on_the_number_of_threads() -> None:
    before, results = torch.get_num_threads(), []
    for num_threads in (1, 3):
        torch.set_num_threads(num_threads)
        for channels_last in (False, True):
            x = _clips((2, 8, 17, 40, 41), channels_last=channels_last, dtype=torch.float32, seed=0)
            results.append(cpu_filter.taps_gradient(x, x, _groups(GROUPS["mixed"])))
    torch.set_num_threads(before)
    assert torch.equal(results[0], results[2]) and torch.equal(results[1], results[3])


@pytest.mark.parametrize("shape", [(0, 8, 17, 4, 4), (2, 8, 17, 0, 4), (2, 0, 17, 4, 4)])
def test_clips_of_size_zero(shape: tuple[int, ...]) -> None:
    x, taps = torch.zeros(shape, requires_grad=True), _taps(GROUPS["mixed"]).requires_grad_()
    y = temporal_filter(x, taps, _groups(GROUPS["mixed"]))
    y.sum().backward()
    assert y.shape == shape and x.grad is not None and x.grad.shape == shape
    assert taps.grad is not None and not taps.grad.any()


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[:, ::2],
        lambda x: x[:, :, 3:20],
        lambda x: x[..., 1:-1, :],
        lambda x: x[..., ::2],
        lambda x: x.transpose(-1, -2),
        lambda x: x.transpose(0, 1),
        lambda x: x[:1].expand(3, -1, -1, -1, -1),
        lambda x: x.flip(1),
    ],
)
@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "channels_last"])
def test_views_of_any_strides(view, channels_last: bool) -> None:
    base = _clips((3, 6, 23, 6, 8), channels_last=channels_last, dtype=torch.float32, seed=0)
    x = view(base)
    groups = [(x.shape[2], [-1, 0, 1])]
    y = temporal_filter(x, _taps(groups), _groups(groups))
    np.testing.assert_allclose(y.numpy(), _reference(x, _taps(groups), groups), atol=1e-5)
    assert y.stride() == torch.empty_like(x).stride()
    leaf = x.detach()
    _check(leaf, _clips(x.shape, channels_last=False, dtype=torch.float32, seed=1), groups)


def test_the_result_is_written_to_preallocated_memory() -> None:
    groups = GROUPS["mixed"]
    for dtype in (torch.float32, torch.bfloat16, torch.float64, torch.float16):
        for channels_last in (False, True):
            x = _clips((1, 4, 17, 3, 3), channels_last=channels_last, dtype=dtype, seed=0)
            out = torch.full_like(x, float("nan"))
            result = temporal_filter(x, _taps(groups), _groups(groups), out=out)
            assert result.data_ptr() == out.data_ptr()
            assert torch.equal(out, temporal_filter(x, _taps(groups), _groups(groups)))


def test_only_the_gradient_asked_for_is_computed_and_x_is_kept_only_for_the_taps() -> None:
    groups = _groups(GROUPS["mixed"])
    x, taps = torch.randn(1, 4, 17, 3, 3), _taps(GROUPS["mixed"])
    assert temporal_filter(x, taps, groups).grad_fn is None
    kept: list[tuple[int, ...]] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = temporal_filter(x.clone().requires_grad_(), taps, groups)
    assert x.shape not in kept
    y.sum().backward()
    leaf = taps.clone().requires_grad_()
    temporal_filter(x, leaf, groups).sum().backward()
    assert leaf.grad is not None


@pytest.mark.parametrize("name", ["mixed", "dilated", "shift"])
def test_second_derivatives(name: str) -> None:
    groups = [(min(count, 2), offsets) for count, offsets in GROUPS[name]]
    channels = sum(count for count, _ in groups)
    x = torch.randn(1, 4, channels, 1, 2, dtype=torch.float64, requires_grad=True)
    taps = _taps(groups).double().requires_grad_()

    def function(x: Tensor, taps: Tensor) -> Tensor:
        return temporal_filter(x, taps, _groups(groups))

    assert torch.autograd.gradcheck(function, (x, taps))
    assert torch.autograd.gradgradcheck(function, (x, taps))


def test_the_operator_is_sound_for_torch() -> None:
    groups = GROUPS["mixed"]
    for channels_last in (False, True):
        x = _clips((1, 4, 17, 2, 3), channels_last=channels_last, dtype=torch.float32, seed=0)
        arguments = (x.requires_grad_(), _taps(groups).requires_grad_(), *_groups(groups))
        torch.library.opcheck(torch.ops.mixtconv.temporal_filter.default, arguments)


def test_export_carries_it() -> None:
    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("taps", _taps(GROUPS["mixed"]))

        def forward(self, x: Tensor) -> Tensor:
            return temporal_filter(x, self.taps, _groups(GROUPS["mixed"])) * 2

    x = torch.randn(2, 4, 17, 3, 3)
    batch = torch.export.Dim("batch", min=1, max=64)
    layer = Layer()
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: batch},))
    longer = torch.randn(5, 4, 17, 3, 3)
    assert torch.equal(program.module()(longer), layer(longer))
    assert "temporal_filter" in str(program.graph)


def test_a_compiled_function_gives_the_same_and_its_gradients() -> None:
    groups = GROUPS["mixed"]

    def function(x: Tensor, taps: Tensor) -> Tensor:
        return temporal_filter(torch.relu(x), taps, _groups(groups)).square()

    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    results = []
    for run in (function, compiled):
        x = _clips((1, 4, 17, 3, 3), channels_last=True, dtype=torch.float32, seed=0)
        x, taps = x.requires_grad_(), _taps(groups).requires_grad_()
        y = run(x, taps)
        y.sum().backward()
        results.append((y, x.grad, taps.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@needs_compiled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_worker_computes_the_same() -> None:
    groups = GROUPS["mixed"]
    x = _clips((2, 8, 17, 40, 40), channels_last=False, dtype=torch.float32, seed=0)
    expected = temporal_filter(x, _taps(groups), _groups(groups))  # threads have started

    def work(queue) -> None:
        queue.put(torch.equal(temporal_filter(x, _taps(groups), _groups(groups)), expected))

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=work, args=(queue,))
    process.start()
    is_equal = queue.get(timeout=300)
    process.join()
    assert is_equal
