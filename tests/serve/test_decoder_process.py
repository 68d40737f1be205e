"""Files of strangers: what is no video, too long or too large is told without decoding it."""

import shutil
import subprocess
import time
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mixtconv.serve.decoder_process import RefusedError, probe
from mixtconv.serve.settings import Limits
from mixtconv.video.reader import iterate_frames

LIMITS = Limits(max_video_seconds=10, max_megapixels=1)


def refusal(path: Path, limits: Limits = LIMITS) -> str:
    with pytest.raises(RefusedError) as caught:
        probe(path, limits)
    assert str(path.parent) not in str(caught.value)
    return caught.value.code


def huge_picture(path: Path) -> Path:
    """A PNG of 16000 x 16000 pixels in 31 kB."""
    Image.new("1", (16000, 16000)).save(path, "PNG")
    return path


def as_video(picture: Path, path: Path, size: tuple[int, int] = (16000, 16000)) -> Path:
    """The picture as the one frame of a video, as it is."""
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height = size
        stream.pix_fmt = "rgb24"
        packet = av.Packet(picture.read_bytes())
        packet.pts = packet.dts = 0
        packet.time_base, packet.stream, packet.is_keyframe = Fraction(1), stream, True
        container.mux(packet)
    return path


def test_facts(media, tmp_path: Path) -> None:
    path = media.encode(tmp_path / "clip.mkv", media.moving_frames(50))
    facts = probe(path.rename(tmp_path / "no-suffix"), LIMITS)
    assert (facts.width, facts.height, facts.codec) == (96, 64, "h264")
    assert facts.seconds == pytest.approx(2)


TURNS = {
    0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0),
    "transposed": (0, 1, 1, 0), "mirrored": (-1, 0, 0, 1),
}  # fmt: skip


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize(("aspect", "stretched"), [(None, 96), (Fraction(3, 2), 144)])
def test_sizes_are_those_that_ffmpeg_shows(
    media, tmp_path: Path, turn: object, aspect: Fraction | None, stretched: int
) -> None:
    frames = media.moving_frames(30)
    path = media.encode(tmp_path / "clip.mp4", frames, pixel_aspect=aspect)
    media.set_display_matrix(path, *TURNS[turn])
    # FFmpeg turns pictures by itself; they are widened before, where their pixels are flat.
    square = "scale='if(gt(sar,1),iw*sar,iw)':'if(lt(sar,1),ih/sar,ih)',setsar=1"
    picture = tmp_path / "shown.png"
    command = ["ffmpeg", "-v", "error", "-i", path, "-vf", square, "-frames:v", "1", picture]
    subprocess.run(command, check=True, timeout=30)
    with Image.open(picture) as image:
        size = image.size
    facts = probe(path, LIMITS)
    assert (facts.width, facts.height) == size
    assert set(size) == {stretched, 64} and facts.seconds == pytest.approx(1.2)
    assert next(iterate_frames(path)).shape[1::-1] == size


def test_no_videos(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(np.random.default_rng(0).bytes(200_000))
    empty = tmp_path / "empty.mp4"
    empty.touch()
    bomb = tmp_path / "bomb.mp4"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**8))
    for path in (garbage, empty, bomb, huge_picture(tmp_path / "picture.mp4")):
        assert refusal(path) == "not_a_video", path


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile 'clip.mkv'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nclip.mkv\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5 RTP/AVP 96\n",
        "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
    ],
    ids=["concat", "hls", "sdp", "dash"],
)
def test_lists_of_other_files_are_not_followed(media, tmp_path: Path, text: str) -> None:
    media.encode(tmp_path / "clip.mkv", media.moving_frames(10))
    path = tmp_path / "list"
    path.write_text(text)
    assert refusal(path) == "not_a_video"


def test_sound_alone(media, tmp_path: Path) -> None:
    assert refusal(media.encode_audio(tmp_path / "sound.mp4")) == "not_a_video"


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv"])
def test_ten_hours_of_one_colour(media, tmp_path: Path, name: str) -> None:
    frames = np.full((361, 32, 32, 3), 90, dtype=np.uint8)
    path = media.encode(tmp_path / name, frames, times=[60_000 * n for n in range(361)])
    started = time.monotonic()
    assert refusal(path, Limits(max_video_seconds=600, max_megapixels=1)) == "too_long"
    assert time.monotonic() - started < 10


def test_a_header_that_tells_too_short_a_time(media, tmp_path: Path) -> None:
    path = media.encode(tmp_path / "a.avi", media.moving_frames(100), codec="mpeg4")
    media.set_avi_count(path, 5)
    assert refusal(path, Limits(max_video_seconds=2, max_megapixels=1)) == "too_long"


def test_too_many_pixels(tmp_path: Path) -> None:
    picture = huge_picture(tmp_path / "picture.png")
    assert refusal(as_video(picture, tmp_path / "clip.avi")) == "too_many_pixels"


@pytest.mark.parametrize(("size", "is_refused"), [((2, 65534), True), ((320, 40), False)])
def test_sides_that_differ_too_much_are_refused(
    size: tuple[int, int], is_refused: bool, tmp_path: Path
) -> None:
    """A kilobyte of two by 65534 pixels would be scaled to two thousand million."""
    Image.new("RGB", size).save(tmp_path / "strip.png")
    path = as_video(tmp_path / "strip.png", tmp_path / "strip.avi", size)
    if is_refused:
        assert refusal(path) == "too_many_pixels"
    else:
        assert probe(path, Limits()).width == 320


def test_the_start_of_the_picture_where_sound_begins_first(media, tmp_path: Path) -> None:
    times = [1200 + 24 * number for number in range(30)]  # in 1/600 s: the picture starts at 2 s
    path = media.encode(tmp_path / "a.mkv", media.moving_frames(30), times=times, audio=True)
    assert probe(path, LIMITS).start == pytest.approx(2, abs=0.05)
    assert probe(media.encode(tmp_path / "b.mp4", media.moving_frames(8)), LIMITS).start == 0
