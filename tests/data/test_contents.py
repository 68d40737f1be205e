"""Videos are known again by what they hold, large ones by a part of it."""

import hashlib
from pathlib import Path

import pytest

from mixtconv.data.contents import MOST_READ, content_key, recorded_contents
from mixtconv.video.pictures import UnreadableVideoError

LARGE = bytes(range(251)) * (3 * MOST_READ // 251)


def test_a_small_file_has_the_hash_of_its_bytes_and_a_large_one_that_of_sixteen_parts(
    tmp_path: Path,
) -> None:
    small, large = tmp_path / "small.mp4", tmp_path / "large.mp4"
    small.write_bytes(LARGE[:MOST_READ])
    large.write_bytes(LARGE)
    digest = hashlib.blake2b(f"{len(LARGE)}\0".encode(), digest_size=16)
    length = MOST_READ // 16
    for number in range(16):
        start = (len(LARGE) - length) * number // 15
        digest.update(LARGE[start : start + length])
    whole = {path: hashlib.blake2b(path.read_bytes(), digest_size=16) for path in (small, large)}
    assert recorded_contents({"a": small, "b": large}) == {
        "a": whole[small].hexdigest(),
        "b": digest.hexdigest(),
    }
    assert content_key(large) == whole[large].hexdigest()
    # What is known of a large one is the hash of all of it, which is not what is recorded.
    known = {small: "known", large: "known"}
    assert recorded_contents({"a": small, "b": large}, known=known) == {
        "a": "known",
        "b": digest.hexdigest(),
    }


@pytest.mark.parametrize("place", [0, len(LARGE) // 15 // 2 * 15, len(LARGE) - 1])
def test_first_middle_and_last_bytes_of_a_large_file_count(place: int, tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(LARGE)
    before = content_key(video, most=MOST_READ)
    start = (len(LARGE) - MOST_READ // 16) * 7 // 15 if 0 < place < len(LARGE) - 1 else place
    changed = bytearray(LARGE)
    changed[start] ^= 1
    video.write_bytes(changed)
    assert content_key(video, most=MOST_READ) != before
    video.write_bytes(LARGE + b"1")
    assert content_key(video, most=MOST_READ) != before


def test_of_a_folder_names_sizes_and_bytes_count_flow_too(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    for number in range(1, 4):
        (folder / f"{number}.jpg").write_bytes(bytes([number]) * 5)
        (folder / f"flow_x_{number}.jpg").write_bytes(bytes([number]) * 5)
    keys = [content_key(folder, most=most) for most in (None, MOST_READ, 16)]
    assert len(set(keys)) == 3  # frames; all pictures; parts of them
    (folder / "flow_x_2.jpg").write_bytes(b"other")
    assert content_key(folder) == keys[0]
    assert content_key(folder, most=MOST_READ) != keys[1]
    assert content_key(folder, most=16) != keys[2]  # a byte of each 2nd place
    (folder / "flow_x_2.jpg").rename(folder / "flow_x_4.jpg")
    (folder / "flow_x_4.jpg").write_bytes(bytes([2]) * 5)
    assert content_key(folder, most=16) != keys[2]  # the same bytes under another name


def test_what_cannot_be_read_has_none(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideoError, match="No such file"):
        content_key(tmp_path / "none.mp4")
    assert recorded_contents({"none": tmp_path / "none.mp4"}) == {}
