"""The GPU's kernel against loops in double precision, plain torch, and itself in networks.

A row says how far a result was off as a part of what rounding may do: 1 is the bound.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpu_sections.reference import Filter, Results, filtered, part_of_bound, sizes
from gpu_sections.run import Run
from gpu_sections.timing import Graphs, arithmetic, products
from mixtconv.benchmarks.model import channels_last_clips, to_channels_last
from mixtconv.models import create_model, optimize_for_inference
from mixtconv.models.streaming import StreamingClassifier, StreamState
from mixtconv.ops import MixTConv, triton_filter
from mixtconv.ops import filter as filter_module
from mixtconv.ops.filter import DepthwiseTaps
from mixtconv.ops.taps import TapGroups, tap_offsets

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LAYOUTS = ("contiguous", "channels-last")


@contextmanager
def computed_by(kernel: ModuleType | None) -> Iterator[None]:
    """Let a module compute the temporal filters, or plain torch."""
    before = filter_module._kernel
    filter_module._kernel = lambda device: kernel
    try:
        yield
    finally:
        filter_module._kernel = before


@dataclass(frozen=True)
class Case:
    """Clips and a filter of random weights."""

    shape: tuple[int, ...]
    channels: tuple[int, ...]
    offsets: tuple[tuple[int, ...], ...]
    edges: str = "zeros"
    dtypes: tuple[torch.dtype, ...] = DTYPES
    layouts: tuple[str, ...] = LAYOUTS


def _centred(*kernel_sizes: int, dilation: int = 1) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(tap_offsets(size, dilation=dilation)) for size in kernel_sizes)


_MIXED = _centred(1, 3, 5, 7)
_CAUSAL = tuple(tuple(tap_offsets(size, dilation=2, causal=True)) for size in (1, 3, 5))
_TWO = (torch.float32, torch.bfloat16)

CASES = {
    "mixed": Case((2, 8, 64, 14, 14), (16, 16, 16, 16), _MIXED),
    "odd sizes": Case((3, 7, 23, 5, 9), (6, 6, 6, 5), _MIXED),
    "tokens": Case((2, 8, 96, 197, 1), (32, 32, 32), _centred(1, 3, 5), layouts=LAYOUTS[1:]),
    "shift": Case((2, 4, 48, 7, 7), (20, 4, 24), ((1,), (-1,), (0,)), dtypes=_TWO),
    "causal, dilated": Case((1, 17, 24, 6, 6), (8, 8, 8), _CAUSAL, dtypes=_TWO),
    "dilated": Case(
        (1, 9, 24, 6, 6), (12, 12), (*_centred(3, dilation=3), *_centred(5)), dtypes=_TWO
    ),
    "repeated edges": Case((2, 5, 16, 4, 4), (8, 8), _centred(3, 7), "replicate", dtypes=_TWO),
    "one frame": Case((3, 1, 16, 6, 6), (8, 8), _centred(3, 5), dtypes=_TWO),
    "longer than the clip": Case((1, 3, 8, 3, 3), (8,), _centred(9), dtypes=_TWO),
}
_FEW = {
    "odd sizes": Case((2, 5, 11, 3, 5), (3, 3, 3, 2), _MIXED),
    "repeated edges": CASES["repeated edges"],
}
"""Cases where there is no GPU, in whose place an interpreter works."""

LARGE = (9, 64, 2048, 2048)
"""T, C, H and W of a clip of 2.4e9 values, 4.5 GiB in bfloat16."""

GRADIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "of the same layout": lambda grad: grad,
    "of the other layout": lambda grad: (
        channels_last_clips(grad) if grad.is_contiguous() else grad.contiguous()
    ),
    "expanded": lambda grad: grad[:, :1, :, :1, :1].expand_as(grad),
    "every other frame": lambda grad: grad.repeat_interleave(2, 1)[:, ::2],
}


def check(run: Run) -> None:
    """Record how far the kernel is off, part by part."""
    cases = CASES if run.on_gpu else _FEW
    if run.on_gpu:
        with run.attempt("the kernel's trial"):
            fault = triton_filter.kernel_fault(run.device)
            if fault is not None:
                raise RuntimeError(f"the kernel is not used on this GPU: {fault}")
    with computed_by(triton_filter):
        for name, case in cases.items():
            for dtype, layout in itertools.product(case.dtypes, case.layouts):
                what = f"{name}, {str(dtype)[6:]}, {layout}"
                if run.has_time(what, 5):
                    with run.attempt(what):
                        _check_case(run, case, dtype, layout, what=name)
        for name, change in GRADIENTS.items():
            with run.attempt(f"gradient {name}"):
                _check_case(
                    *(run, cases["odd sizes"], torch.float32, "contiguous"),
                    change=change,
                    what=f"gradient {name}",
                )
        parts = (_check_poisoned, _check_recognizer, _check_stream)
        for part in (*parts, _check_compiled) if run.on_gpu else parts:
            if run.has_time(part.__name__.removeprefix("_check_"), 8):
                with run.attempt(part.__name__.removeprefix("_check_")):
                    part(run)
        for layout in LAYOUTS if run.on_gpu and run.sizes.large else ():
            if _has_memory(run) and run.has_time(f"more values than 32 bits, {layout}", 15):
                with run.attempt(f"more values than 32 bits, {layout}"):
                    _check_large(run, layout)
                run.free()


def _laid_out(x: Tensor, layout: str) -> Tensor:
    return channels_last_clips(x) if layout == "channels-last" else x


def _check_case(
    run: Run,
    case: Case,
    dtype: torch.dtype,
    layout: str,
    *,
    what: str,
    change: Callable[[Tensor], Tensor] = lambda grad: grad,
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, grad = (
        _laid_out(torch.randn(case.shape, generator=generator).to(run.device, dtype), layout)
        for _ in range(2)
    )
    grad = change(grad)
    weights = [
        torch.randn(channels, len(offsets), generator=generator).to(run.device)
        for channels, offsets in zip(case.channels, case.offsets, strict=True)
    ]
    taps = Filter(weights, case.offsets, case.edges)
    expected, size = filtered(taps, x, grad), sizes(taps, x, grad)
    got = _gradients(case, weights, x, grad)
    with computed_by(None):
        plain = _gradients(case, weights, x, grad)
    B, T, _, H, W = case.shape
    rounding, wide = torch.finfo(dtype).eps, torch.finfo(torch.float32).eps
    # Edges are added to the result one after the other, rounded each time as the clips are.
    rounded = 1 if case.edges == "zeros" else T * int(rounding / wide)
    counts = {"y": taps.most_taps, "grad_x": taps.most_taps, "grad_weights": B * T * H * W}
    parts, beside = {}, 0.0
    for name, number in counts.items():
        count = number * rounded
        wanted, bound, ours = getattr(expected, name), getattr(size, name), getattr(got, name)
        parts[name] = part_of_bound(ours, wanted, bound, terms=count)
        # Plain torch rounds to the clips' precision at each tap.
        loose = (taps.most_taps + 2) * rounding + (count + 1) * wide
        difference = (ours.double() - getattr(plain, name).double()).abs()
        beside = max(beside, (difference / (loose * bound + 1e-30)).max().item())
    assert got.y.dtype == got.grad_x.dtype == dtype
    assert got.y.stride() == torch.empty_like(x).stride()
    worst = max(*parts.values(), beside)
    run.record(
        check=what,
        precision=str(dtype)[6:],
        layout=layout,
        of_bound=parts,
        beside_plain_torch=beside,
        ok=worst <= 1,
    )


def _gradients(case: Case, weights: list[Tensor], x: Tensor, grad: Tensor) -> Results:
    """The result and the gradients through the operator of torch, as networks call it."""
    flat = torch.cat([each.flatten() for each in weights]).requires_grad_()
    groups = TapGroups(
        case.channels,
        tuple(map(len, case.offsets)),
        tuple(offset for offsets in case.offsets for offset in offsets),
    )
    leaf = x.detach().requires_grad_()
    y = DepthwiseTaps(flat, groups, case.edges).apply(leaf)  # type: ignore[arg-type]
    grad_x, grad_weights = torch.autograd.grad(y, (leaf, flat), grad)
    return Results(y.detach(), grad_x, grad_weights)


def _check_poisoned(run: Run) -> None:
    """Every value of the result is written, whatever the memory held before."""
    layer = MixTConv(24).to(run.device)
    for layout in LAYOUTS:
        x = _laid_out(torch.randn(1, 5, 24, 7, 5, device=run.device), layout)
        out = torch.full_like(x, float("nan"))
        layer.depthwise_taps(24).apply(x, out=out)
        with torch.no_grad():
            ok = bool(torch.equal(out, layer(x)))
        run.record(check="memory that held NaN", precision="float32", layout=layout, ok=ok)


def _check_recognizer(run: Run) -> None:
    """Loss and gradients of a network by the kernel and by plain torch, eager and as a graph.

    In bfloat16 both are compared with float32: the kernel may be no further off than plain torch,
    but for chance.
    """
    size, frames = (64, 4) if run.on_gpu else (32, 2)
    for name in ("mstnet_test_resnet", "mstnet_resnet18")[: 2 if run.on_gpu else 1]:
        torch.manual_seed(0)
        model = create_model(name, 5, num_frames=frames, image_size=size, dropout=0.0)
        to_channels_last(model.to(run.device).train())
        for module in model.modules():
            if isinstance(module, MixTConv):
                for parameter in module.parameters():
                    nn.init.normal_(parameter, std=0.5)
        clips = channels_last_clips(torch.randn(2, frames, 3, size, size, device=run.device))
        exact, ours, plain_half, half = (
            _step(run, model, clips, *how)
            for how in (
                *((None, "float32"), (triton_filter, "float32")),
                *((None, "bf16"), (triton_filter, "bf16")),
            )
        )
        off, off_half, off_plain = (
            ((each - exact).norm() / exact.norm()).item() for each in (ours, half, plain_half)
        )
        check = f"training step of {name}"
        run.record(check=check, precision="float32", off=off, ok=off <= 1e-3)
        ok = off_half <= 2 * off_plain + 1e-2
        run.record(check=check, precision="bf16", off=off_half, off_plain=off_plain, ok=ok)
        _check_graph(run, name, optimize_for_inference(model.eval()), clips)


def _step(
    run: Run, model: nn.Module, clips: Tensor, kernel: ModuleType | None, precision: str
) -> Tensor:
    """The loss of a network and all gradients."""
    with computed_by(kernel), products(precision):
        with arithmetic(precision, run.device):
            loss = F.cross_entropy(model(clips), torch.tensor([1, 3], device=run.device))
        gradients = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([each.flatten() for each in (loss, *gradients)])


def _check_graph(run: Run, name: str, fast: nn.Module, clips: Tensor) -> None:
    """A graph that is replayed on other clips gives their logits."""
    memory = clips.clone()
    with torch.inference_mode(), arithmetic("float32", run.device):
        replay = Graphs(run.device).record(lambda: fast(memory))
        memory.copy_(clips.flip(0))
        off = (replay() - fast(clips.flip(0))).abs().max().item()
    run.record(check=f"CUDA graph of {name}", precision="float32", off=off, ok=off <= 1e-4)


def _check_stream(run: Run) -> None:
    """Frame by frame the logits are those of one clip."""
    size, frames = 32 if not run.on_gpu else 64, 6
    torch.manual_seed(0)
    model = create_model("mstnet_test_resnet", 5, num_frames=frames, image_size=size, causal=True)
    model.to(run.device).eval()
    streaming, state = StreamingClassifier(model), StreamState(num_streams=2)
    clips = torch.randn(2, frames, 3, size, size, device=run.device)
    with torch.inference_mode(), arithmetic("float32", run.device):
        stream = torch.stack([streaming(clips[:, t], state) for t in range(frames)], dim=1)
        clip = model.forward_frames(clips)
    off = ((stream - clip).abs().max() / clip.abs().max()).item()
    run.record(check="stream beside clip", precision="float32", off=off, ok=off <= 1e-3)


def _check_compiled(run: Run) -> None:
    """torch.compile makes one graph of it, and its CUDA graphs take the kernel's launches."""
    layer = MixTConv(16).to(run.device)
    torch._dynamo.reset()

    def network(x: Tensor) -> Tensor:
        return layer(torch.relu(x)).square()

    compiled = torch.compile(network, fullgraph=True, mode="reduce-overhead")
    off = torch.zeros(())  # as a tensor: its maximum is NaN if a value is
    for _ in range(4):  # warm up, record, replay twice
        x = channels_last_clips(torch.randn(2, 4, 16, 10, 10, device=run.device))
        results = []
        for function in (network, compiled):
            leaf = x.clone().requires_grad_()
            y = function(leaf)
            gradients = torch.autograd.grad(y.sum(), (leaf, *layer.parameters()))
            results.append([each.clone() for each in (y, *gradients)])
        for one, other in zip(*results, strict=True):
            part = (one - other).abs().max() / one.abs().max()
            off = torch.maximum(off, part.cpu())
    ok = bool(off <= 1e-4)
    run.record(check="torch.compile", precision="float32", off=off.item(), ok=ok)


def _has_memory(run: Run) -> bool:
    free = torch.cuda.mem_get_info(run.device)[0]
    needed = 24 * 2**30
    if free < needed:
        reason = f"needs 24 GiB, {free / 2**30:.0f} GiB are free"
        run.send("skipped", {"what": "more values than 32 bits", "reason": reason})
    return free >= needed


def _check_large(run: Run, layout: str) -> None:
    """A clip of more values than 32 bits count, whose tile reaches as far."""
    T, C, H, W = LARGE
    shape = (1, T, H, W, C) if layout == "channels-last" else (1, T, C, H, W)
    x = torch.empty(shape, dtype=torch.bfloat16, device=run.device).normal_()
    if layout == "channels-last":
        x = x.permute(0, 1, 4, 2, 3)
    taps = torch.full((C,), 2.0, device=run.device)
    groups = TapGroups((C,), (1,), (1,))
    y = triton_filter.temporal_filter_into(torch.empty_like(x), x, taps, groups)
    ok = all(torch.equal(y[:, t], 2 * x[:, t + 1]) for t in range(T - 1)) and not y[:, T - 1].any()
    run.record(check="more values than 32 bits", precision="bfloat16", layout=layout, ok=bool(ok))
