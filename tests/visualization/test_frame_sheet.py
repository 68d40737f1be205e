"""Sheets of frames."""

import numpy as np

from mixtconv.models import ModelSpec
from mixtconv.visualization.frame_sheet import FrameRow, frame_sheet, shown_frames


def test_captions_are_whole_and_frames_in_order(check_texts):
    long_name = "Pretending to put something next to something else, but failing " * 3
    frames = np.zeros((11, 20, 40, 3), np.uint8)
    frames[:, ..., 0] = np.arange(0, 220, 20)[:, None, None]
    figure = frame_sheet([FrameRow(frames, (long_name, "a.mp4")), FrameRow(frames[:3], ())])
    check_texts(figure)
    assert " ".join(text.get_text() for text in figure.texts) == f"{long_name}a.mp4"
    strip = figure.axes[0].images[0].get_array()
    filled = strip[..., 3] > 0
    reds = [strip[filled.nonzero()[0][0], 4 + index * 230, 0] for index in range(8)]
    assert reds == sorted(reds) and len(set(reds)) == 8
    assert strip.shape[0] > 2 * 112  # eleven frames take a second line
    assert not filled.all()  # which is not full


def test_pictures_stand_for_what_a_network_sees():
    clip = np.arange(2 * 18 * 4, dtype=np.uint8).reshape(2, 18, 2, 2)
    differences = ModelSpec("tsn_resnet18", ("a",), num_frames=2, modality="rgbdiff")
    assert (shown_frames(clip, differences)[..., 1] == clip[:, 1]).all()
    flow = ModelSpec("tsn_resnet18", ("a",), num_frames=2, modality="flow")
    shown = shown_frames(clip[:, :10], flow)
    assert (shown[..., 0] == clip[:, 0]).all() and (shown[..., 2] == 128).all()
