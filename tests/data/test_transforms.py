"""Crops and mirrors of whole clips."""

import numpy as np
import pytest
import torch

from mixtconv.data.transforms import (
    Jitter,
    center_crop,
    center_jitter_crop,
    jitter_pictures,
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


def test_colours_change_by_factors_within_the_bounds_alike_in_all_frames() -> None:
    rng, factors = np.random.default_rng(0), []
    greys = torch.tensor([60, 100, 140], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 8, 8)
    for _ in range(60):
        clip = jitter_pictures(greys, Jitter(color=0.4), rng)
        assert (clip == clip[:, :1, :1, :1]).all()  # grey stays grey, even stays even
        first, middle, last = clip[:, 0, 0, 0].tolist()
        assert abs(last - middle - (middle - first)) <= 2  # one line of old to new for all frames
        factors.append(middle / 100)  # of brightness: 100 is the mean, which contrast leaves
    assert 0.57 < min(factors) < 0.7 and 1.3 < max(factors) < 1.41  # rounded down three times
    red = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    red[:, 0] = 100
    spread = [
        int(clip.amax() - clip.amin())
        for clip in (jitter_pictures(red, Jitter(color=0.4), rng) for _ in range(20))
    ]
    assert len(set(spread)) > 5


def test_a_clip_is_rotated_as_a_whole_by_at_most_the_angle() -> None:
    rng, angles = np.random.default_rng(0), []
    clip = torch.zeros(2, 6, 3, 65, 65, dtype=torch.uint8)  # as of differences
    clip[..., 30:35, 52:57] = 255  # right of the centre (32, 32)
    for _ in range(40):
        turned = jitter_pictures(clip, Jitter(degrees=20), rng)
        assert turned.shape == clip.shape and (turned == turned[:1, :1]).all()
        row, column = (turned[0, 0, 0] > 128).nonzero().float().mean(dim=0).tolist()
        angles.append(np.degrees(np.arctan2(32 - row, column - 32)))
    assert -21 < min(angles) < -15 and 15 < max(angles) < 21


def test_without_jitter_a_clip_is_as_it_was(ramp: torch.Tensor) -> None:
    assert jitter_pictures(ramp, Jitter(time=0.5), np.random.default_rng(0)) is ramp


def test_crops_near_the_center_stay_near_it_and_vary() -> None:
    height, width = 120, 160
    rows = torch.arange(height).view(1, 1, -1, 1).expand(1, 3, height, width)
    columns = torch.arange(width).view(1, 1, 1, -1).expand(1, 3, height, width)
    rng = np.random.default_rng(0)
    centers, extents = [], []
    for _ in range(300):
        seed = int(rng.integers(2**31))
        found = []
        for values in (rows, columns):  # the same crop of both
            crop = center_jitter_crop(
                values.to(torch.uint8), 64, np.random.default_rng(seed), scales=(0.9, 0.7)
            ).float()
            line = crop[0, 0, :, 32] if values is rows else crop[0, 0, 32, :]
            found.append((line.mean().item(), (line[-1] - line[0]).item() * 64 / 63))
        centers.append([center for center, _ in found])
        extents.append([extent for _, extent in found])
    offsets = np.abs(np.array(centers) - [(height - 1) / 2, (width - 1) / 2])
    assert offsets.max() < 0.08 * 120 + 1.5 and offsets.max(axis=0).min() > 5
    assert np.min(extents) > 0.7 * 120 / 1.1 - 2 and np.max(extents) < 0.9 * 120 * 1.1 + 2
    assert np.ptp(extents, axis=0).min() > 20
