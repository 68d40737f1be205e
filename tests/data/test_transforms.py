"""Crops and mirrors of whole clips."""

import numpy as np
import pytest
import torch

from mixtconv.data.transforms import (
    center_crop,
    least_training_side,
    mirror,
    multi_scale_crop,
    three_crops,
)


@pytest.fixture
def ramp() -> torch.Tensor:
    """A clip whose red is the column and whose green is the row, equal in all frames."""
    height, width = 96, 128
    frame = torch.zeros(3, height, width)
    frame[0] = torch.arange(width)
    frame[1] = torch.arange(height)[:, None]
    return frame.byte().repeat(4, 1, 1, 1)


def test_a_training_crop_is_one_region_for_all_frames(ramp: torch.Tensor) -> None:
    crop = multi_scale_crop(ramp, 32, np.random.default_rng(0))
    assert crop.shape == (4, 3, 32, 32)
    assert crop.dtype == torch.uint8
    assert (crop == crop[0]).all()


def test_training_crops_have_the_published_scales_and_places(ramp: torch.Tensor) -> None:
    """Sides are 1, .875, .75 or .66 of the short side, at most one step apart; 13 places."""
    rng = np.random.default_rng(0)
    allowed = [96, 84, 72, 63]
    widths, heights = set(), set()
    for _ in range(300):
        crop = multi_scale_crop(ramp, 32, rng)[0].float()
        # the first and the last pixel centre lie half an output pixel inside the crop
        width = (crop[0, 0, -1] - crop[0, 0, 0]).item() * 32 / 31
        height = (crop[1, -1, 0] - crop[1, 0, 0]).item() * 32 / 31
        nearest = [min(allowed, key=lambda side, s=size: abs(side - s)) for size in (height, width)]
        assert abs(nearest[0] - height) < 4
        assert abs(nearest[1] - width) < 4
        assert abs(allowed.index(nearest[0]) - allowed.index(nearest[1])) <= 1
        heights.add(nearest[0])
        widths.add(nearest[1])
    assert heights == widths == set(allowed)


def test_a_clip_looks_the_same_whichever_way_it_lies_in_memory() -> None:
    clip = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 90, 120), np.uint8))
    together = clip.contiguous(memory_format=torch.channels_last)
    for seed in range(10):
        crops = [multi_scale_crop(c, 40, np.random.default_rng(seed)) for c in (clip, together)]
        assert torch.equal(*crops)
    for crop in (center_crop, three_crops):
        pairs = zip(crop(clip, 40), crop(together, 40), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("scales", [(1.0, 0.875, 0.75, 0.66), (1.0,), (0.5,)])
def test_no_training_crop_of_the_least_side_is_enlarged(scales: tuple[float, ...]) -> None:
    for size in (32, 112, 224):
        least = least_training_side(size, scales)
        assert min(scales) * least >= size > min(scales) * (least - 1)


def test_centre_crop_is_the_middle(ramp: torch.Tensor) -> None:
    (crop,) = center_crop(ramp, 56)  # short side 96 -> 64, then the middle 56
    assert crop.shape == (4, 3, 56, 56)
    assert abs(crop[0, 0].float().mean() - 63.5) < 1
    assert abs(crop[0, 1].float().mean() - 47.5) < 1


@pytest.mark.parametrize("transposed", [False, True])
def test_three_crops_cover_the_long_side(ramp: torch.Tensor, transposed: bool) -> None:
    clip = ramp.transpose(2, 3) if transposed else ramp
    crops = three_crops(clip, 56)
    assert [crop.shape for crop in crops] == [(4, 3, 64, 64)] * 3
    means = [crop[0, 0].float().mean().item() for crop in crops]
    assert means[0] < means[1] < means[2]
    assert crops[0][0, 0].min() <= 1
    assert crops[2][0, 0].max() >= 126


def test_mirror_exchanges_left_and_right_in_every_frame(ramp: torch.Tensor) -> None:
    assert torch.equal(mirror(ramp), ramp.flip(-1))
