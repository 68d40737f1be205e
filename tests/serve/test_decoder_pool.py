"""Decoders: the views of reading here, and one request lost for one that dies or hangs."""

import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.models.spec import ModelSpec
from mixtconv.serve import decoder_pool
from mixtconv.serve.answers import VideoFacts
from mixtconv.serve.decoder_pool import DecoderPool
from mixtconv.serve.decoder_process import (
    Done,
    Job,
    Message,
    Ready,
    RefusedError,
    WindowViews,
    receive_message,
    send_message,
)
from mixtconv.serve.errors import ServiceError
from mixtconv.serve.settings import Limits
from mixtconv.video.pictures import Clip
from mixtconv.video.windows import WindowPlan, window_views

SPEC = ModelSpec("mstnet_test_resnet", ("a", "b"), num_frames=4, image_size=32)
READER = TensorViewReader(SPEC, Protocol.parse("2x3"))
LIMITS = Limits(max_video_seconds=60, max_megapixels=1, decode_memory_mb=1000)


@pytest.fixture(scope="module")
def lost() -> list[str]:
    return []


@pytest.fixture(scope="module")
def pool(lost: list[str]) -> Iterator[DecoderPool]:
    pool = DecoderPool(READER, LIMITS, workers=1, on_lost=lost.append)
    pool.wait_ready()
    yield pool
    pids = pool.pids
    pool.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def failure(pool: DecoderPool, job: Job) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        list(pool.read(job))
    assert str(job.path) not in str(caught.value)
    return caught.value


def test_views_are_those_of_reading_here(pool: DecoderPool, clip: Path) -> None:
    video, views = pool.read(Job(clip, 10))
    expected = READER.read(clip)
    assert isinstance(views, Clip) and isinstance(video, VideoFacts)
    assert np.array_equal(views.frames, expected.frames)
    assert views.indices == expected.indices
    assert (views.num_frames, video.width) == (60, 96)


def test_windows_are_those_of_reading_here(pool: DecoderPool, clip: Path) -> None:
    plan = WindowPlan.parse("1s", "500ms")
    expected = list(window_views(READER, clip, plan))
    _, *answers = pool.read(Job(clip, 10, plan, 100))
    assert len(answers) == len(expected)
    for answer, (window, views) in zip(answers, expected, strict=True):
        assert isinstance(answer, WindowViews) and np.array_equal(answer.frames, views)
        assert answer.start == float(window.start)
        assert answer.first_frame == window.frames[0].number


@pytest.mark.parametrize("stride", ["100ms", "2f"])
def test_too_many_windows(pool: DecoderPool, clip: Path, stride: str) -> None:
    plan = WindowPlan.parse("1s" if stride.endswith("s") else "25f", stride)
    assert failure(pool, Job(clip, 10, plan, 5)).code == "too_long"


def test_a_damaged_file_costs_its_job_and_no_decoder(
    pool: DecoderPool, clip: Path, tmp_path: Path, lost: list[str]
) -> None:
    before, pids = list(lost), pool.pids
    half = tmp_path / "half.mp4"
    half.write_bytes(clip.read_bytes()[:-3000])
    assert failure(pool, Job(half, 10)).code == "not_a_video"
    assert failure(pool, Job(tmp_path / "missing", 10)).code == "unreadable"
    assert lost == before and pool.pids == pids


def while_stopped(pool: DecoderPool, job: Job, number: signal.Signals) -> ServiceError:
    """A job whose decoder stands still, and then gets a signal."""
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(0.2, os.kill, (pid, number))
    timer.start()
    error = failure(pool, job)
    timer.join()
    return error


def test_one_that_hangs_is_killed(pool: DecoderPool, clip: Path, lost: list[str]) -> None:
    started, pids = time.monotonic(), pool.pids
    error = while_stopped(pool, Job(clip, 0.5), signal.SIGURG)
    assert error.code == "decode_timeout" and lost[-1] == "timeout"
    assert time.monotonic() - started < 20
    assert pool.pids != pids and not Path(f"/proc/{pids[0]}").exists()
    assert len(list(pool.read(Job(clip, 10)))) == 2


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [
        (signal.SIGSEGV, "unreadable", "crash"),
        (signal.SIGABRT, "unreadable", "crash"),
        (signal.SIGKILL, "busy", "killed"),
        (signal.SIGUSR1, "busy", "killed"),  # of SIGHUP tests under nohup would not notice
    ],
)
def test_one_that_dies_is_replaced(
    pool: DecoderPool, clip: Path, lost: list[str], number: int, code: str, reason: str
) -> None:
    # 20 windows of 74 kB each: more than the pipe holds, so that it waits for someone to read them.
    answers = pool.read(Job(clip, 10, WindowPlan.parse("100ms"), 100))
    next(answers)
    os.kill(pool.pids[0], number)
    with pytest.raises(ServiceError) as caught:  # it had begun: there is no second try
        list(answers)
    assert caught.value.code == code and lost[-1] == reason
    assert len(list(pool.read(Job(clip, 10)))) == 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGSEGV, "unreadable"), (signal.SIGKILL, "busy")]
)
def test_one_that_dies_twice_is_the_fault_of_the_file_or_of_others(
    pool: DecoderPool, clip: Path, lost: list[str], number: signal.Signals, code: str
) -> None:
    """At each of the two attempts the decoder stands still, and then gets a signal."""
    begin, before = decoder_pool._Decoder.start_job, len(lost)

    def begin_and_kill(decoder: Any, job: Job) -> None:
        os.kill(decoder.pid, signal.SIGSTOP)
        begin(decoder, job)
        os.kill(decoder.pid, number)
        os.kill(decoder.pid, signal.SIGCONT)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(decoder_pool._Decoder, "start_job", begin_and_kill)
        assert failure(pool, Job(clip, 10)).code == code
    assert lost[before:] == [{"busy": "killed"}.get(code, "crash")] * 2
    assert len(list(pool.read(Job(clip, 10)))) == 2


def test_one_that_was_killed_while_idle_costs_nothing(pool: DecoderPool, clip: Path) -> None:
    for _ in range(3):
        os.kill(pool.pids[0], signal.SIGKILL)
        assert len(list(pool.read(Job(clip, 10)))) == 2


def test_one_that_cannot_be_started_is_started_later(
    pool: DecoderPool, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_descriptor(*modules: str) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as broken:
        broken.setattr(decoder_pool, "begin_start", no_descriptor)
        os.kill(pool.pids[0], signal.SIGKILL)
        assert failure(pool, Job(clip, 10)).code in ("busy", "unreadable")
        assert failure(pool, Job(clip, 10)).code == "busy"
        assert not pool.is_alive
    assert len(list(pool.read(Job(clip, 10)))) == 2


FRAMES = np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 2, 2)

MESSAGES: list[Message] = [
    Ready(),
    Done(),
    RefusedError("too_long", "the video is longer"),
    VideoFacts(width=96, height=64, codec="h264", seconds=None),
    Clip(FRAMES, (0, 5), 9),
    WindowViews(0.5, 1.5, 12, 25, is_whole=True, frames=FRAMES),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    ours, theirs = Pipe()
    send_message(theirs, message)
    received = receive_message(ours)
    assert type(received) is type(message)
    for name, value in vars(message).items():
        assert np.array_equal(getattr(received, name), value), name


HEADERS = [
    b"", b"{", b"[]", b"1", b'"ready"', b"[" * 10**5, b"{}", b'{"kind": ["Ready"]}',
    b'{"kind": "RefusedError", "code": "internal", "message": "x"}',
    b'{"kind": "RefusedError", "code": "too_long"}',
    b'{"kind": "VideoFacts", "width": "96", "height": 64, "codec": "", "seconds": 1, "start": 0}',
    b'{"kind": "Clip", "indices": [0], "num_frames": 1, "shape": [3]}',
    b'{"kind": "Clip", "indices": [0], "num_frames": 1}',
    b'{"kind": "Clip", "indices": ["a"], "num_frames": 1, "shape": [1, 1, 1, 1, 2]}',
    b'{"kind": "Clip", "indices": [0], "num_frames": 1, "shape": [1, 1, 1, -3, 3]}',
    b'{"kind": "Clip", "indices": [0], "num_frames": 1, "shape": ["a"]}',
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
def test_what_is_no_message_is_refused(header: bytes) -> None:
    ours, theirs = Pipe()
    theirs.send_bytes(header)
    theirs.send_bytes(b"12")
    with pytest.raises((ValueError, RecursionError)):
        receive_message(ours)


TAKEN_OVER = '''
import gc, json, time
from multiprocessing.connection import Connection

class Reader:
    """A decoder that a file has taken over: it sends what the file says."""

    def __init__(self, contents):
        self.contents = contents

    def read(self, video, *, num_threads=None):
        for each in gc.get_objects():
            if isinstance(each, Connection) and not each.closed and each.writable:
                for content in self.contents:
                    each.send_bytes(content)
        time.sleep(60)
'''


@pytest.mark.parametrize(
    "contents",
    [
        [b"{"],
        [
            json.dumps({"kind": "Clip", "indices": [0], "num_frames": 1, "shape": [3]}).encode(),
            b"1",
        ],
        [b'{"kind": "Ready"}'],
        [b'{"kind": "VideoFacts", "width": 1, "height": 1, "codec": "", "seconds": 1, "start": 0}'],
    ],
    ids=["no JSON", "no frames", "no job", "twice"],
)
def test_nonsense_costs_its_job_and_the_decoder(
    contents: list[bytes], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken_over.py").write_text(TAKEN_OVER)
    monkeypatch.syspath_prepend(tmp_path)  # the new processes have the path of this one
    reader = importlib.import_module("taken_over").Reader(contents)
    lost: list[str] = []
    pool = DecoderPool(reader, LIMITS, workers=1, on_lost=lost.append)
    try:
        assert failure(pool, Job(clip, 20)).code == "unreadable"
        assert lost == ["crash"] and pool.is_alive
    finally:
        pool.close()
        sys.modules.pop("taken_over")


def test_a_cancelled_job_frees_its_decoder(pool: DecoderPool, clip: Path, lost: list[str]) -> None:
    (pid,), cancelled = pool.pids, threading.Event()
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(0.2, cancelled.set)
    timer.start()
    with pytest.raises(ServiceError) as caught:
        list(pool.read(Job(clip, 600), cancelled=cancelled))
    assert caught.value.code == "gone" and lost[-1] == "left"
    assert pool.pids != [pid]
    assert len(list(pool.read(Job(clip, 10)))) == 2


def test_leaving_early_frees_the_place(pool: DecoderPool, clip: Path, lost: list[str]) -> None:
    answers = pool.read(Job(clip, 10, WindowPlan.parse("500ms"), 100))
    next(answers)
    answers.close()
    assert lost[-1] == "left"
    assert len(list(pool.read(Job(clip, 10)))) == 2


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_memory_is_limited(media, tmp_path: Path) -> None:
    path = media.encode(tmp_path / "clip.mp4", media.moving_frames(8, height=300, width=400))
    pool = DecoderPool(READER, replace(LIMITS, decode_memory_mb=2), workers=1)
    try:
        assert failure(pool, Job(path, 10)).code in ("unreadable", "not_a_video")
    finally:
        pool.close()
