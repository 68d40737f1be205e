"""One step of a stream in every layout of its past, against sums over its frames."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mixtconv.exporting.clip_layout import TimeKernel
from mixtconv.exporting.stream_layout import STREAM_LAYOUTS, StreamLayoutName

C, H, W = 4, 3, 5
KERNELS = {
    "depthwise": TimeKernel(torch.randn(C, 1, 3), first=-2, step=1, groups=C),
    "dilated": TimeKernel(torch.randn(C, 1, 3), first=-6, step=3, groups=C),
    "ordinary": TimeKernel(torch.randn(C, C, 2), first=-2, step=2, groups=1),
}
PAST = {  # (B, D, C, H, W) -> the layout's
    "volume": lambda frames: frames.transpose(0, 2, 1, 3, 4),
    "rows": lambda frames: np.concatenate([*frames.swapaxes(0, 1)], axis=2),
    "rows_last": lambda frames: np.concatenate([*frames.transpose(1, 0, 3, 4, 2)], axis=1),
}


@pytest.mark.parametrize("layout", STREAM_LAYOUTS)
@pytest.mark.parametrize("name", KERNELS)
def test_a_step_mixes_the_frames_that_its_taps_meet(name: str, layout: StreamLayoutName) -> None:
    kernel = KERNELS[name]
    depth = -kernel.first
    frames = np.random.default_rng(0).normal(size=(2, depth + 1, C, H, W)).astype(np.float32)
    seen: list[np.ndarray] = []

    def remember(new: Tensor, length: int, *, axis: int) -> Tensor:
        past = torch.from_numpy(np.ascontiguousarray(PAST[layout](frames[:, :-1])))
        assert past.shape[axis] == length
        window = torch.cat([past, new], dim=axis)
        seen.append(window.numpy())
        return window

    got = STREAM_LAYOUTS[layout](kernel)(torch.from_numpy(frames[:, -1]), remember)
    np.testing.assert_array_equal(seen[0], PAST[layout](frames))
    expected = np.zeros((2, C, H, W), np.float32)
    for tap in range(kernel.weight.shape[2]):
        weight, frame = kernel.weight[:, :, tap].numpy(), frames[:, tap * kernel.step]
        if kernel.groups == 1:
            expected += np.einsum("oc,bchw->bohw", weight, frame)
        else:
            expected += weight.reshape(C, 1, 1) * frame
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", STREAM_LAYOUTS)
def test_groups_of_channels_are_cut_off_in_order(layout: StreamLayoutName) -> None:
    x = torch.randn(2, 6, H, W)
    first, second, third = STREAM_LAYOUTS[layout].split(x, [1, 3, 2])
    assert torch.equal(first, x[:, :1])
    assert torch.equal(second, x[:, 1:4])
    assert torch.equal(third, x[:, 4:])
