"""Writing H.264: the same bytes for the same frames, keyframes, quality, and what is refused."""

import av
import numpy as np
import pytest
import torch

from mixtconv.data.clips import read_frames
from mixtconv.video import writer
from mixtconv.video.opening import open_video
from mixtconv.video.packet_table import read_packet_table
from mixtconv.video.reader import iterate_frames, probe_video
from mixtconv.video.writer import Encoding, EncodingError, write_video


def test_written_files_read_back_and_are_always_the_same(media, tmp_path):
    frames = media.moving_frames(30)
    write_video(tmp_path / "a.mp4", frames, frames_per_second=24)
    write_video(tmp_path / "b.mp4", map(torch.from_numpy, frames), frames_per_second=24)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    info = probe_video(tmp_path / "a.mp4")
    assert (info.num_frames, info.frames_per_second, info.codec) == (30, 24.0, "h264")
    assert info.duration_seconds == 30 / 24
    reference = media.decode_all(tmp_path / "a.mp4")
    assert np.abs(np.stack(reference).astype(float) - frames).mean() < 12
    numbers = [0, 17, 29, 3, 3]
    read = read_frames(tmp_path / "a.mp4", numbers).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(read, np.stack([reference[number] for number in numbers]))


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "got no frames"),
        ([np.zeros((31, 32, 3), np.uint8)], "32x31; both must be even"),
        ([np.zeros((32, 32, 3), np.float32)], "float32"),
        ([np.zeros((3, 32, 32), np.uint8)], r"\(3, 32, 32\)"),
        ([*np.zeros((90, 32, 32, 3), np.uint8), np.zeros((32, 16, 3), np.uint8)], "of one size"),
    ],
)
def test_frames_that_cannot_be_written(frames, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "a.mp4", frames, frames_per_second=25)
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize("distance", [1, 5, 12])
def test_keyframes_are_as_close_as_asked_for(distance, media, tmp_path):
    encoding = Encoding(keyframe_distance=distance)
    frames = media.moving_frames(30)
    num_frames = write_video(tmp_path / "a.mp4", frames, frames_per_second=24, encoding=encoding)
    with open_video(tmp_path / "a.mp4") as (container, stream):
        table = read_packet_table(container, stream)
    assert num_frames == table.num_pictures == 30
    assert [picture for _, picture in table.entries] == list(range(0, 30, distance))


def test_a_higher_quality_number_makes_a_smaller_and_worse_file(media, tmp_path):
    frames = media.moving_frames(12)
    sizes, errors = [], []
    for quality in (5, 25, 45):
        path = tmp_path / f"{quality}.mp4"
        write_video(path, frames, frames_per_second=24, encoding=Encoding(quality=quality))
        sizes.append(path.stat().st_size)
        errors.append(np.abs(np.stack(list(iterate_frames(path))).astype(float) - frames).mean())
    assert sizes == sorted(sizes, reverse=True) and errors == sorted(errors)


def test_with_one_quantizer_and_keyframes_only_a_clip_run_backwards_has_the_same_pictures(
    media, tmp_path
):
    encoding = Encoding(22, keyframe_distance=1, parameters="", constant_quantizer=True)
    frames = media.moving_frames(10)
    for name, shown in (("a.mp4", frames), ("b.mp4", frames[::-1])):
        write_video(tmp_path / name, shown, frames_per_second=24, encoding=encoding)
    forwards, backwards = (np.stack(media.decode_all(tmp_path / n)) for n in ("a.mp4", "b.mp4"))
    assert np.array_equal(forwards, backwards[::-1])


def test_the_container_may_differ_from_the_suffix(media, tmp_path):
    frames = media.moving_frames(5)
    write_video(tmp_path / ".a.mp4.part", frames, frames_per_second=24, container="mp4")
    write_video(tmp_path / "a.mp4", frames, frames_per_second=24)
    assert (tmp_path / ".a.mp4.part").read_bytes() == (tmp_path / "a.mp4").read_bytes()


def test_frames_are_taken_one_at_a_time_and_what_their_source_raises_comes_through(media, tmp_path):
    """A file of which only a part was written is removed."""
    target, sizes = tmp_path / "a.mp4", []

    def frames():
        for frame in media.moving_frames(200, height=96, width=128):
            sizes.append(target.stat().st_size if target.exists() else 0)
            yield frame
        raise KeyError("from the source")

    with pytest.raises(KeyError, match="from the source"):
        write_video(target, frames(), frames_per_second=24)
    assert sizes[-1] > 0  # written while frames came
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_is_told_from_a_disk_that_does(media, tmp_path, monkeypatch):
    frames = media.moving_frames(5)
    with pytest.raises(OSError, match="No such file"):
        write_video(tmp_path / "nowhere" / "a.mp4", frames, frames_per_second=24)

    class Broken:
        width, height = 96, 64

        def encode(self, picture):
            raise av.error.UndefinedError(1, "Generic error")

    with pytest.raises(EncodingError, match="frames of 96x64 cannot be encoded"):
        writer._encode(None, Broken(), None)


@pytest.mark.parametrize(
    ("height", "width", "red", "blue"), [(240, 320, 0.299, 0.114), (720, 1280, 0.2126, 0.0722)]
)
def test_a_file_has_the_colours_that_players_take_for_its_size(height, width, red, blue, tmp_path):
    """Its luma is by the matrix of BT.601 or of BT.709, and its header says which."""
    colour = np.array([30, 200, 90], np.uint8)
    frames = np.broadcast_to(colour, (3, height, width, 3))
    write_video(tmp_path / "a.mp4", frames, frames_per_second=25, encoding=Encoding(quality=1))
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
    luma = np.frombuffer(frame.planes[0], np.uint8).reshape(height, -1)[:, :width].mean()
    weights = red, 1 - red - blue, blue
    assert luma == pytest.approx(16 + 219 * np.dot(weights, colour) / 255, abs=1)
    tags = frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc
    assert tags == (1 if height > 576 else 6, 1, 1, 1)
    shown = read_frames(tmp_path / "a.mp4", [1])[0].float().mean(dim=(1, 2)).numpy()
    assert np.abs(shown - colour).max() <= 3
