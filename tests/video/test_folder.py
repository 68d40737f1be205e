"""Folders of pictures, one per frame: their order, gaps, damage, and reading them smaller."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from PIL import Image

from mixtconv.data.clips import read_clip, read_frames
from mixtconv.video.find import is_video
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.reader import frame_rate, iterate_frames, probe_video


def write_pictures(folder, names, frames):
    folder.mkdir()
    for name, frame in zip(names, frames, strict=True):
        Image.fromarray(frame).save(folder / name)


@pytest.mark.parametrize("first", [0, 1])
def test_folder_of_pictures(first, media, tmp_path):
    frames = media.moving_frames(12)
    folder = tmp_path / "clip"
    write_pictures(folder, [f"img_{first + t}.png" for t in range(12)], frames)
    (folder / "notes.txt").write_text("not a frame")
    assert is_video(folder) and not is_video(tmp_path)
    info = probe_video(folder)
    assert (info.num_frames, info.width, info.height) == (12, 96, 64)
    assert info.frames_per_second is None and info.duration_seconds is None
    clip = read_clip(folder, lambda num_frames: [num_frames - 1, 2, 2])
    assert clip.indices == (11, 2, 2) and clip.num_frames == 12
    assert np.array_equal(clip.frames.permute(0, 2, 3, 1).numpy(), frames[[11, 2, 2]])
    with pytest.raises(ValueError, match="got frame 12; its 12 frames are 0 to 11"):
        read_frames(folder, [12])


def test_missing_pictures_are_named(media, tmp_path):
    names = [f"{t:05d}.jpg" for t in (1, 2, 5, 6, 8)]
    write_pictures(tmp_path / "clip", names, media.moving_frames(5))
    with pytest.raises(UnreadableVideoError, match="3 of frames 1 to 8 missing: 3, 4, 7"):
        read_frames(tmp_path / "clip", [0])


def test_a_broken_picture_is_named(media, tmp_path):
    folder = tmp_path / "clip"
    write_pictures(folder, [f"{t:05d}.jpg" for t in range(1, 5)], media.moving_frames(4))
    content = (folder / "00003.jpg").read_bytes()
    for damaged in (content[: len(content) // 2], b"words", b""):
        (folder / "00003.jpg").write_bytes(damaged)
        with pytest.raises(UnreadableVideoError, match=r"00003\.jpg: the picture is damaged"):
            read_clip(folder, range)
    assert read_frames(folder, [0, 3]).shape == (2, 3, 64, 96)


def test_a_picture_of_another_size_is_named(media, tmp_path):
    folder = tmp_path / "clip"
    write_pictures(folder, ["1.jpg", "2.jpg"], media.moving_frames(2))
    write_picture = Image.fromarray(media.moving_frames(1, height=32)[0])
    write_picture.save(folder / "3.jpg")
    with pytest.raises(UnreadableVideoError, match=r"3\.jpg: the picture is 96x32 .* 96x64"):
        read_clip(folder, lambda num_frames: [2])


def smooth_frames(num_frames, height, width):
    """Frames with as much detail as photographs have at their size, no more."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (height // 30, width // 30, 3), dtype=np.uint8))
    ground = np.asarray(small.resize((width, height + num_frames), Image.Resampling.BICUBIC))
    return np.stack([ground[t : t + height] for t in range(num_frames)])


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize(
    ("least", "height", "width"),
    [
        (None, 272, 400),
        (273, 272, 400),
        (137, 272, 400),
        (136, 136, 200),
        (68, 68, 100),
        (34, 34, 50),
        (2, 34, 50),
    ],
)
def test_pictures_are_read_smaller_but_not_too_small(suffix, least, height, width, tmp_path):
    frames = smooth_frames(3, 272, 400)
    write_pictures(tmp_path / "clip", [f"{t}.{suffix}" for t in range(3)], frames)
    full = read_clip(tmp_path / "clip", lambda n: [2, 0])
    clip = read_clip(tmp_path / "clip", lambda n: [2, 0], least_short_side=least)
    assert clip.frames.shape == (2, 3, height, width) and clip.num_frames == 3
    size = [30, 44]
    resized, stand_in = (F.resize(c.frames, size, antialias=True).float() for c in (full, clip))
    assert (resized - stand_in).abs().mean() < 1.5


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_no_edge_of_a_picture_that_is_read_smaller_is_lost(suffix, tmp_path):
    write_pictures(tmp_path / "clip", [f"1.{suffix}"], smooth_frames(1, 61, 95))
    clip = read_clip(tmp_path / "clip", lambda n: [0], least_short_side=15)
    assert clip.frames.shape == (1, 3, 16, 24)


def test_turned_pictures_are_read_smaller_and_upright(tmp_path):
    frame = smooth_frames(1, 160, 240)[0]
    folder = tmp_path / "clip"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(frame).save(folder / "1.jpg", quality=95, exif=exif)
    full = read_frames(folder, [0])
    reduced = read_clip(folder, lambda n: [0], least_short_side=80).frames
    assert full.shape == (1, 3, 240, 160) and reduced.shape == (1, 3, 120, 80)
    difference = F.resize(full, [120, 80], antialias=True).float() - reduced.float()
    assert difference.abs().mean() < 1.5


@pytest.mark.parametrize("suffix", ["mp4", "avi", "folder"])
def test_all_frames_come_one_after_the_other(suffix, media, tmp_path):
    frames = media.moving_frames(20)
    path = tmp_path / f"a.{suffix}"
    if suffix == "folder":
        write_pictures(path, [f"{t}.png" for t in range(20)], frames)
        reference = list(frames)
    else:
        reference = media.decode_all(media.encode(path, frames, codec="mpeg4"))
    got = list(iterate_frames(path))
    assert len(got) == 20
    assert all(np.array_equal(*pair) for pair in zip(got, reference, strict=True))
    assert frame_rate(path) == (None if suffix == "folder" else 25)


def test_channels_may_lie_together_in_memory(media, tmp_path):
    frames = media.moving_frames(6)
    write_pictures(tmp_path / "clip", [f"{t}.png" for t in range(6)], frames)
    file = media.encode(tmp_path / "a.mp4", frames)
    for path in (tmp_path / "clip", file):
        plain = read_clip(path, lambda n: [4, 1, 1])
        together = read_clip(path, lambda n: [4, 1, 1], channels_last=True)
        assert plain.frames.is_contiguous()
        assert together.frames.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(plain.frames, together.frames)


RAMP = np.tile(np.linspace(0, 65535, 96).astype(np.uint16), (72, 1))
COLOUR = np.stack([RAMP >> 8, RAMP[:, ::-1] >> 8, np.full_like(RAMP, 128)], axis=-1).astype(
    np.uint8
)
GREY = np.repeat((RAMP / 257).round()[..., None], 3, axis=-1)


@pytest.mark.parametrize(
    ("picture", "expected", "tolerance"),
    [
        (Image.fromarray(RAMP), GREY, 0),  # 16 bits
        (Image.fromarray(np.dstack([COLOUR, np.full((72, 96), 10, np.uint8)])), COLOUR, 0),
        (Image.fromarray(COLOUR[..., 0]), COLOUR[..., :1].repeat(3, axis=-1), 0),
        (Image.fromarray(np.dstack([COLOUR[..., 0], COLOUR[..., 1]]), "LA"),
         COLOUR[..., :1].repeat(3, axis=-1), 0),
        (Image.fromarray(COLOUR).quantize(256), COLOUR, 40),
        (Image.fromarray(COLOUR[..., 0] > 99), 255 * (COLOUR[..., :1] > 99).repeat(3, axis=-1), 0),
    ],
    ids=["I;16", "RGBA", "L", "LA", "P", "1"],
)  # fmt: skip
@pytest.mark.parametrize("least", [None, 36])
def test_pictures_of_all_kinds_are_read_by_value(picture, expected, tolerance, least, tmp_path):
    picture.save(tmp_path / "1.png")
    frames = read_clip(tmp_path, range, least_short_side=least).frames
    assert frames.shape == ((1, 3, 72, 96) if least is None else (1, 3, 36, 48))
    seen = frames[0].permute(1, 2, 0).numpy().astype(float)
    if least is not None:  # means of 2 x 2 pixels
        expected = expected.reshape(36, 2, 48, 2, 3).mean(axis=(1, 3))
        tolerance += 1
    assert abs(seen - expected).max() <= tolerance


def test_whole_numbers_beyond_16_bits_are_clipped_and_fractions_refused(tmp_path):
    values = np.array([[0, 257, 65535, 131072, -400]], np.int32)
    Image.fromarray(values).save(tmp_path / "00001.png", format="TIFF")
    frames = read_clip(tmp_path, lambda num_frames: [0]).frames
    assert frames[0, 0].tolist() == [[0, 1, 255, 255, 0]]
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "00001.png", format="TIFF")
    with pytest.raises(UnreadableVideoError, match="fractions, whose range is unknown"):
        read_clip(tmp_path, lambda num_frames: [0])
