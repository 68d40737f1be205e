"""Pictures cropped without torch are those of the test transform, but for rounding."""

import numpy as np
import pytest
import torch

from mixtconv.data.transforms import center_crop
from mixtconv.video.crops import center_crop_pictures


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(256, 340, 224), (120, 90, 112), (77, 77, 48), (480, 853, 112), (32, 41, 64), (720, 405, 224)],
)
def test_the_middle_is_that_of_the_transform_of_tensors(
    height: int, width: int, size: int, media
) -> None:
    noise = media.moving_frames(2, height=min(height, 300), width=min(width, 470))
    pixels = np.pad(
        noise,
        ((0, 0), (0, height - noise.shape[1]), (0, width - noise.shape[2]), (0, 0)),
        mode="reflect" if height < 600 and width < 600 else "symmetric",
    )
    got = center_crop_pictures(pixels, size)
    [expected] = center_crop(torch.from_numpy(pixels).permute(0, 3, 1, 2), size)
    difference = np.abs(got.astype(int) - expected.permute(0, 2, 3, 1).numpy().astype(int))
    assert got.shape == (2, size, size, 3)
    assert difference.max() <= 1
