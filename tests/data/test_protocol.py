"""Protocols: the frames, crops and names of the published tests, against their formulas."""

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from mixtconv.data.modality import join_snippets
from mixtconv.data.protocol import PROTOCOLS, Protocol
from mixtconv.data.transforms import CROPS, mirror
from mixtconv.data.views import TensorViewReader
from mixtconv.models.spec import ModelSpec

NAMES = ["1x1", "2x1", "2x3", "10x3", "1x5", "1x10", "25x10", *PROTOCOLS]
LENGTHS = [1, 2, 7, 9, 63, 64, 65, 100, 251, 300]


def spec(name: str = "tsn_resnet18", **settings) -> ModelSpec:
    return ModelSpec(name, ("a", "b"), **settings)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("num_frames", [4, 8, 16])
def test_two_clips_are_those_of_tsm(n: int, num_frames: int) -> None:
    """TSM's `twice_sample`: the centres of the segments, then their starts."""
    tick = n / num_frames
    centres = [int(tick / 2 + tick * x) for x in range(num_frames)]
    starts = [int(tick * x) for x in range(num_frames)]
    clips = Protocol.parse("tsm-2x3").clips(spec(num_frames=num_frames), n)
    assert clips == [centres, starts]
    assert Protocol.parse("1x1").clips(spec(num_frames=num_frames), n) == [centres]


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("num_frames", [4, 8, 16])
@pytest.mark.parametrize("sampling", ["segment", "dense"])
def test_ten_dense_clips_are_those_of_tsm(n: int, num_frames: int, sampling: str) -> None:
    """TSM's `dense_sample`: clips of 64 frames, ten starts from the first to the last."""
    own_stride = 64 // num_frames if sampling == "dense" else 3  # unused by segments
    model = spec(num_frames=num_frames, sampling=sampling, frame_stride=own_stride)
    last = max(0, n - 64)
    starts = np.linspace(0, last, num=10, dtype=int).tolist()
    stride = 64 // num_frames
    expected = [[(start + stride * x) % n for x in range(num_frames)] for start in starts]
    assert Protocol.parse("10x3").clips(model, n) == expected


@pytest.mark.parametrize("n", LENGTHS)
def test_the_clips_of_nonlocal_start_at_every_tenth_and_wrap_round(n: int) -> None:
    clips = Protocol.parse("nonlocal-10x3").clips(spec(), n)
    expected = [[((n * j) // 10 + 8 * x) % n for x in range(8)] for j in range(10)]
    assert clips == expected


@pytest.mark.parametrize("n", LENGTHS)
def test_the_25_snippets_of_tsn_are_the_centres_of_25_segments(n: int) -> None:
    clips = Protocol.parse("tsn-25x10").clips(spec(num_frames=8), n)
    assert clips == [[int(n / 25 / 2 + n / 25 * x)] for x in range(25)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sampling", ["segment", "dense"])
def test_clips_lie_inside_videos_of_every_length(name: str, sampling: str) -> None:
    protocol = Protocol.parse(name)
    for n in LENGTHS:
        clips = protocol.clips(spec(num_frames=5, sampling=sampling), n)
        assert len(clips) == protocol.num_clips
        assert {len(clip) for clip in clips} == {protocol.clip_frames(spec(num_frames=5))}
        assert all(0 <= frame < n for clip in clips for frame in clip)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (128, 96), (112, 112)])
def test_five_crops_are_the_corners_and_the_centre(height: int, width: int) -> None:
    """Of 112 pixels in frames of short side 128, by numpy alone."""
    side = min(height, width)
    size = side * 224 // 256
    clip = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (2, 3, height, width), np.uint8)
    )
    frames = clip.numpy()  # the short side is what it is to be, so nothing is resized
    tops, lefts = (0, height - size), (0, width - size)
    corners = [frames[:, :, y : y + size, x : x + size] for y in tops for x in lefts]
    y, x = (height - size) // 2, (width - size) // 2
    expected = [*corners, frames[:, :, y : y + size, x : x + size]]
    crops = CROPS[5](clip, size)
    assert len(crops) == 5
    for crop, reference in zip(crops, expected, strict=True):
        np.testing.assert_array_equal(crop.numpy(), reference)


@pytest.mark.parametrize(
    ("name", "size"), [("1x1", 56), ("1x3", 64), ("1x5", 56), ("1x10", 56), ("nonlocal-10x3", 64)]
)
def test_three_crops_alone_are_at_full_resolution(name: str, size: int) -> None:
    protocol = Protocol.parse(name)
    crops = CROPS[protocol.num_crops](torch.zeros(1, 3, 70, 90, dtype=torch.uint8), 56)
    assert {crop.shape[-2:] for crop in crops} == {(size, size)}
    assert len(crops) == protocol.num_crops


def test_three_crops_of_the_own_size_are_squares_along_the_long_side(
    media: ModuleType, tmp_path: Path
) -> None:
    frames = media.moving_frames(1, height=32, width=96)
    path = media.encode(tmp_path / "v.mkv", frames, codec="ffv1", pixel_format="bgr0")
    reader = TensorViewReader(spec(num_frames=1, image_size=32), Protocol.parse("stadapter-1x3"))
    views = reader.read(path).frames  # (3, 1, 3, 32, 32)
    expected = [frames[0, :, x : x + 32].transpose(2, 0, 1) for x in (0, 32, 64)]
    np.testing.assert_array_equal(views[:, 0].numpy(), np.stack(expected))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_frames", [1, 2, 20])
def test_views_of_a_video_of_any_length(
    name: str, num_frames: int, media: ModuleType, tmp_path: Path
) -> None:
    path = media.encode(tmp_path / "v.mp4", media.moving_frames(num_frames, height=40, width=52))
    protocol, model = Protocol.parse(name), spec(num_frames=4, image_size=32)
    views = TensorViewReader(model, protocol).read(path).frames
    size = 37 if protocol.num_crops == 3 and name != "stadapter-1x3" else 32
    assert views.shape == (protocol.num_views, protocol.clip_frames(model), 3, size, size)
    assert views.dtype == torch.uint8
    if protocol.num_crops == 10:
        by_clip = views.unflatten(0, (protocol.num_clips, 2, 5))
        assert torch.equal(by_clip[:, 1], by_clip[:, 0].flip(-1))
        assert sum(protocol.mirrored) == 5 * protocol.num_clips


def test_mirrored_views_of_flow_have_x_turned_round(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(1, 9):
        for axis in "xy":
            grey = rng.integers(0, 256, (40, 52), np.uint8)
            cv2.imwrite(str(tmp_path / f"flow_{axis}_{number:05d}.jpg"), grey)
    model = spec(num_frames=2, image_size=32, modality="flow")
    views = TensorViewReader(model, Protocol.parse("1x10")).read(tmp_path).frames
    assert views.shape == (10, 2, 10, 32, 32)
    plain, mirrored = views[:5], views[5:]
    assert torch.equal(mirrored[:, :, 0::2], 255 - plain[:, :, 0::2].flip(-1))
    assert torch.equal(mirrored[:, :, 1::2], plain[:, :, 1::2].flip(-1))
    fields = plain.unflatten(2, (5, 2))
    assert torch.equal(join_snippets(mirror(fields, "flow"), model), mirrored)


def test_names_are_stored_as_they_can_be_read_again() -> None:
    for name in NAMES:
        protocol = Protocol.parse(name)
        assert Protocol.parse(str(protocol)) == protocol
    assert str(Protocol.parse("tsm-2x3")) == "2x3"
    assert str(Protocol.parse("nonlocal-10x3")) == "nonlocal-10x3"
    assert Protocol.parse("nonlocal-10x3") != Protocol.parse("10x3")
    assert str(Protocol(2, 3, "dense")) == "2x3 (dense, logits)"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("2x3", "2x3: 2 clips of 8 frames (segment) x 3 crops, 256 pixels, logits averaged"),
        ("10x3", "10x3: 10 clips of 8 frames (dense) x 3 crops, 256 pixels, logits averaged"),
        (
            "1x10",
            "1x10: 1 clip of 8 frames (segment) x 10 crops, 5 mirrored, 224 pixels, logits "
            "averaged",
        ),
        (
            "nonlocal-10x3",
            "nonlocal-10x3: 10 clips of 8 frames (dense, from each tenth) x 3 crops, 256 pixels, "
            "probabilities averaged",
        ),
    ],
)
def test_a_protocol_in_words(name: str, text: str) -> None:
    assert Protocol.parse(name).describe(spec()) == text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0x1", "0 clips x 1 crops; allowed are 1 clip or more, and 1, 3, 5 or 10 crops"),
        ("1x2", "allowed are"),
        ("-1x1", "give clips x crops.*tsn-25x10.*nonlocal-10x3"),
        ("1x1x1", "give clips x crops"),
        ("1 x 1", "give clips x crops"),
        ("", "give clips x crops"),
        ("tsm", "give clips x crops.*tsm-2x3"),
        ("tsm-2x4", "unknown protocol 'tsm-2x4'; did you mean 'tsm-2x3'"),
        ("non-local-10x3", "did you mean 'nonlocal-10x3'"),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Protocol.parse(name)


def test_single_snippets_are_refused_to_a_model_that_looks_across_frames() -> None:
    with pytest.raises(ValueError, match="25x10 scores single snippets, and mstnet_resnet18 looks"):
        Protocol.parse("tsn-25x10").describe(spec("mstnet_resnet18"))
    Protocol.parse("tsn-25x10").check_model(spec("mstnet_resnet18", num_frames=1))
    Protocol.parse("tsn-25x10").check_model(spec("tsn_resnet18"))


@pytest.mark.parametrize("name", ["trn_resnet18", "tsm_nl_resnet50", "i3d_resnet50", "eco_8"])
def test_single_snippets_are_refused_to_systems_of_another_form(name: str) -> None:
    with pytest.raises(ValueError, match=f"single snippets, and {name} looks across"):
        Protocol(25, 10).check_model(ModelSpec(name, ("a", "b")))
    Protocol(25, 10).check_model(ModelSpec("tsn_bninception", ("a", "b")))
