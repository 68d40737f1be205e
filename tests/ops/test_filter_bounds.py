"""The compiled loop reads nothing outside its clips: they end, or begin, at a page without access.

Only where the system has `mprotect`; a read beyond the page ends the process that runs the test.
"""

import ctypes
import mmap
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from mixtconv.ops import cpu_filter, native_library, plain_filter
from mixtconv.ops.taps import TapGroups

SETS = list(native_library.instruction_sets()) if cpu_filter.is_available() else []
NUM_PAGES = 32


def filtered(kernel: ModuleType, x: Tensor, taps: Tensor, groups: TapGroups) -> Tensor:
    return kernel.temporal_filter_into(torch.empty_like(x), x, taps, groups)


@pytest.fixture(scope="module")
def memory() -> Iterator[Tensor]:
    """Numbers between two pages that may not be touched."""
    protect = getattr(ctypes.CDLL(None), "mprotect", None)
    if protect is None:
        pytest.skip("this system has no mprotect")
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    page = mmap.PAGESIZE
    pages = mmap.mmap(-1, (NUM_PAGES + 2) * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    guards = (start, start + (NUM_PAGES + 1) * page)
    for guard in guards:
        assert protect(guard, page, 0) == 0
    yield torch.from_numpy(np.frombuffer(pages, np.float32)[page // 4 : -page // 4])
    for guard in guards:
        protect(guard, page, mmap.PROT_READ | mmap.PROT_WRITE)


@pytest.mark.parametrize("number", SETS)
@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "channels_last"])
@pytest.mark.parametrize("size", [1, 3, 5, 7, 9])
def test_no_frame_outside_the_clip_is_read(
    monkeypatch: pytest.MonkeyPatch, memory: Tensor, number: int, channels_last: bool, size: int
) -> None:
    monkeypatch.setattr(native_library, "best", lambda: number)
    channels, width = (16, 19) if channels_last else (2, 19)
    taps = torch.randn(channels * size, generator=torch.Generator().manual_seed(0))
    for num_frames in range(1, 27):
        for earlier in (size // 2, size - 1, 0):
            offsets = tuple(tap - earlier for tap in range(size))
            groups = TapGroups((channels,), (size,), offsets)
            shape = (1, num_frames, channels, 1, width)
            values = torch.randn(shape, generator=torch.Generator().manual_seed(num_frames))
            expected = filtered(plain_filter, values, taps, groups)
            for place in (memory[: values.numel()], memory[-values.numel() :]):
                if channels_last:
                    x = place.view(1, num_frames, 1, width, channels).permute(0, 1, 4, 2, 3)
                else:
                    x = place.view(shape)
                y = filtered(cpu_filter, x.copy_(values), taps, groups)
                torch.testing.assert_close(y, expected, rtol=0, atol=1e-4)
