"""Changes drawn for a whole clip: those of torchvision, alike in all frames."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from mixtconv.data.rand_augment import OPERATIONS, erase_box, rand_augment


def _clip(num_frames: int, size: int = 32) -> Tensor:
    """Smooth random frames whose darkest and brightest values are far from 0 and 255."""
    torch.manual_seed(0)
    coarse = 60 + 100 * torch.rand(num_frames, 3, 6, 6)
    return v2.functional.resize(coarse, [size, size]).byte()


@pytest.mark.parametrize("magnitude", [5, 7])
def test_a_change_of_one_frame_is_one_of_those_of_torchvision(magnitude: int) -> None:
    """All that either draws in 300 times; 7 of 10 is bin 7 of 11."""
    frame = _clip(1)
    fill = frame.movedim(1, 0).flatten(1).float().mean(dim=1).tolist()
    reference = v2.RandAugment(
        1, magnitude, num_magnitude_bins=11, interpolation=InterpolationMode.BILINEAR, fill=fill
    )
    expected, found = {}, {}
    for seed in range(300):
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        ours = rand_augment(frame, rng, num_operations=1, magnitude=magnitude)
        for results, result in ((expected, reference(frame)), (found, ours)):
            results[result.contiguous().numpy().tobytes()] = result.int()
    first, other = (torch.stack(list(results.values())) for results in (expected, found))
    distance = (first[:, None] - other[None]).abs().amax(dim=(2, 3, 4, 5))  # rounded apart: 1
    assert len(expected) == len(found) > 20
    assert ((distance <= 1).sum(dim=0) == 1).all() and ((distance <= 1).sum(dim=1) == 1).all()


@pytest.mark.parametrize("shape", [(4, 3, 32, 32), (4, 6, 3, 32, 32)])
def test_equal_frames_stay_equal_whatever_is_drawn(shape: tuple[int, ...]) -> None:
    frame = _clip(1)[0]
    clip = frame.expand(shape)
    results = set()
    for seed in range(40):
        changed = rand_augment(clip, np.random.default_rng(seed), num_operations=2, magnitude=7)
        first = changed.flatten(0, -4)[0]
        assert changed.shape == shape and changed.dtype == torch.uint8
        assert (changed == first).all()
        results.add(first.contiguous().numpy().tobytes())
    assert len(results) > 30


@pytest.mark.parametrize("level", [-0.7, 0.7])
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_what_enters_a_scene_does_not_change_the_rest_of_it(name: str, level: float) -> None:
    """The second frame has a bright and a dark box; what is still in both stays the same."""
    clip = _clip(1).repeat(2, 1, 1, 1)
    clip[1, :, 10:14, 10:20], clip[1, :, 14:18, 10:20] = 255, 0
    mark = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    mark[:, :, 8:20, 8:22] = 255  # with the pixels beside the boxes
    is_shape = name in ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
    # On black the corners are black, so that the mark moves alone.
    moved = OPERATIONS[name](mark, level) if is_shape else mark
    elsewhere = moved[0, 0] == 0
    changed = OPERATIONS[name](clip, level)
    assert elsewhere.sum() > 500
    assert torch.equal(changed[0, :, elsewhere], changed[1, :, elsewhere])


def test_a_box_of_the_same_noise_is_erased_in_all_frames() -> None:
    """Outside nothing changes; the box covers 2 to 33 % and is 0.3 to 3.3 times as high as wide."""
    clip = torch.full((4, 3, 60, 80), 7, dtype=torch.uint8)
    areas, ratios, places = [], [], set()
    for seed in range(200):
        erased = erase_box(clip, np.random.default_rng(seed))
        assert (erased == erased[:1]).all()
        differs = (erased[0] != 7).any(dim=0)
        rows, columns = (
            differs.any(dim=1).nonzero().flatten(),
            differs.any(dim=0).nonzero().flatten(),
        )
        height, width = len(rows), len(columns)
        assert rows[-1] - rows[0] + 1 == height and columns[-1] - columns[0] + 1 == width
        assert differs.sum() > 0.99 * height * width  # noise may be as the picture by chance
        areas.append(height * width / 4800)
        ratios.append(height / width)
        places.add((int(rows[0]), int(columns[0])))
    assert 0.019 < min(areas) < 0.05 and 0.27 < max(areas) < 0.335
    assert 0.28 < min(ratios) < 0.5 and 2 < max(ratios) < 3.5
    assert len(places) > 150 and erased.amin() == 0 and erased.amax() > 250
    assert (clip == 7).all()  # which copies of it share
