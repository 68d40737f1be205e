"""FFmpeg opens the one file, its best stream, and its pixels are square."""

import re
import socket
import subprocess
import sys
from fractions import Fraction
from itertools import product

import av
import numpy as np
import pytest
from PIL import Image

from mixtconv.data.clips import read_clip, read_frames
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.reader import iterate_frames, probe_video
from mixtconv.video.sources import open_source
from mixtconv.video.writer import write_video


@pytest.fixture
def listener():
    """A socket that a reader might call, and the number of calls that it got so far."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


def _num_calls(server):
    calls = 0
    while True:
        try:
            server.accept()[0].close()
        except TimeoutError:
            return calls
        calls += 1


def test_a_colon_in_a_name_is_no_protocol(media, tmp_path, monkeypatch, listener):
    monkeypatch.chdir(tmp_path)
    address = f"http:/127.0.0.1:{listener.getsockname()[1]}/a.mp4"
    frames = media.moving_frames(12)
    for name in ("2022-01-26T20:57:04Z.mp4", "Movie: title.mp4", "file:b.mp4", address):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(name, frames, frames_per_second=25)  # by the relative name
        assert path.stat().st_size > 0
        expected = media.decode_all(path.rename(tmp_path / "plain.mp4"))
        (tmp_path / "plain.mp4").rename(path)
        for given in (name, f"./{name}", path):
            assert np.array_equal(np.stack(list(iterate_frames(given))), expected)
    assert _num_calls(listener) == 0


LISTS = {
    "concat": "ffconcat version 1.0\nfile '{name}'\n",
    "concat by address": "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/a.mp4'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{name}\n#EXT-X-ENDLIST\n",
    "hls by address": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} "
    "RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    "<Period><AdaptationSet><Representation id='1' bandwidth='1'><BaseURL>http://127.0.0.1:{port}/"
    "a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".m3u8"])
def test_a_list_of_other_files_is_no_video(kind, suffix, media, tmp_path, listener):
    media.encode(tmp_path / "a.ts", media.moving_frames(10))
    path = tmp_path / f"list{suffix}"
    path.write_text(LISTS[kind].format(name="a.ts", port=listener.getsockname()[1]))
    for read in (probe_video, lambda path: read_clip(path, range)):
        with pytest.raises(UnreadableVideoError, match="not a video"):
            read(path)
    assert _num_calls(listener) == 0


def _disc(height, width, pixel_aspect):
    """Frames with a disc of radius 40 on a screen of square pixels, stored with others."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    x = (columns - width / 2) * max(pixel_aspect, 1)  # of the screen's pixels
    y = (rows - height / 2) / min(pixel_aspect, 1)
    picture = np.where(x**2 + y**2 < 40**2, 230, 30).astype(np.uint8)
    return np.repeat(np.repeat(picture[None, ..., None], 3, axis=3), 8, axis=0)


@pytest.mark.parametrize(
    ("aspect", "screen"),
    [("64/45", (144, 256)), ("4/3", (144, 240)), ("10/11", (158, 180)), ("1/2", (288, 180)),
     ("1/1", (144, 180)), ("9/1", (144, 180))],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pixels_are_square(aspect, screen, suffix, media, tmp_path):
    """Anamorphic video has the size of the screen, and a disc is round there."""
    path = tmp_path / f"a{suffix}"
    frames = _disc(144, 180, float(Fraction(aspect)))
    media.encode(path, frames, pixel_aspect=Fraction(aspect))
    info = probe_video(path)
    assert (info.height, info.width) == screen
    picture = read_frames(path, [3])[0].permute(1, 2, 0).numpy()
    assert picture.shape == (*screen, 3)
    if aspect != "9/1":  # an error of the header, so that there is no circle
        inside = picture.mean(axis=2) > 130
        assert abs(inside.any(axis=0).sum() - 80) <= 2
        assert abs(inside.any(axis=1).sum() - 80) <= 2
    (streamed,) = {tuple(frame.shape[:2]) for frame in iterate_frames(path)}
    assert streamed == screen


def _write_streams(path, *streams):
    """A file of several video streams: (frames, is_default, is_cover) each."""
    with av.open(str(path), "w") as container:
        opened = []
        for frames, is_default, is_cover in streams:
            stream = container.add_stream("mjpeg" if is_cover else "libx264", rate=25)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuvj420p" if is_cover else "yuv420p"
            default, cover = av.stream.Disposition.default, av.stream.Disposition.attached_pic
            stream.disposition = is_default * default.value | is_cover * cover.value
            opened.append((stream, frames))
        for stream, frames in opened:
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("streams", "size", "num_frames"),
    [
        ([((48, 64), 8, True), ((96, 128), 12, True)], (96, 128), 12),  # the largest
        ([((48, 64), 8, True), ((96, 128), 12, False)], (48, 64), 8),  # or the default one
        ([((96, 128), 12, False), ((48, 64), 8, True)], (48, 64), 8),
        ([((96, 128), 1, True), ((48, 64), 8, False)], (48, 64), 8),  # a still is no film
        ([((48, 64), 8, False), ((48, 64), 12, False)], (48, 64), 8),  # the first of equal ones
    ],
)
def test_of_several_streams_the_best_is_read(streams, size, num_frames, tmp_path):
    rng = np.random.default_rng(0)
    path = _write_streams(
        tmp_path / "a.mp4",
        *(
            (rng.integers(0, 255, (count, *shape, 3), dtype=np.uint8), is_default, False)
            for shape, count, is_default in streams
        ),
    )
    info = probe_video(path)
    assert ((info.height, info.width), info.num_frames) == (size, num_frames)
    assert len(read_frames(path, range(num_frames))) == num_frames
    assert len(list(iterate_frames(path))) == num_frames


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        (
            "MIXTCONV_MAX_MEGAPIXELS",
            "0.006",
            "96x64; allowed are 0.006 megapixels, unless MIXTCONV",
        ),
        ("MIXTCONV_MAX_RATIO", "1.4", "96x64, one side 2 times the other; allowed are 1.4 times"),
        ("MIXTCONV_MAX_RATIO", "1,4", "MAX_RATIO is '1,4'; give a number above 0"),
    ],
)
def test_larger_pictures_than_allowed_are_refused(
    variable, value, says, media, tmp_path, monkeypatch
):
    media.encode(tmp_path / "a.mp4", media.moving_frames(4))
    (tmp_path / "frames").mkdir()
    for number, picture in enumerate(media.moving_frames(4)):
        Image.fromarray(picture).save(tmp_path / "frames" / f"{number:05d}.png")
    sources = [tmp_path / "a.mp4", tmp_path / "frames"]
    reads = [probe_video, lambda path: read_clip(path, range), lambda path: [*iterate_frames(path)]]
    stream = lambda path: [*open_source(f"file://{path}")]  # noqa: E731
    for read, source in [*product(reads, sources), (stream, sources[0])]:
        assert read(source)
        with monkeypatch.context() as patch, pytest.raises(ValueError, match=re.escape(says)):
            patch.setenv(variable, value)
            read(source)


def test_pictures_that_grow_beyond_the_limit_are_not_decoded(media, tmp_path, monkeypatch):
    parts = []
    for name, side in (("small", 64), ("large", 256)):
        media.encode(tmp_path / f"{name}.h264", media.moving_frames(8, height=side, width=side))
        parts.append((tmp_path / f"{name}.h264").read_bytes())
    path = tmp_path / "grows.h264"
    path.write_bytes(b"".join(parts))
    assert len([*iterate_frames(path)]) == 16
    monkeypatch.setenv("MIXTCONV_MAX_MEGAPIXELS", "0.01")
    assert len([*iterate_frames(path)]) == 8


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10000, 20000])
def test_a_huge_picture_is_refused_by_its_header(side, tmp_path):
    path = tmp_path / "00001.png"
    Image.new("1", (side, side)).save(path)  # 12 and 50 kB
    with pytest.raises(UnreadableVideoError, match=r"allowed are 64 megapixels|exceeds limit"):
        read_clip(tmp_path, range)


def test_a_decoder_that_is_closed_early_does_not_wait_for_its_messages(media, tmp_path) -> None:
    """As after the import of a torchvision that has FFmpeg's threads call Python."""
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(40))
    program = (
        "import av.logging, sys\n"
        "from mixtconv.video.reader import read_pictures\n"
        "for _ in range(20):\n"
        "    av.logging.set_level(av.logging.ERROR)\n"
        "    read_pictures(sys.argv[1], lambda num_frames: [20], num_threads=0)\n"
        "assert av.logging.get_level() is None\n"
        "av.logging.set_level(av.logging.FATAL)  # one that a program has chosen\n"
        "read_pictures(sys.argv[1], lambda num_frames: [20])\n"
        "assert av.logging.get_level() == av.logging.FATAL\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=120)
