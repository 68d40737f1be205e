"""Fixtures for preparation."""

import pytest


@pytest.fixture(scope="module")
def clips(media, tmp_path_factory):
    """Two clips that differ in length, one MP4 and one AVI."""
    folder = tmp_path_factory.mktemp("clips")
    frames = media.moving_frames(20, height=40, width=48)
    short = media.encode(folder / "short.mp4", frames[:9])
    return {".mp4": short, ".avi": media.encode(folder / "long.avi", frames, codec="mpeg4")}
