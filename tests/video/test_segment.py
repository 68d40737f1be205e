"""Segments of recordings: their frames are those of the whole file between two times."""

import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
from PIL import Image

from mixtconv.video import decoding, segment_frames
from mixtconv.video import packet_table as packet_table_module
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.reader import iterate_frames
from mixtconv.video.segment import Segment, Span, parse_span
from mixtconv.video.segment_frames import (
    Recording,
    iterate_timed,
    iterate_video,
    packet_table,
    probe,
    read_video,
)
from mixtconv.video.writer import write_video

NUM_FRAMES = 60


def _seconds(start: str | float, end: str | float) -> Span:
    return Span(Fraction(str(start)), Fraction(str(end)))


def _shown(path: Path) -> list[Fraction]:
    """Times of all frames from the first, by PyAV alone."""
    with av.open(str(path)) as container:
        times = [Fraction(frame.pts) * frame.time_base for frame in container.decode(video=0)]
    return [time - times[0] for time in times]


# Formats whose packets tell the times of frames, and others of which all frames are decoded.
@pytest.fixture(scope="module", params=["varying.mp4", "long.mkv", "stream.ts", "picture.avi"])
def recording(request, media: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / request.param
    times = np.cumsum(np.random.default_rng(0).choice([12, 24, 60], NUM_FRAMES))
    return media.encode(
        path,
        media.moving_frames(NUM_FRAMES),
        codec="mpeg4" if path.suffix == ".avi" else "libx264",
        gop_size=50 if path.stem == "long" else 8,
        times=times.tolist() if path.stem == "varying" else None,
    )


@pytest.mark.parametrize("span", [(0, 0.4), (0.5, 1.3), ("0.3", "0.5"), (1.7, 99)])
def test_a_segment_holds_the_frames_that_are_shown_in_it(recording: Path, span) -> None:
    frames, times = np.stack(list(iterate_frames(recording))), _shown(recording)
    segment = Segment(recording, _seconds(*span))
    inside = [n for n, t in enumerate(times) if segment.span.start <= t < segment.span.end]
    asked = []

    def choose(num_frames: int) -> list[int]:
        asked.append(num_frames)
        return [num_frames - 1, 0]

    clip = read_video(segment, choose)
    assert set(asked) == {clip.num_frames} == {len(inside)} == {probe(segment).num_frames}
    assert clip.indices == (len(inside) - 1, 0)
    np.testing.assert_array_equal(clip.frames, frames[[inside[-1], inside[0]]])
    np.testing.assert_array_equal(np.stack(list(iterate_video(segment))), frames[inside])
    timed = list(iterate_timed(segment))
    assert [time for time, _ in timed] == [times[n] - times[inside[0]] for n in inside]
    np.testing.assert_array_equal(np.stack([frame for _, frame in timed]), frames[inside])


def test_frames_are_counted_from_0_and_the_end_is_not_included(recording: Path) -> None:
    frames = list(iterate_frames(recording))
    segment = Segment(recording, Span(Fraction(7), Fraction(10), in_frames=True))
    clip = read_video(segment, range)
    np.testing.assert_array_equal(clip.frames, np.stack(frames[7:10]))
    assert str(segment) == f"{recording}#frame=7,10"


def test_between_two_frames_it_is_the_one_that_is_shown(tmp_path: Path, media: ModuleType) -> None:
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(25))
    frames = list(iterate_frames(path))
    for start, end, number in (("0.41", "0.43", 10), ("0.97", "0.99", 24)):
        clip = read_video(Segment(path, _seconds(start, end)), range)
        np.testing.assert_array_equal(clip.frames, frames[number][None])
    recording = Recording(path)
    assert recording.reaches(_seconds(0, 1)) and not recording.reaches(_seconds(0, 1.03))
    late = Segment(path, _seconds(1, 2))
    with pytest.raises(UnreadableVideoError, match=r"25 frames in 1 s") as error:
        read_video(late, range)
    assert error.value.reason_in(late).startswith("it starts after the end")
    with pytest.raises(UnreadableVideoError, match="25 frames"):
        probe(Segment(path, Span(Fraction(25), Fraction(26), in_frames=True)))
    with pytest.raises(ValueError, match=r"got frame 5; its 5 frames are 0 to 4"):
        read_video(Segment(path, _seconds(0, 0.2)), lambda num_frames: [num_frames])


def test_times_that_are_rounded_end_no_segment_after_its_recording(
    tmp_path: Path, media: ModuleType
) -> None:
    """Matroska has milliseconds: at 30 frames a second the last one seems to be shown for 33."""
    times = [20 * number for number in range(31)]
    path = media.encode(tmp_path / "a.mkv", media.moving_frames(31), times=times)
    recording, end = Recording(path), Fraction(31, 30)
    assert recording.seconds < end
    assert recording.reaches(Span(Fraction(0), end))
    assert not recording.reaches(Span(Fraction(0), end + Fraction(1, 50)))


@pytest.fixture
def broken(tmp_path: Path, media: ModuleType) -> Path:
    """Forty frames, of which the last sixteen cannot be decoded."""
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(40), gop_size=8)
    for position, size, *_ in media.packets(path):
        if position >= sorted(packet[0] for packet in media.packets(path))[24]:
            media.overwrite(path, position + 4, b"\0" * (size - 4))
    assert len(list(iterate_frames(path))) == 24
    return path


def test_of_damaged_frames_a_segment_has_those_that_are_there(broken: Path) -> None:
    frames = np.stack(list(iterate_frames(broken)))
    part = Segment(broken, _seconds(0.8, 1.2))  # frames 20 to 29
    clip = read_video(part, lambda num_frames: [0, num_frames - 1])
    assert clip.num_frames == 4
    np.testing.assert_array_equal(clip.frames, frames[[20, 23]])
    np.testing.assert_array_equal(np.stack(list(iterate_video(part))), frames[20:])
    for span in (_seconds(1.2, 1.4), Span(Fraction(30), Fraction(35), True)):
        gone = Segment(broken, span)
        for read in (
            lambda: read_video(gone, lambda num_frames: [0]),  # noqa: B023
            lambda: list(iterate_video(gone)),  # noqa: B023
            lambda: list(iterate_timed(gone)),  # noqa: B023
        ):
            with pytest.raises(UnreadableVideoError, match="not one picture in it") as error:
                read()
            assert error.value.path == str(gone)


def test_packets_are_listed_and_frames_timed_once(
    tmp_path: Path, media: ModuleType, monkeypatch
) -> None:
    """Also by threads that read segments of a recording at a time, and of one too large to keep."""
    listed, timed = [], []
    read_table, all_times = packet_table_module.read_packet_table, segment_frames.timed_frames

    def list_slowly(*args):
        listed.append(args)
        time.sleep(0.1)
        return read_table(*args)

    def time_slowly(path):
        timed.append(path)
        time.sleep(0.1)
        return all_times(path)

    monkeypatch.setattr(packet_table_module, "SETTLED_SECONDS", 0)
    monkeypatch.setattr(packet_table_module, "read_packet_table", list_slowly)
    monkeypatch.setattr(segment_frames, "timed_frames", time_slowly)
    for name, times in (("a.mp4", 0), ("b.ts", 1)):
        path = media.encode(tmp_path / name, media.moving_frames(50))
        spans = [_seconds(start / 10, start / 10 + 0.3) for start in range(8)]
        listed.clear()
        timed.clear()
        with ThreadPoolExecutor(8) as threads:
            clips = threads.map(lambda span: read_video(Segment(path, span), range), spans)  # noqa: B023
            assert [clip.num_frames >= 7 for clip in clips] == [True] * 8
        assert (len(listed), len(timed)) == (1, times)
    monkeypatch.setattr(packet_table_module.PACKET_TABLES, "max_bytes", 0)
    listed.clear()
    path = media.encode(tmp_path / "large.mp4", media.moving_frames(50))
    read_video(Segment(path, spans[0]), range)
    assert len(listed) == 1


def test_little_is_decoded_before_a_segment(tmp_path: Path, monkeypatch) -> None:
    """From the keyframe before it, whether frames are read by number or one after the other."""
    path = tmp_path / "a.mp4"
    frames = np.random.default_rng(0).integers(0, 255, (400, 32, 32, 3), dtype=np.uint8)
    write_video(path, list(frames), frames_per_second=25)
    segment = Segment(path, _seconds(12, 13))
    before = max(number for _, number in packet_table(path).entries if number <= 300)
    decoded = []
    as_announced = decoding._as_announced

    def counted(table, number, frame):
        decoded.append(number)
        return as_announced(table, number, frame)

    monkeypatch.setattr(decoding, "_as_announced", counted)
    read_video(segment, lambda num_frames: [0, 24])
    assert decoded and min(decoded) >= before > 0 and max(decoded) <= 330
    decoded.clear()
    assert len(list(iterate_video(segment))) == 25
    assert decoded and min(decoded) >= before and max(decoded) <= 330


def test_a_folder_of_pictures_has_frames_and_no_seconds(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    folder.mkdir()

    for number in range(6):
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(folder / f"{number:05d}.png")
    segment = Segment(folder, Span(Fraction(2), Fraction(4), in_frames=True))
    assert read_video(segment, range).frames[:, 0, 0, 0].tolist() == [80, 120]
    assert [frame[0, 0, 0] for frame in iterate_video(segment)] == [80, 120]
    with pytest.raises(UnreadableVideoError, match=r"no times: give segments in frames"):
        read_video(Segment(folder, _seconds(0, 1)), range)


@pytest.mark.parametrize(
    ("start", "end", "unit", "expected"),
    [
        ("1.5", "2", "seconds", "t=1.5,2"),
        ("0", "1e1", "seconds", "t=0,10"),
        ("0,25", "0,75", "seconds", "t=0.25,0.75"),
        ("01:30", "1:00:00.25", "seconds", "t=90,3600.25"),
        ("1500", "2000.5", "milliseconds", "t=1.5,2.0005"),
        ("3", "4.0", "frames", "frame=3,4"),
    ],
)
def test_starts_and_ends_as_lists_have_them(start, end, unit, expected) -> None:
    assert str(parse_span(start, end, unit)) == expected


@pytest.mark.parametrize(
    ("start", "end", "unit", "says"),
    [
        ("-1", "2", "seconds", "starts at -1 s; give 0 or more"),
        ("2", "2", "seconds", "from 2 to 2 s; give an end after its start"),
        ("3", "4.5", "frames", "from frame 3 to 4.5; give whole numbers"),
        ("1/2", "4", "seconds", "'1/2'; give seconds such as 12.5, or h:mm:ss"),
        ("nan", "4", "seconds", "'nan'"),
        ("0:10", "0:20", "frames", "'0:10'; give numbers of frames, from 0"),
        ("1e999", "4", "seconds", "'1e999'"),
    ],
)
def test_what_is_no_segment_is_said(start, end, unit, says) -> None:
    with pytest.raises(ValueError, match="segment") as error:
        parse_span(start, end, unit)
    assert says in str(error.value)
