"""Temporal operations as convolutions over time, against plain loops."""

import pytest
import torch
from torch import Tensor

from mixtconv.exporting.clip_layout import LAYOUTS, LayoutName, TimeKernel
from mixtconv.exporting.token_filter import TokenFilter
from mixtconv.models.structure.token_layout import TokenLayout
from mixtconv.ops import TemporalConv
from mixtconv.ops.filter import DepthwiseTaps
from mixtconv.ops.taps import TapGroups

GROUPS = {
    "mixed": ([2, 3, 1], [1, 3, 5], [0, -1, 0, 1, -2, -1, 0, 1, 2]),
    "dilated": ([2, 2], [3, 3], [-3, 0, 3, -6, 0, 6]),
    "causal": ([2, 2], [1, 3], [0, -2, -1, 0]),
    "shift": ([1, 1, 4], [1, 1, 1], [1, -1, 0]),
    "longer than the clip": ([3], [7], [-3, -2, -1, 0, 1, 2, 3]),
}
NUM_FRAMES = 3


def _by_loops(x: Tensor, taps: DepthwiseTaps) -> Tensor:
    """Frame by frame, channel by channel, tap by tap: (B, T, C, H, W) -> same."""
    y = torch.zeros_like(x)
    channel = tap = offset = 0
    groups = taps.groups
    for channels, count in zip(groups.channels, groups.num_taps, strict=True):
        for c in range(channel, channel + channels):
            for index in range(count):
                for t in range(x.shape[1]):
                    met = t + groups.offsets[offset + index]
                    if 0 <= met < x.shape[1]:
                        y[:, t, c] += taps.weights[tap + index] * x[:, met, c]
            tap += count
        channel, offset = channel + channels, offset + count
    return y


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("groups", GROUPS)
def test_a_depthwise_operation_is_the_convolution_of_its_kernel(
    groups: str, layout: LayoutName
) -> None:
    tap_groups = TapGroups(*map(tuple, GROUPS[groups]))
    random = torch.Generator().manual_seed(0)
    taps = DepthwiseTaps(torch.randn(tap_groups.num_weights, generator=random), tap_groups)
    clip = torch.randn(2, NUM_FRAMES, sum(tap_groups.channels), 4, 5, generator=random)
    got = _through(layout, TimeKernel.depthwise(taps), clip)
    torch.testing.assert_close(got, _by_loops(clip, taps))


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("groups", GROUPS)
def test_an_operation_on_tokens_is_the_convolution_of_its_kernel(groups: str, parts: int) -> None:
    tap_groups = TapGroups(*map(tuple, GROUPS[groups]))
    taps = DepthwiseTaps(torch.randn(tap_groups.num_weights), tap_groups)
    clip = torch.randn(2, NUM_FRAMES, sum(tap_groups.channels), 4, 5)
    # Tokens (B * T * P, H / P, W, C): each part of a frame has its upper or its lower rows.
    tokens = clip.permute(0, 1, 3, 4, 2).reshape(2 * NUM_FRAMES * parts, 4 // parts, 5, -1)
    layout = TokenLayout(parts)
    got = TokenFilter(TimeKernel.depthwise(taps), NUM_FRAMES, layout)(tokens)
    frames = got.reshape(2, NUM_FRAMES, 4, 5, -1).permute(0, 1, 4, 2, 3)
    torch.testing.assert_close(frames, _by_loops(clip, taps))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"kernel_size": 5, "dilation": 2}])
def test_an_ordinary_convolution_is_that_of_its_kernel(options: dict, layout: LayoutName) -> None:
    torch.manual_seed(0)
    layer = TemporalConv(3, **options)
    torch.nn.init.normal_(layer.weight)
    clip = torch.randn(2, NUM_FRAMES, 3, 4, 5)
    expected = torch.zeros_like(clip)
    for t in range(NUM_FRAMES):
        for tap, offset in enumerate(layer.offsets):
            if 0 <= t + offset < NUM_FRAMES:
                mixed = torch.einsum("oc,bchw->bohw", layer.weight[..., tap], clip[:, t + offset])
                expected[:, t] += mixed.detach()
    got = _through(layout, TimeKernel.ordinary(layer), clip)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def _through(layout: LayoutName, kernel: TimeKernel, clip: Tensor) -> Tensor:
    """Frames to the layout, through the filter and back."""
    form = LAYOUTS[layout]
    x = form.to_clip(NUM_FRAMES)(clip.flatten(0, 1))
    y = form.to_frames(NUM_FRAMES)(form.filter(kernel, NUM_FRAMES)(x))
    return y.unflatten(0, (-1, NUM_FRAMES))
