"""Files that cannot be read are named in one line, with the reason."""

import pickle
import socket

import numpy as np
import pytest

from mixtconv.data.clips import read_clip, read_frames
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.reader import iterate_frames, probe_video
from mixtconv.video.writer import write_video


def make_no_index(path, media):
    media.encode(path, media.moving_frames(20))
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])


def make_all_noise(path, media):
    media.encode(path, media.moving_frames(10), codec="mjpeg", pixel_format="yuvj420p")
    for position, size, *_ in media.packets(path):
        media.overwrite(path, position, bytes(size))


BAD_FILES = {
    "header is damaged or missing": make_no_index,
    "not a video": lambda path, media: path.write_text("these are words\n" * 50),
    "the file is empty": lambda path, media: path.write_bytes(b""),
    "there is no such file": lambda path, media: None,
    "no video stream, it holds audio only": lambda path, media: media.encode_audio(path),
    "not one picture": make_all_noise,
    "the folder holds no pictures": lambda path, media: path.mkdir(),
}


@pytest.mark.parametrize("reason", BAD_FILES)
@pytest.mark.parametrize("read", [probe_video, lambda path: read_clip(path, range)])
def test_bad_files_are_named_in_one_line(reason, read, media, tmp_path, capfd):
    path = tmp_path / "bad.mp4"
    BAD_FILES[reason](path, media)
    capfd.readouterr()
    with pytest.raises(UnreadableVideoError, match=reason) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("indices", [[], [-1], [20], [3, 400]])
def test_frames_that_are_not_there(indices, media, tmp_path):
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(20))
    with pytest.raises(ValueError, match=r"a\.mp4: got (no )?frame") as caught:
        read_frames(path, indices)
    assert not isinstance(caught.value, UnreadableVideoError)


@pytest.mark.parametrize("reason", BAD_FILES)
def test_going_through_a_bad_file_names_it(reason, media, tmp_path):
    path = tmp_path / "bad.mp4"
    BAD_FILES[reason](path, media)
    with pytest.raises(UnreadableVideoError, match=reason):
        list(iterate_frames(path))


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
