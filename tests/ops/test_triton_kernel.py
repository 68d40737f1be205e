"""The GPU kernel compiled for an H100, which needs no GPU: what the interpreter does not see.

The memory's bandwidth takes wide accesses, and they are lost silently where the compiler no longer
knows that addresses are aligned.
"""

import re

import pytest
import torch

triton = pytest.importorskip("triton")
import triton.language as tl  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from mixtconv.ops.triton_kernel import filter_tile  # noqa: E402
from mixtconv.ops.triton_tiling import choose_tiling  # noqa: E402

pytestmark = pytest.mark.skipif(
    tuple(int(n) for n in triton.__version__.split(".")[:2]) < (3, 3),
    reason="older releases of Triton describe the arguments of a kernel otherwise",
)


@pytest.fixture(autouse=True)
def _nothing_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def compiled(tiling, dtype, *, filters=True, gradient=False, mixed=False, capability=90):
    """The kernel, all pointers aligned to 16 bytes as torch allocates them."""
    value = {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]
    types = dict.fromkeys(("source_ptr", "filtered_ptr", "partner_ptr"), f"*{value}")
    types |= {"taps_ptr": "*fp32", "partial_ptr": "*fp32"}
    types |= dict.fromkeys(("first_step_ptr", "steps_ptr", "slots_ptr"), "*i32")
    constants = {
        "SIGN": -1 if gradient else 1,
        "FILTER": filters,
        "GRADIENT": gradient,
        "MIXED": mixed,
        "CHANNEL_AXIS": tiling.channel_axis,
        "VECTOR": tiling.vector,
        "TILE_FRAMES": tiling.tile_frames,
        "TILE_ROWS": tiling.tile_rows,
        "TILE_COLUMNS": tiling.tile_columns,
        "WIDE": tl.float32,
        "LOCAL": tl.int64 if tiling.wide_offsets else tl.int32,
    }
    names = filter_tile.arg_names
    source = ASTSource(
        fn=filter_tile,
        signature={
            name: "constexpr" if name in constants else types.get(name, "i32") for name in names
        },
        constexprs=constants,
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in types},
    )
    options = {"num_warps": tiling.num_warps, "num_stages": 1, "maxnreg": tiling.max_registers}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def accesses(ptx, kind, num_bytes):
    """How many `ld` or `st` of device memory are that wide."""
    found = re.findall(rf"\b{kind}\.global(?:\.\w+)*?(?:\.v(\d))?\.b(\d+)", ptx)
    return sum(int(count or 1) * int(bits) // 8 == num_bytes for count, bits in found)


def vectors_of_a_thread(tiling):
    values = tiling.tile_frames * tiling.tile_rows * tiling.tile_columns
    return values // (32 * tiling.num_warps * tiling.vector)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels-last"])
@pytest.mark.parametrize(("channels", "side"), [(256, 56), (1024, 14), (2048, 7)])
def test_a_resnet_is_filtered_by_wide_accesses(dtype, channels_last, channels, side):
    itemsize = dtype.itemsize
    tiling = choose_tiling(
        8,
        channels,
        side * side,
        itemsize=itemsize,
        channels_last=channels_last,
        taps_gradient=False,
    )
    ptx = compiled(tiling, dtype).asm["ptx"]
    num_bytes = tiling.vector * itemsize
    assert accesses(ptx, "ld", num_bytes) >= vectors_of_a_thread(tiling)
    assert accesses(ptx, "st", num_bytes) == vectors_of_a_thread(tiling)


@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels-last"])
@pytest.mark.parametrize("filters", [False, True], ids=["taps", "both"])
def test_gradients_are_computed_by_accesses_of_8_bytes(channels_last, filters):
    tiling = choose_tiling(
        8, 256, 56 * 56, itemsize=2, channels_last=channels_last, taps_gradient=True
    )
    ptx = compiled(tiling, torch.bfloat16, filters=filters, gradient=True).asm["ptx"]
    assert accesses(ptx, "ld", 8) == 2 * vectors_of_a_thread(tiling)
    assert accesses(ptx, "st", 8) == filters * vectors_of_a_thread(tiling)
    assert "atom" not in ptx
    assert "red.global" not in ptx


@pytest.mark.parametrize("mixed", [False, True])
def test_clips_too_large_for_32_bits_compile(mixed):
    tiling = choose_tiling(8, 256, 2**21, itemsize=2, channels_last=True, taps_gradient=True)
    assert tiling.wide_offsets
    assert compiled(tiling, torch.bfloat16, gradient=True, mixed=mixed)


@pytest.mark.parametrize("capability", [80, 89, 120])
def test_other_gpus_are_compiled_for_within_their_shared_memory(capability):
    """To machine code, for which the assembler has to find the registers."""
    tiling = choose_tiling(8, 256, 56 * 56, itemsize=2, channels_last=True, taps_gradient=True)
    kernel = compiled(tiling, torch.bfloat16, gradient=True, mixed=True, capability=capability)
    assert kernel.asm["cubin"]
    assert kernel.metadata.shared <= 48 * 1024  # more has to be asked for
