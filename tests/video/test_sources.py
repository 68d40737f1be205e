"""Streams from files, pipes, cameras and URLs: what is given, what is dropped, what is refused."""

import http.server
import io
import threading
import time
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from mixtconv.video import sources as source_module
from mixtconv.video.live import (
    BrokenSourceError,
    LatestFrames,
    SourceSettings,
    StreamFrame,
    at_rate,
)
from mixtconv.video.sources import open_source


def _frames(*times: float) -> list[StreamFrame]:
    return [StreamFrame(lambda: None, number, time) for number, time in enumerate(times)]


def _taken(frames, rate) -> list[int]:
    return [frame.number for frame in at_rate(frames, rate)]


def test_a_file_is_read_completely_each_frame_once_with_its_time(tmp_path, media):
    times = [0, 20, 50, 60, 200, 230]  # of 1/600 s: the rate changes
    path = media.encode(tmp_path / "clip.mkv", media.moving_frames(6), times=times)
    with open_source(str(path)) as source:
        assert (source.is_live, source.num_dropped) == (False, 0)
        frames = list(source)
    assert [frame.number for frame in frames] == list(range(6))
    assert [frame.seconds for frame in frames] == pytest.approx([t / 600 for t in times], abs=2e-3)
    for frame, picture in zip(frames, media.decode_all(path), strict=True):
        np.testing.assert_array_equal(frame.to_rgb(), picture)


def test_a_file_whose_resolution_changes_keeps_its_first(tmp_path, media):
    parts = []
    for number, height in enumerate((64, 32)):
        part = media.encode(
            tmp_path / f"{number}.h264", media.moving_frames(5, height=height), gop_size=5
        )
        parts.append(part.read_bytes())
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(parts))
    with open_source(str(path)) as source:
        shapes = [frame.to_rgb().shape for frame in source]
    assert shapes == [(64, 96, 3)] * 10


def _stdin(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(source_module.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_raw_frames_come_from_standard_input(monkeypatch):
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)
    _stdin(monkeypatch, frames.tobytes())
    with open_source("-", SourceSettings(input_size="6x4", input_fps=10)) as source:
        got = list(source)
    np.testing.assert_array_equal([frame.to_rgb() for frame in got], frames)
    assert [frame.seconds for frame in got] == pytest.approx([0, 0.1, 0.2])


@pytest.mark.parametrize(
    ("size", "num_bytes", "error", "says"),
    [
        (None, 72, ValueError, "--input-size is None"),
        ("6", 72, ValueError, "WIDTHxHEIGHT"),
        ("0x4", 72, ValueError, "WIDTHxHEIGHT"),
        ("6x4", 0, ValueError, "standard input is empty"),
        ("6x4", 30, ValueError, "in the middle of frame 0: 30 of the 72 bytes"),
        ("6x4", 100, BrokenSourceError, "in the middle of frame 1: 28 of the 72 bytes"),
    ],
)
def test_standard_input_that_cannot_be_used_is_said(monkeypatch, size, num_bytes, error, says):
    _stdin(monkeypatch, bytes(num_bytes))
    with pytest.raises(ValueError, match=says) as caught:
        list(open_source("-", SourceSettings(input_size=size)))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("camera:77", "camera:77 cannot be opened"),
        ("camera:front", "cameras are camera:0"),
        ("rtsp://127.0.0.1:9/none", "rtsp://127.0.0.1:9/none cannot be opened"),
        ("http://127.0.0.1:9/none.mp4", "cannot be opened"),
        ("nowhere.mp4", "there is no such file"),
    ],
)
def test_what_is_not_there_is_named(name, says):
    with pytest.raises(ValueError, match=says) as error:
        open_source(name)
    assert "\n" not in str(error.value)


def test_an_empty_file_and_one_without_pictures_are_named(tmp_path, media):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    with pytest.raises(ValueError, match="0 bytes"):
        open_source(str(empty))
    with pytest.raises(ValueError, match="no video stream"):
        open_source(str(media.encode_audio(tmp_path / "sound.mp4")))
    with pytest.raises(ValueError, match="is a folder"):
        open_source(str(tmp_path))


@contextmanager
def _served(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


def test_a_file_behind_a_url_is_read_completely(tmp_path, media):
    path = media.encode(tmp_path / "clip.mp4", media.moving_frames(30))
    with (
        _served(partial(_Quiet, directory=str(tmp_path))) as address,
        open_source(f"{address}/clip.mp4") as source,
    ):
        assert not source.is_live
        frames = [frame.to_rgb() for frame in source]
    np.testing.assert_array_equal(frames, media.decode_all(path))


def test_a_url_that_stalls_is_given_up(tmp_path, media):
    path = media.encode(tmp_path / "clip.ts", media.moving_frames(60), gop_size=5)
    content = path.read_bytes()
    released = threading.Event()

    class Stalling(_Quiet):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()
            released.wait(20)  # and no more

    with _served(Stalling) as address:
        start = time.monotonic()
        with (
            pytest.raises(BrokenSourceError, match=r"gave no frame for|broke off"),
            open_source(f"{address}/live.ts", SourceSettings(stall_seconds=1.0)) as source,
        ):
            assert source.is_live
            for number, _ in enumerate(source):
                assert number < 60
        released.set()
    assert time.monotonic() - start < 15


def test_of_a_live_source_the_newest_frame_is_taken_and_the_others_are_counted():
    may_come = threading.Semaphore(0)
    came = []

    def camera():
        for number in range(12):
            may_come.acquire()
            yield number
            came.append(number)  # it lies in the mailbox

    latest = LatestFrames("camera:0", camera(), stall_seconds=10)
    items, taken = iter(latest), []
    for count in (1, 4, 6):  # so many frames come before the next one is taken
        for _ in range(count):
            may_come.release()
        expected = len(came) + count
        while len(came) < expected:
            time.sleep(0.001)
        taken.append(next(items))
    assert taken == [(0, 0), (4, 4), (10, 10)]
    assert latest.num_dropped == 3 + 5
    may_come.release()
    assert list(items) == [(11, 11)]


def test_what_ends_a_live_source_is_said_after_its_last_frame():
    def unplugged():
        yield "frame"
        raise BrokenSourceError("camera:0 broke off: No such device")

    latest = iter(LatestFrames("camera:0", unplugged(), stall_seconds=10))
    assert next(latest) == (0, "frame")
    with pytest.raises(BrokenSourceError, match="No such device"):
        next(latest)


def test_a_source_that_is_silent_has_stalled():
    never = threading.Event()

    def silent():
        never.wait(30)
        yield "frame"

    latest = LatestFrames("camera:0", silent(), stall_seconds=0.05)
    with pytest.raises(BrokenSourceError, match=r"camera:0 gave no frame for 0\.05 seconds"):
        next(iter(latest))
    never.set()


def test_frames_are_taken_at_a_rate_by_their_times():
    assert _taken(_frames(*np.arange(30) / 30), 10) == list(range(0, 30, 3))
    assert _taken(_frames(*np.arange(30) / 30), 60) == list(range(30))  # a slow source: all
    assert _taken(_frames(0, 0.1, 0.15, 0.2, 0.5), None) == list(range(5))


def test_after_a_stall_frames_are_no_closer_than_at_the_rate():
    times = [*np.arange(10) / 30, *(0.3 + 0.9 + np.arange(30) / 30)]  # 0.9 s without a frame
    taken = _taken(_frames(*times), 5)
    gaps = np.diff([times[number] for number in taken])
    assert gaps.min() > 1 / 5 - 1 / 30  # a frame is late by a period of the source at most
    assert taken[:3] == [0, 6, 10]


def test_a_clock_that_jumps_does_not_stop_the_stream():
    ahead = [0, 0.1, 0.2, 100.0, 100.1, 100.2]
    assert _taken(_frames(*ahead), 10) == list(range(6))
    back = [50.0, 50.1, 50.2, 0.0, 0.1, 0.2]
    assert _taken(_frames(*back), 10) == list(range(6))
    assert _taken(_frames(*ahead), 5) == [0, 2, 3, 5]


@pytest.mark.parametrize("settings", [{"input_fps": 0.0}, {"stall_seconds": 0.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="give more than 0"):
        SourceSettings(**settings)
