"""How much of a video file there is: whole ones pass, and each kind of damage is told."""

from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.video.survey import survey_file

FORMS = {
    "mp4": {"codec": "libx264"},
    "mkv": {"codec": "libx264"},
    "webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "avi": {"codec": "mpeg4"},
    "flv": {"codec": "flv"},
    "mpg": {"codec": "mpeg2video"},
    "ts": {"codec": "libx264"},
}


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize("num_frames", [1, 40])
def test_a_whole_file_has_no_damage(
    suffix: str, num_frames: int, tmp_path: Path, media: ModuleType
) -> None:
    frames = media.moving_frames(num_frames)
    path = media.encode(tmp_path / f"a.{suffix}", frames, **FORMS[suffix])
    survey = survey_file(path)
    assert survey.num_pictures == len(media.decode_all(path)) == num_frames
    assert survey.damage() is None


def test_sound_that_goes_on_and_an_edit_list_are_no_damage(
    tmp_path: Path, media: ModuleType
) -> None:
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(30), audio=True)
    assert survey_file(path).damage() is None
    times = [24 * number + (600 if number > 10 else 0) for number in range(20)]
    path = media.encode(tmp_path / "b.mp4", media.moving_frames(20), times=times)
    assert survey_file(path).damage() is None


@pytest.mark.parametrize("suffix", ["webm", "mkv", "avi", "flv"])
def test_a_file_that_breaks_off_is_told_by_its_header(
    suffix: str, tmp_path: Path, media: ModuleType
) -> None:
    path = media.encode(tmp_path / f"a.{suffix}", media.moving_frames(60), **FORMS[suffix])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    survey = survey_file(path)
    there = len(media.decode_all(path))
    assert survey.num_pictures == there < 50
    assert survey.num_cut_off == pytest.approx(60 - there, abs=2)
    assert "breaks off" in (survey.damage() or "")


def test_an_mp4_that_breaks_off_behind_its_index(tmp_path: Path, media: ModuleType) -> None:
    path = media.encode(
        tmp_path / "a.mp4", media.moving_frames(60), container_options={"movflags": "faststart"}
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "breaks off" in (survey_file(path).damage() or "")


def test_frames_that_cannot_be_decoded_are_counted(tmp_path: Path, media: ModuleType) -> None:
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(40), options={"bf": "0"})
    for position, size, *_ in media.packets(path)[20:23]:
        media.overwrite(path, position, bytes(size))
    survey = survey_file(path)
    assert survey.num_pictures == len(media.decode_all(path))
    assert survey.num_announced == 40
    assert survey.damage() is not None


def test_real_clips_are_whole(shared_videos: Path) -> None:
    for path in shared_videos.glob("*.[am][vp][i4]"):
        assert survey_file(path).damage() is None
