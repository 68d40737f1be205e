"""Decoded frames are shown upright, whatever else they carry."""

import av
import numpy as np
import pytest

from mixtconv.data.clips import read_frames
from mixtconv.video import decoding


def test_frames_with_side_data_that_pyav_does_not_know_are_read(media, tmp_path):
    frames = media.moving_frames(4)
    path = media.encode(tmp_path / "a.mov", frames, codec="tiff", pixel_format="rgb24")
    assert np.array_equal(read_frames(path, range(4)).permute(0, 2, 3, 1).numpy(), frames)


@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_such_frames_are_turned_all_the_same(matrix, media, tmp_path):
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(2))
    media.set_display_matrix(path, *matrix)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))

    class Unknown:
        rotation = frame.rotation

        @property
        def side_data(self):
            raise ValueError("31 is not a valid Type")

    assert decoding._turn(Unknown()) == decoding._turn(frame)
