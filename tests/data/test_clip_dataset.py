"""Clips as a dataset of torch: the frames of validation, and chance by torch's generator."""

from pathlib import Path

import pytest
import torch

import mixtconv
from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.video.pictures import UnreadableVideoError


@pytest.fixture(scope="module")
def catalog(tiny_dataset: Path):
    return mixtconv.load_catalog(tiny_dataset)


@pytest.fixture(scope="module")
def spec(catalog):
    return mixtconv.create_model(
        "tsn_test_resnet", classes=catalog.classes, num_frames=4, image_size=32
    ).spec


def test_a_fixed_clip_is_that_of_validation(catalog, spec) -> None:
    clips = mixtconv.ClipDataset(catalog.val, spec)
    reader = TensorViewReader(spec, Protocol.parse("1x1"))
    assert len(clips) == len(catalog.val) and clips.targets == [s.label for s in catalog.val]
    for number, sample in enumerate(catalog.val):
        frames, label = clips[number]
        assert torch.equal(frames, reader.read(sample.video).frames[0])
        assert label.dtype == torch.int64 and int(label) == sample.label
    with pytest.raises(IndexError):
        clips[len(clips)]
    fewer = mixtconv.create_model("tsn_test_resnet", num_classes=2, num_frames=4, image_size=32)
    with pytest.raises(ValueError, match="have a label 3 and the model 2 classes"):
        mixtconv.ClipDataset(catalog.val, fewer.spec)


def test_a_random_clip_is_by_torchs_seed(catalog, spec) -> None:
    clips = mixtconv.ClipDataset(catalog.train, spec, random=True, mirror=False)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(clips[0][0])
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    shifted = mixtconv.ClipDataset(
        catalog.train, spec, random=True, mirror=False, transform=lambda clip: 255 - clip
    )
    torch.manual_seed(1)
    assert torch.equal(shifted[0][0], 255 - draws[0])
    with pytest.raises(ValueError, match="transform is for random clips"):
        mixtconv.ClipDataset(catalog.train, spec, transform=torch.flip)


def test_a_mirrored_clip_exchanges_sides(spec) -> None:
    frames = torch.zeros(6, 32, 32, 3, dtype=torch.uint8)
    frames[:, :, :16] = 255  # white on the left
    names = ("turn left", "turn right")
    catalog = mixtconv.load_catalog([(frames, 0), (frames, 1)], classes=names, val_fraction=0)
    own = mixtconv.create_model("tsn_test_resnet", classes=names, num_frames=2, image_size=32).spec
    clips = mixtconv.ClipDataset(catalog.train, own, random=True)
    seen = set()
    for seed in range(12):
        torch.manual_seed(seed)
        clip, label = clips[0]
        left, right = (float(side.float().mean()) for side in clip.split(16, dim=3))
        seen.add((left < right, int(label)))
    assert seen == {(False, 0), (True, 1)}


def test_what_cannot_be_read_is_named(tmp_path: Path, spec) -> None:
    broken = tmp_path / "a.mp4"
    broken.write_bytes(b"no video")
    catalog = mixtconv.load_catalog([(broken, "a"), (broken, "b")], val_fraction=0)
    with pytest.raises(UnreadableVideoError, match=r"data\[1\]"):
        mixtconv.ClipDataset(catalog.train, spec)[1]
    with pytest.raises(ValueError, match="val belongs to a dataset"):
        mixtconv.load_catalog("clips", val=[])
