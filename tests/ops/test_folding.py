"""Folding time into the batch."""

import pytest
import torch

from mixtconv.ops import fold_time, unfold_time


def test_frames_of_a_clip_stay_neighbours_in_the_batch():
    clips = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4, 1, 1)
    frames = fold_time(clips)
    for b in range(2):
        for t in range(3):
            assert torch.equal(frames[b * 3 + t], clips[b, t])


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_unfolding_and_folding_are_views_and_undo_each_other(memory_format):
    frames = torch.randn(6, 4, 3, 5).contiguous(memory_format=memory_format)
    clips = unfold_time(frames, 3)
    again = fold_time(clips)
    assert clips.shape == (2, 3, 4, 3, 5)
    assert torch.equal(again, frames)
    assert again.is_contiguous(memory_format=memory_format)
    assert again.data_ptr() == clips.data_ptr() == frames.data_ptr()


def test_features_without_height_and_width_are_folded_as_well():
    assert torch.equal(fold_time(unfold_time(torch.eye(6), 2)), torch.eye(6))


def test_a_batch_that_is_no_whole_number_of_clips_is_refused():
    with pytest.raises(ValueError, match=r"batch of 7 frames .* clips of 3.*set_num_frames"):
        unfold_time(torch.zeros(7, 1, 1, 1), 3)
