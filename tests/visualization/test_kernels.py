"""Temporal kernels as a figure, and the numbers beside it."""

from dataclasses import replace

import numpy as np
import pytest

from mixtconv import create_model
from mixtconv.ops.taps import initial_taps
from mixtconv.visualization import KernelGroup, KernelSite, temporal_kernels
from mixtconv.visualization.kernels import channel_order, learned_kernels, tap_name, time_shares

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


def group(size: int, *, channels: int = 16, dilation: int = 1) -> KernelGroup:
    return KernelGroup(size, dilation, initial_taps(channels, size).numpy())


def test_channels_are_sorted_from_past_to_future():
    shuffled = replace(group(5), weights=group(5).weights[::-1])
    rows = shuffled.weights[channel_order(shuffled)]
    assert rows[0].tolist() == [1, 1, 0, 0, 0] and rows[-1].tolist() == [0, 0, 0, 1, 1]


def test_start_and_learned_are_drawn_in_one_order_and_scale():
    learned = tuple(replace(group(k), weights=-2 * group(k).weights[::-1]) for k in (1, 3, 5, 7))
    site = KernelSite("layer1", learned, tuple(group(k) for k in (1, 3, 5, 7)))
    figure = temporal_kernels(site)
    images = [axes.images[0].get_array() for axes in figure.axes]
    assert [image.shape[:2] for image in images[:4]] == [(16, 1), (16, 3), (16, 5), (16, 7)]
    start, after = images[1], images[5]
    assert after[0, 0, 3] == 255 and start[0, 1, 3] == 128  # the same channel, half as strong
    assert tuple(after[0, 0, :3]) != tuple(start[0, 1, :3])  # subtracted, added


def test_taps_are_named_by_frame():
    figure = temporal_kernels(KernelSite("a", (group(7), group(3, dilation=3))))
    shown = [text.get_text() for axes in figure.axes for text in axes.texts]
    for text in (f"t{MINUS}3", "t", "t+3", "size 7", f"size 3{TIMES}3", "learned"):
        assert text in shown
    assert "at the start" not in shown
    assert tap_name(-12) == f"t{MINUS}12"


def test_shares_of_time():
    shares = time_shares(KernelGroup(3, 1, np.array([[-1.0, 0.0, 0.0], [0.0, 2.0, 1.0]])))
    assert (shares.before, shares.present, shares.after) == (0.25, 0.5, 0.25)
    causal = time_shares(KernelGroup(3, 1, np.array([[1.0, 1.0, 2.0]]), causal=True))
    assert (causal.before, causal.present, causal.after) == (0.5, 0.5, 0.0)


@pytest.mark.parametrize("sizes", [(3,), (1, 3, 5, 7), (13,), (1, 3, 5, 7, 9, 11)])
def test_labels_neither_cut_nor_overlapping(sizes, check_texts):
    groups = tuple(group(size) for size in sizes)
    check_texts(temporal_kernels(KernelSite("layer4.1.conv1", groups, groups)))


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(16, 3\); they must be \(channels, 5\)"):
        KernelGroup(5, 1, group(3).weights)
    with pytest.raises(ValueError, match="same groups twice"):
        KernelSite("a", (group(3),), (group(5),))


def test_kernels_of_keys_and_of_values_are_places_of_their_own():
    model = create_model("mstvit_test_vit", num_classes=2, num_frames=2, image_size=32)
    sites = learned_kernels(model)
    assert len(sites) == 2 * 6
    assert [site.module for site in sites[:2]] == [
        "blocks.0.attn.qkv.key",
        "blocks.0.attn.qkv.value",
    ]
    assert [group.kernel_size for group in sites[0].groups] == [1, 3, 5, 7]
    assert sum(len(group.weights) for group in sites[0].groups) == 64
