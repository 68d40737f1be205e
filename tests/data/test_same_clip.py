"""Another model sees of a clip what the first one sees, at its own size and number of frames."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mixtconv.data.dataset import VideoItem, collate
from mixtconv.data.epoch_sampler import SampleKey
from mixtconv.data.labels import mirror_labels
from mixtconv.data.listing import VideoSample
from mixtconv.data.same_clip import places_in_span
from mixtconv.data.training_clips import RepeatedClips, TrainingClips
from mixtconv.data.transforms import Jitter
from mixtconv.models import ModelSpec
from mixtconv.video.sampling import training_clip
from mixtconv.video.writer import write_video

CLASSES = ("move left", "move right", "jump")
SPEC = ModelSpec("tsn_test_resnet", CLASSES, num_frames=4, image_size=32)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> VideoSample:
    """A video of soft pictures, each brighter than the one before."""
    path = tmp_path_factory.mktemp("videos") / "one.mp4"
    coarse = np.random.default_rng(1).uniform(0, 90, (1, 3, 4, 5))
    picture = F.interpolate(torch.from_numpy(coarse), (96, 128), mode="bicubic")[0].clamp(0)
    frames = [picture + 3 * time for time in range(48)]
    pixels = torch.stack(frames).permute(0, 2, 3, 1).round().byte().numpy()
    write_video(path, pixels, frames_per_second=24)
    return VideoSample(path, 0)


def _item(clips: TrainingClips, epoch: int) -> VideoItem:
    item = clips[SampleKey(epoch, 0)]
    assert isinstance(item, VideoItem)
    return item


def _place(frames: torch.Tensor) -> torch.Tensor:
    """When each picture (..., H, W) was filmed, but for a constant."""
    return frames.float().mean(dim=(1, 2, 3)) / 3


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 16, 31])
@pytest.mark.parametrize("places", [[5], [2, 12, 22, 32], [0, 0, 1, 1], [3, 9, 27, 39]])
def test_places_cover_the_same_time(places: list[int], count: int) -> None:
    found = places_in_span(places, count, 40)
    assert len(found) == count
    assert found == sorted(found)
    assert found[0] >= 0 and found[-1] < 40
    if count == len(places):
        assert found == places
    if count < len(places):
        assert set(found) <= set(places)
    else:  # no further out than the distance between two of the clip
        gap = max([b - a for a, b in pairwise(places)], default=0)
        assert places[0] - gap <= found[0] and found[-1] <= places[-1] + gap
        middle = [found[int((i + 0.5) * count / len(places))] for i in range(len(places))]
        assert all(abs(a - b) <= max(1, gap) for a, b in zip(middle, places, strict=True))


def test_a_clip_that_goes_over_the_end_goes_on_at_the_start() -> None:
    assert places_in_span([30, 36, 2, 8], 8, 40) == [29, 32, 35, 38, 1, 4, 7, 10]


@pytest.mark.parametrize("shorter", [0, 5])
@pytest.mark.parametrize("count", [1, 2, 4, 6, 8, 16, 32])
@pytest.mark.parametrize(
    ("num_frames", "length", "stride"), [(40, 8, 2), (40, 8, 8), (64, 8, 8), (9, 4, 3), (23, 16, 2)]
)
def test_a_window_at_a_stride_is_seen_for_its_whole_time_and_no_more(
    num_frames: int, length: int, stride: int, count: int, shorter: int
) -> None:
    """Also of a model of snippets, which begin at fewer places, and where the window wraps."""
    spec = replace(SPEC, sampling="dense", num_frames=length, frame_stride=stride)
    num_places = num_frames - shorter
    for seed in range(20):
        own = training_clip(spec, num_frames, np.random.default_rng(seed))
        found = places_in_span(own, count, num_places, of_clip=num_frames)
        assert len(found) == count and min(found) >= 0 and max(found) < num_places
        there = [(own[0] + step) % num_frames for step in range(-stride, length * stride)]
        assert set(found) <= {min(place, num_places - 1) for place in there}
        for place, other in zip(own, _stretched(found, length), strict=True):
            away = [(place - other) % num_frames, (other - place) % num_frames]
            nearest = min(*away, abs(min(place, num_places - 1) - other))
            assert nearest <= stride * max(1, length / count), (own, found)


def _stretched(places: list[int], length: int) -> list[int]:
    """Of each of so many equal parts of a list one element, that in its middle."""
    return [places[int((part + 0.5) * len(places) / length)] for part in range(length)]


def test_the_same_form_is_the_same_clip_to_the_last_bit(sample: VideoSample) -> None:
    jitter = Jitter(time=0.3, color=0.3, degrees=10, operations=2, erasing=1.0)
    other = replace(SPEC, modality="motion", classes=("a", "b"))
    options: dict[str, Any] = {"mirroring": mirror_labels(CLASSES), "jitter": jitter}
    alone = TrainingClips([sample], SPEC, **options)
    clips = TrainingClips([sample], SPEC, others=[other], **options)
    for epoch in range(4):
        item = _item(clips, epoch)
        assert torch.equal(item.frames, item.others[0])
        assert torch.equal(item.frames, _item(alone, epoch).frames)


@pytest.mark.parametrize(
    "jitter",
    [Jitter(), Jitter(time=0.4), Jitter(color=0.4, degrees=20), Jitter(erasing=1.0)],
    ids=["crop", "time", "color", "erased"],
)
@pytest.mark.parametrize("places", ["anywhere", "center"])
def test_another_size_is_cropped_changed_and_mirrored_alike(
    sample: VideoSample, jitter: Jitter, places: Any
) -> None:
    other = replace(SPEC, image_size=64)
    clips = TrainingClips(
        [sample],
        SPEC,
        mirroring=mirror_labels(CLASSES),
        jitter=jitter,
        crop_places=places,
        others=[other],
    )
    seen = set()
    for epoch in range(8):
        item = _item(clips, epoch)
        shrunk = F.interpolate(item.others[0].float(), (32, 32), mode="area")
        difference = (shrunk - item.frames.float()).abs()
        # The noise of an erased box is drawn for each size, and its edge is that of a pixel
        is_box = (difference > 12).any(dim=1)
        assert float(is_box.float().mean()) < (0.45 if jitter.erasing else 0.05)
        assert float(difference.median()) < 3
        if jitter.erasing:  # outside of the student's box and its edge nothing differs
            flat = item.frames[1:].float() - item.frames[:-1].float()
            box = (flat.abs().sum(dim=(0, 1)) < 1)[None, None].float()
            assert bool((is_box.any(dim=0) <= F.max_pool2d(box, 5, 1, 2)[0, 0].bool()).all())
        seen.add(item.mirrored)
    assert seen == {False, True}


def test_other_numbers_of_frames_are_of_the_same_time(sample: VideoSample) -> None:
    few, many = replace(SPEC, num_frames=2), replace(SPEC, num_frames=16)
    clips = TrainingClips([sample], SPEC, jitter=Jitter(time=0.5), others=[many, few])
    for epoch in range(5):
        item = _item(clips, epoch)
        assert [len(frames) for frames in item.others] == [16, 2]
        own, more, less = (_place(frames) for frames in (item.frames, *item.others))
        assert torch.equal(less, own[[1, 3]])
        assert float((more.unflatten(0, (4, 4)).mean(dim=1) - own).abs().max()) < 8
        assert bool((more.diff() > -0.5).all())


def test_another_modality_is_read_at_the_same_places(sample: VideoSample) -> None:
    other = replace(SPEC, modality="rgbdiff", num_frames=8)
    clips = TrainingClips([sample], SPEC, mirroring=mirror_labels(CLASSES), others=[other])
    for epoch in range(4):
        item = _item(clips, epoch)
        assert item.others[0].shape == (8, 18, 32, 32)
        first = _place(item.others[0][:, :3])
        assert float((first.unflatten(0, (4, 2)).mean(dim=1) - _place(item.frames)).abs().max()) < 8
        # and cropped and mirrored alike: but for the light, the pictures are the same
        pair = torch.stack([item.frames[0], item.others[0][0, :3]]).float()
        pair = pair - pair.mean(dim=(2, 3), keepdim=True)
        assert float((pair[0] - pair[1]).abs().mean()) < 3


@pytest.mark.parametrize("stride", [4, 9, 13])
def test_models_of_a_window_at_a_stride_see_the_same_stretch_of_time(
    sample: VideoSample, stride: int
) -> None:
    """Of one that wraps to the start of the video, too: 6 frames of 48, up to 78 apart."""
    spec = replace(SPEC, sampling="dense", frame_stride=stride, num_frames=6)
    few, many = replace(spec, num_frames=3), replace(spec, num_frames=12, frame_stride=1)
    differences = replace(spec, modality="rgbdiff")
    clips = TrainingClips([sample], spec, crop_scales=[1.0], others=[few, many, differences])
    for epoch in range(6):
        item = _item(clips, epoch)
        own, less, more = (_place(frames) for frames in (item.frames, *item.others[:2]))
        assert torch.equal(less, own[1::2])
        first = _place(item.others[2][:, :3])
        assert float((first - own.clamp(max=own.min() + 42)).abs().max()) < 6
        step = own.diff()
        for place in range(1, 5):  # between those before and after, but where it wraps
            if bool((step[place - 1 : place + 1] > 0).all()):
                between = more[2 * place : 2 * place + 2]
                assert own[place - 1] < between[0] < own[place] < between[1] < own[place + 1]


def test_copies_and_batches_keep_the_clips_of_others_with_their_own(sample: VideoSample) -> None:
    other = replace(SPEC, image_size=48)
    clips = TrainingClips([sample], SPEC, mirroring=mirror_labels(CLASSES), others=[other])
    items = [RepeatedClips(clips, 2)[SampleKey(epoch, 0)] for epoch in range(3)]
    batch = collate(items)
    assert batch.frames.shape == (6, 4, 3, 32, 32)
    assert batch.others[0].shape == (6, 4, 3, 48, 48)
    for frames, larger in zip(batch.frames, batch.others[0], strict=True):
        shrunk = F.interpolate(larger.float(), (32, 32), mode="area")
        assert float((shrunk - frames.float()).abs().median()) < 3
    copies = [copy for number in range(2) for copy in (item[number] for item in items)]
    assert batch.mirrored.tolist() == [copy.mirrored for copy in copies]


def test_a_change_of_ones_own_begins_with_the_same_chance(sample: VideoSample) -> None:
    def darken(frames: torch.Tensor) -> torch.Tensor:
        return (frames * torch.rand(())).byte()

    other = replace(SPEC, image_size=64)
    item = _item(TrainingClips([sample], SPEC, transform=darken, others=[other]), 0)
    means = [float(frames.float().mean()) for frames in (item.frames, *item.others)]
    assert means[0] == pytest.approx(means[1], rel=0.03)


def test_a_change_of_ones_own_sees_no_clips_of_another_kind(sample: VideoSample) -> None:
    """It is written for those of the student."""
    seen = []

    def darken(frames: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(frames.shape))
        return frames // 2

    larger = replace(SPEC, image_size=64, modality="motion")
    others = [replace(SPEC, modality="rgbdiff"), larger]
    changed = _item(TrainingClips([sample], SPEC, transform=darken, others=others), 0)
    plain = _item(TrainingClips([sample], SPEC, others=others), 0)
    assert seen == [(4, 3, 32, 32), (4, 3, 64, 64)]
    assert torch.equal(changed.frames, plain.frames // 2)
    assert torch.equal(changed.others[0], plain.others[0])
    assert torch.equal(changed.others[1], plain.others[1] // 2)
    own = replace(SPEC, modality="rgbdiff")
    _item(TrainingClips([sample], own, transform=darken, others=[SPEC]), 0)
    assert seen[2:] == [(4, 18, 32, 32)]


def test_a_folder_of_pictures_is_read_alike(sample: VideoSample, tmp_path: Path) -> None:
    from PIL import Image

    from mixtconv.data.clips import read_clip

    frames = read_clip(sample.path, range).frames.permute(0, 2, 3, 1)
    for number, frame in enumerate(frames):
        Image.fromarray(frame.numpy()).save(tmp_path / f"{number:05}.png")
    other = replace(SPEC, num_frames=8, image_size=40)
    one, two = (
        _item(TrainingClips([VideoSample(path, 0)], SPEC, others=[other]), 0)
        for path in (sample.path, tmp_path)
    )
    assert torch.equal(one.frames, two.frames)
    assert torch.equal(one.others[0], two.others[0])
