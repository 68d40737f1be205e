"""The two-stream dataset is what it says: colour in single frames, motion in flow, nothing more."""

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from mixtconv.data.clips import read_frames
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.preparation.pictures import flow_method

CHANNELS = {"red": 0, "blue": 2}
CLASSES = [(colour, motion) for colour in CHANNELS for motion in ("left", "right")]


def test_the_layout_is_that_of_class_folders(two_stream: ModuleType, tmp_path: Path) -> None:
    two_stream.make_two_stream_dataset(tmp_path, videos_per_class=3, seed=0)
    catalog = load_catalog(tmp_path)
    assert catalog.classes == ("blue_left", "blue_right", "red_left", "red_right")
    assert (len(catalog.train), len(catalog.val)) == (8, 4)
    frames = [read_frames(sample.path, range(24)) for sample in (*catalog.train, *catalog.val)]
    assert len({frame.numpy().tobytes() for frame in frames}) == 12


@pytest.mark.parametrize(("colour", "motion"), CLASSES)
def test_flow_has_the_motion_and_not_the_colour(
    two_stream: ModuleType, colour: str, motion: str
) -> None:
    frames = list(two_stream.two_stream_frames(colour, motion, seed=3))
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    flow = flow_method("dis")(grey[5], grey[6])
    inside = np.abs(frames[5].astype(int)[..., 0] - frames[5].astype(int)[..., 2]) > 60
    assert np.median(flow[..., 0][inside]) == pytest.approx(-3 if motion == "left" else 3, abs=0.3)
    assert np.abs(flow[~inside]).mean() < 1
    other = "blue" if colour == "red" else "red"
    recoloured = two_stream.two_stream_frames(other, motion, seed=3)
    for frame, expected in zip(recoloured, grey, strict=True):
        got = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize(("colour", "channel"), CHANNELS.items())
def test_a_single_frame_has_the_colour_and_not_the_motion(
    two_stream: ModuleType, colour: str, channel: int
) -> None:
    """The square goes round in 32 steps, so either motion shows the frames of the other."""
    left, right = (
        np.stack(list(two_stream.two_stream_frames(colour, motion, seed=1)))
        for motion in ("left", "right")
    )
    assert np.array_equal(right[9:], left[:8:-1])
    assert left.reshape(-1, 3).mean(axis=0).argmax() == channel
