"""Files that cannot be read are named in one line, with the reason."""

import os
import pickle

import pytest

from mixtconv.data.clips import read_clip, read_frames
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.reader import iterate_frames, probe_video


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


def test_what_is_no_regular_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UnreadableVideoError, match="neither a regular file nor a folder"):
        probe_video(tmp_path / "pipe.mp4")
