"""Decoders: the views of reading here, and one request lost for one that dies or hangs."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest

from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.models.spec import ModelSpec
from mixtconv.serve import decoder_pool
from mixtconv.serve.decoder_pool import DecoderPool, DecodingError
from mixtconv.serve.decoder_process import DecoderSettings, Job, VideoLimits
from mixtconv.video.windows import WindowPlan, window_views

SPEC = ModelSpec("mstnet_test_resnet", ("a", "b"), num_frames=4, image_size=32)
READER = TensorViewReader(SPEC, Protocol.parse("2x3"))
SETTINGS = DecoderSettings(
    reader=READER,
    limits=VideoLimits(max_seconds=60, max_pixels=10**6),
    memory_bytes=10**9,
)


@pytest.fixture(scope="module")
def lost() -> list[str]:
    return []


@pytest.fixture(scope="module")
def pool(lost: list[str]) -> Iterator[DecoderPool]:
    pool = DecoderPool(SETTINGS, workers=1, on_lost=lost.append)
    pool.wait_ready()
    yield pool
    pids = pool.pids
    pool.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def fault(pool: DecoderPool, job: Job) -> DecodingError:
    with pytest.raises(DecodingError) as caught:
        list(pool.read(job))
    assert str(job.path) not in str(caught.value)
    return caught.value


def test_views_are_those_of_reading_here(pool: DecoderPool, clip: Path) -> None:
    video, views = pool.read(Job(clip, 10))
    expected = READER.read(clip)
    assert views.views is not None and np.array_equal(views.views, expected.frames)
    assert tuple(views.header["indices"]) == expected.indices
    assert (views.header["num_frames"], video.header["width"]) == (60, 96)


def test_windows_are_those_of_reading_here(pool: DecoderPool, clip: Path) -> None:
    plan = WindowPlan.parse("1s", "500ms")
    expected = list(window_views(READER, clip, plan))
    _, *answers = pool.read(Job(clip, 10, plan, 100))
    assert len(answers) == len(expected)
    for answer, (window, views) in zip(answers, expected, strict=True):
        assert answer.views is not None and np.array_equal(answer.views, views)
        assert answer.header["start"] == float(window.start)
        assert answer.header["first_frame"] == window.frames[0].number


@pytest.mark.parametrize("stride", ["100ms", "2f"])
def test_too_many_windows(pool: DecoderPool, clip: Path, stride: str) -> None:
    plan = WindowPlan.parse("1s" if stride.endswith("s") else "25f", stride)
    assert fault(pool, Job(clip, 10, plan, 5)).code == "too_long"


def test_a_damaged_file_costs_its_job_and_no_decoder(
    pool: DecoderPool, clip: Path, tmp_path: Path, lost: list[str]
) -> None:
    before, pids = list(lost), pool.pids
    half = tmp_path / "half.mp4"
    half.write_bytes(clip.read_bytes()[:-3000])
    assert fault(pool, Job(half, 10)).code == "not_a_video"
    assert fault(pool, Job(tmp_path / "missing", 10)).code == "unreadable"
    assert lost == before and pool.pids == pids


def while_stopped(pool: DecoderPool, job: Job, number: signal.Signals) -> DecodingError:
    """A job whose decoder stands still, and then gets a signal."""
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(0.2, os.kill, (pid, number))
    timer.start()
    error = fault(pool, job)
    timer.join()
    return error


def test_one_that_hangs_is_killed(pool: DecoderPool, clip: Path, lost: list[str]) -> None:
    started, pids = time.monotonic(), pool.pids
    error = while_stopped(pool, Job(clip, 0.5), signal.SIGURG)
    assert error.code == "decode_timeout" and lost[-1] == "timeout"
    assert time.monotonic() - started < 20
    assert pool.pids != pids and not Path(f"/proc/{pids[0]}").exists()
    assert len(list(pool.read(Job(clip, 10)))) == 2


def test_one_that_dies_is_replaced(
    pool: DecoderPool, media, tmp_path: Path, clip: Path, lost: list[str]
) -> None:
    plan = WindowPlan.parse("500ms")
    answers = pool.read(Job(clip, 10, plan, 100))
    next(answers)
    os.kill(pool.pids[0], signal.SIGKILL)
    with pytest.raises(DecodingError) as caught:  # it had begun: perhaps the file killed it
        list(answers)
    assert caught.value.code == "unreadable" and lost[-1] == "crash"
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
        assert fault(pool, Job(clip, 10)).code in ("busy", "unreadable")
        assert fault(pool, Job(clip, 10)).code == "busy"
        assert not pool.is_alive
    assert len(list(pool.read(Job(clip, 10)))) == 2


def test_what_is_no_answer_costs_the_decoder(pool: DecoderPool, clip: Path) -> None:
    decoder = pool._decoders[0]
    for content in (b"{", b'{"shape": [3]}'):
        connection, theirs = Pipe()
        own, decoder._connection = decoder._connection, connection
        theirs.send_bytes(content)
        theirs.send_bytes(b"12")
        with pytest.raises(decoder_pool._LostError, match="crash"):
            decoder.answer(1)
        decoder._connection = own
        connection.close()
        theirs.close()
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
    settings = DecoderSettings(READER, SETTINGS.limits, memory_bytes=2 * 10**6)
    pool = DecoderPool(settings, workers=1)
    try:
        assert fault(pool, Job(path, 10)).code in ("unreadable", "not_a_video")
    finally:
        pool.close()
