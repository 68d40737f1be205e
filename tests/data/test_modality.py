"""Clips of differences and of flow: which frames they take, how crops and mirrors treat them."""

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from PIL import Image

from mixtconv.data.dataset import ScoringViews, VideoItem
from mixtconv.data.epoch_sampler import SampleKey
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.listing import VideoSample
from mixtconv.data.modality import join_snippets, read_model_clip, snippet_frames
from mixtconv.data.preparation.pictures import as_pictures, flow_method
from mixtconv.data.protocol import Protocol
from mixtconv.data.training_clips import TrainingClips
from mixtconv.data.transforms import mirror, multi_scale_crop
from mixtconv.data.views import TensorViewReader
from mixtconv.models.normalization import NORMALIZE
from mixtconv.models.spec import ModelSpec

SIZE = 32


def make_spec(modality: str, num_frames: int = 2) -> ModelSpec:
    return ModelSpec(
        "tsn_test_resnet",
        ("a", "b"),
        num_frames=num_frames,
        image_size=SIZE,
        modality=modality,  # type: ignore[arg-type]
    )


def pictures(folder: Path, *, num_frames: int) -> list[np.ndarray]:
    """Write lossless frames of noise; returns them, RGB (H, W, 3)."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(num_frames)
    frames = [rng.integers(0, 256, (40, 56, 3), dtype=np.uint8) for _ in range(num_frames)]
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:03d}.png")
    return frames


def flow_pictures(folder: Path, *, num_fields: int) -> list[np.ndarray]:
    """Write lossless fields of noise; returns them, (H, W, 2)."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(num_fields)
    fields = [rng.integers(0, 256, (40, 56, 2), dtype=np.uint8) for _ in range(num_fields)]
    for number, field in enumerate(fields, 1):
        for channel, name in enumerate("xy"):
            picture = Image.fromarray(np.ascontiguousarray(field[..., channel]))
            picture.save(folder / f"flow_{name}_{number:05d}.png")
    return fields


WRITE = {"rgbdiff": pictures, "flow": flow_pictures}
LENGTH = {"rgb": 1, "rgbdiff": 6, "flow": 5}


@pytest.mark.parametrize("modality", ["rgbdiff", "flow"])
@pytest.mark.parametrize("num_frames", [1, 3, 6, 14])
def test_a_snippet_is_so_many_frames_from_its_start(
    modality: str, num_frames: int, tmp_path: Path
) -> None:
    name = {"rgbdiff": "num_frames", "flow": "num_fields"}[modality]
    frames = WRITE[modality](tmp_path / "a", **{name: num_frames})
    length = LENGTH[modality]
    asked = []

    def choose(num_places: int) -> list[int]:
        asked.append(num_places)
        return [num_places - 1, 0]

    spec = make_spec(modality)
    clip = read_model_clip(tmp_path / "a", choose, spec)
    assert asked == [max(1, num_frames - length + 1)]
    assert (clip.indices, clip.num_frames) == ((asked[0] - 1, 0), num_frames)
    joined = join_snippets(clip.frames, spec)
    assert joined.shape == (2, spec.snippet.channels, 40, 56) and joined.is_contiguous()
    for row, start in enumerate(clip.indices):
        # A shorter video is spread over the snippet: frame i is the one at i / length of it.
        taken = [
            start + i if num_frames >= length else i * num_frames // length for i in range(length)
        ]
        expected = np.concatenate([frames[i].transpose(2, 0, 1) for i in taken])
        assert np.array_equal(joined[row].numpy(), expected)


def test_of_a_short_video_all_frames_come_and_in_order() -> None:
    for num_frames in range(1, 7):
        taken = snippet_frames(num_frames, lambda num_places: [0], 6)
        assert taken == sorted(taken) and set(taken) == set(range(num_frames))


@pytest.mark.parametrize("modality", ["rgb", "rgbdiff", "flow"])
@pytest.mark.parametrize("protocol", ["1x1", "2x3"])
def test_crops_of_every_channel_are_those_of_it_alone(
    modality: str, protocol: str, tmp_path: Path
) -> None:
    """Against a resize of single grey pictures, one channel at a time."""
    spec = make_spec(modality)
    write = flow_pictures if modality == "flow" else pictures
    write(tmp_path / "a", **{"num_fields" if modality == "flow" else "num_frames": 14})
    views = TensorViewReader(spec, Protocol.parse(protocol)).read(tmp_path / "a").frames
    num_clips, num_crops = map(int, protocol.split("x"))
    side = views.shape[-1]
    assert views.shape == (num_clips * num_crops, 2, spec.snippet.channels, side, side)
    if protocol != "1x1":
        return
    num_places = 14 - LENGTH[modality] + 1
    starts = [int((t + 0.5) * num_places / 2) for t in range(2)]
    clip = read_model_clip(tmp_path / "a", lambda num_places: starts, spec)
    whole = join_snippets(clip.frames, spec)
    for t in range(2):
        for channel in range(spec.snippet.channels):
            small = F.resize(
                whole[t, channel][None].float(), [round(SIZE * 256 / 224)], antialias=True
            )
            expected = F.center_crop(small, [SIZE, SIZE])[0]
            assert (views[0, t, channel].float() - expected).abs().max() < 1.5  # rounded twice


@pytest.mark.parametrize("modality", ["rgbdiff", "flow"])
def test_training_clips_crop_all_channels_alike(modality: str, tmp_path: Path) -> None:
    spec = make_spec(modality)
    write = flow_pictures if modality == "flow" else pictures
    write(tmp_path / "a", **{"num_fields" if modality == "flow" else "num_frames": 14})
    item = TrainingClips([VideoSample(tmp_path / "a", 0)], spec)[SampleKey(0, 0)]
    assert isinstance(item, VideoItem)
    assert item.frames.shape == (2, spec.snippet.channels, SIZE, SIZE)
    assert item.frames.dtype == torch.uint8 and item.frames.is_contiguous()
    same = torch.arange(40 * 56).remainder(251).to(torch.uint8).view(1, 1, 1, 40, 56)
    frames = same.expand(2, 6, 3, 40, 56)
    crop = multi_scale_crop(frames, SIZE, np.random.default_rng(1))
    assert torch.equal(crop, crop[:1, :1, :1].expand_as(crop))
    views = ScoringViews([VideoSample(tmp_path / "a", 0)], spec, Protocol(2, 1))[0]
    assert views.frames.shape == (2, 2, spec.snippet.channels, SIZE, SIZE)


def test_a_mirror_turns_x_of_flow_round_and_leaves_y() -> None:
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (3, 10, 6, 8), dtype=np.uint8)
    expected = np.empty_like(clip)
    for t in range(3):
        for channel in range(10):
            for row in range(6):
                for column in range(8):
                    value = int(clip[t, channel, row, 7 - column])
                    expected[t, channel, row, column] = 255 - value if channel % 2 == 0 else value
    given = torch.from_numpy(clip)
    assert np.array_equal(mirror(given, "flow").numpy(), expected)
    snippets = given.unflatten(1, (5, 2))
    assert np.array_equal(mirror(snippets, "flow").flatten(1, 2).numpy(), expected)
    assert np.array_equal(given.numpy(), clip)  # the given clip stays
    assert torch.equal(mirror(given, "rgbdiff"), given.flip(-1))


@pytest.mark.parametrize("method", ["dis", "tvl1"])
def test_flow_of_a_mirrored_video_is_the_mirrored_flow(two_stream: ModuleType, method: str) -> None:
    frames = list(two_stream.two_stream_frames("red", "left", seed=5))[:2]
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    flipped = [np.ascontiguousarray(picture[:, ::-1]) for picture in grey]
    compute = flow_method(method)  # type: ignore[arg-type]
    as_clip = [
        torch.from_numpy(np.stack(as_pictures(compute(*pair))))[None] for pair in (grey, flipped)
    ]
    difference = (mirror(as_clip[0], "flow").int() - as_clip[1].int()).abs().float()
    unmirrored = (F.horizontal_flip(as_clip[0]).int() - as_clip[1].int()).abs().float()
    assert difference.median() <= 1 and difference.mean() < 2
    assert unmirrored[:, 0].mean() > 5  # without the turn of x


def test_half_of_the_training_clips_are_mirrored_as_flow(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    for number in range(1, 7):
        for name in "xy":
            Image.fromarray(np.full((40, 56), 200, np.uint8)).save(
                folder / f"flow_{name}_{number:05d}.png"
            )
    spec = make_spec("flow")
    mirroring = MirrorLabels(target=(1, 0), pairs=(("a", "b"),), unpaired=())
    clips = TrainingClips([VideoSample(folder, 0)], spec, mirroring=mirroring)
    seen = set()
    for epoch in range(20):
        item = clips[SampleKey(epoch, 0)]
        assert isinstance(item, VideoItem)
        x, y = item.frames[:, 0::2].unique().tolist(), item.frames[:, 1::2].unique().tolist()
        assert (x, y) == (([55], [200]) if item.label == 1 else ([200], [200]))
        seen.add(item.label)
    assert seen == {0, 1}


def test_differences_are_of_consecutive_pictures_as_they_are_normalised() -> None:
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (18, 4, 4)).astype(np.float64)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    got = NORMALIZE["rgbdiff"](
        torch.from_numpy(clip)[None] / 255,
        torch.tensor(mean).view(3, 1, 1),
        torch.tensor(std).view(3, 1, 1),
    )
    assert got.shape == (1, 15, 4, 4)
    for step in range(5):
        for c in range(3):
            after, before = (
                (clip[3 * frame + c] / 255 - mean[c]) / std[c] for frame in (step + 1, step)
            )
            np.testing.assert_allclose(got[0, 3 * step + c], after - before, atol=1e-6)
