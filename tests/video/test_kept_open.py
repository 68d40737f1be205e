"""Recordings stay open between reads, and what is read of them is as if each read opened them."""

import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from mixtconv.video import decoding
from mixtconv.video import packet_table as packet_table_module
from mixtconv.video.kept_open import KEPT_OPEN, MAX_KEPT_OPEN
from mixtconv.video.reader import read_pictures
from mixtconv.video.segment import Segment, Span
from mixtconv.video.segment_frames import iterate_video, read_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sees open files in /proc")

NUM_FRAMES = 64


@pytest.fixture(autouse=True)
def keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short files are kept open as long ones are, and new ones as old ones."""
    monkeypatch.setattr(decoding, "LONG_BYTES", 0)
    monkeypatch.setattr(packet_table_module, "SETTLED_SECONDS", 0)
    monkeypatch.setattr(KEPT_OPEN, "_idle", [])


def open_files(folder: Path) -> list[str]:
    """Paths in a folder that this process has open."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [target for target in map(os.readlink, links) if target.startswith(str(folder))]


def segments(path: Path, count: int, seed: int = 0) -> list[Segment]:
    rng = random.Random(seed)
    spans = [sorted(rng.sample(range(NUM_FRAMES + 1), 2)) for _ in range(count)]
    return [Segment(path, Span(start, end, in_frames=True)) for start, end in spans]


def read(segment: Segment, by_number: bool) -> np.ndarray:
    """All frames of a segment, or some."""
    if by_number:
        return read_video(segment, lambda num: range(0, num, 5), num_threads=1).frames
    return np.stack(list(iterate_video(segment)))


def expect_as_decoded(path: Path, reference: np.ndarray, count: int = 12) -> None:
    """Segments in random order are the frames of decoding the whole file from its start."""
    for number, segment in enumerate(segments(path, count)):
        start, end = int(segment.span.start), int(segment.span.end)
        by_number = number % 3 != 0
        expected = reference[start:end:5] if by_number else reference[start:end]
        np.testing.assert_array_equal(read(segment, by_number), expected)


FORMS = {
    "pyramid.mp4": {"options": {"x264-params": "bframes=3:b-pyramid=normal:b-adapt=0"}},
    "open_gop.mp4": {"options": {"x264-params": "open-gop=1:bframes=3:b-adapt=0"}},
    "cuts.mkv": {"options": {"x264-params": "bframes=2:ref=4"}, "gop_size": 8},
    "pictures.mov": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "b_frames.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}},
}


@pytest.mark.parametrize("name", FORMS)
def test_segments_in_random_order_are_as_decoded_from_the_start(
    name: str, media: ModuleType, tmp_path: Path
) -> None:
    path = media.encode(tmp_path / name, media.moving_frames(NUM_FRAMES), **FORMS[name])
    expect_as_decoded(path, np.stack(media.decode_all(path)))
    is_reused = name not in ("b_frames.mp4", "vp9.webm")
    assert open_files(tmp_path) == [str(path)] * is_reused


def test_a_recording_is_opened_once(media: ModuleType, tmp_path: Path, monkeypatch) -> None:
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(NUM_FRAMES))
    first, *others = segments(path, 6)
    read(first, by_number=True)
    monkeypatch.setattr(av, "open", lambda *_, **__: pytest.fail("opened again"))
    for segment in others:
        read(segment, by_number=True)
        read(segment, by_number=False)


def parameter_sets(header: bytes) -> bytes:
    """The sets of an MP4 header of H.264 (avcC) as units of a packet."""
    at, units = 6, b""
    for group in range(2):
        count = header[5] & 31 if group == 0 else header[at]
        at += group
        for _ in range(count):
            size = int.from_bytes(header[at : at + 2], "big")
            units += size.to_bytes(4, "big") + header[at + 2 : at + 2 + size]
            at += 2 + size
    return units


def joined(media: ModuleType, folder: Path, **second) -> Path:
    """A file whose second half has other headers, in its stream, than the one of the file."""
    halves, header = [], b""
    frames = media.moving_frames(NUM_FRAMES)
    for number, params in enumerate(("qp=20:cabac=1", "qp=38:cabac=0")):
        part = frames[number * 32 : number * 32 + 32]
        options = {"x264-params": f"{params}:bframes=0"}
        form = second if number else {}
        if form:
            part = np.ascontiguousarray(part[:, : form["height"]])
        half = media.encode(folder / f"{number}.mp4", part, gop_size=8, options=options)
        with av.open(str(half)) as container:
            stream = container.streams.video[0]
            if number:
                header = parameter_sets(bytes(stream.codec_context.extradata))
            packets = [p for p in container.demux(stream) if p.size]
            halves += [((header if p.is_keyframe else b"") + bytes(p), p) for p in packets]
    path = folder / "joined.mp4"
    with av.open(str(folder / "0.mp4")) as source, av.open(str(path), "w") as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for number, (content, old) in enumerate(halves):
            packet = av.Packet(content)
            packet.stream, packet.time_base = copy, stream.time_base
            packet.pts = packet.dts = number * halves[0][1].duration
            packet.is_keyframe = old.is_keyframe
            output.mux(packet)
    return path


@pytest.mark.parametrize("second", [{}, {"height": 48}], ids=["coding", "size"])
def test_headers_that_change_on_the_way_are_those_of_each_place(
    second: dict, media: ModuleType, tmp_path: Path
) -> None:
    path = joined(media, tmp_path, **second)
    # A recording that changes its resolution is read in the one that its header says.
    reference = read_pictures(path, range, num_threads=1).frames
    if not second:
        np.testing.assert_array_equal(reference, np.stack(media.decode_all(path)))
    for start, end in ((40, 60), (2, 20), (36, 64), (8, 31), (0, 5)):
        segment = Segment(path, Span(start, end, in_frames=True))
        np.testing.assert_array_equal(read(segment, by_number=False), reference[start:end])
        assert open_files(tmp_path) == [str(path)]


def test_after_damage_a_recording_is_opened_anew(media: ModuleType, tmp_path: Path) -> None:
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(NUM_FRAMES), gop_size=8)
    position, size, *_ = sorted(media.packets(path))[34]
    media.overwrite(path, position + size // 3, b"\xff" * (size // 2))
    reference = np.stack(media.decode_all(path))
    whole, damaged = ((Span(start, start + 6, in_frames=True)) for start in (8, 32))
    for span, num_open in ((whole, 1), (damaged, 0), (whole, 1), (damaged, 0)):
        got = read(Segment(path, span), by_number=False)
        np.testing.assert_array_equal(got, reference[int(span.start) : int(span.end)])
        assert len(open_files(tmp_path)) == num_open
    expect_as_decoded(path, reference)


def test_a_recording_that_was_replaced_is_opened_anew(
    media: ModuleType, tmp_path: Path, monkeypatch
) -> None:
    """Rather than found to be another one while it is read, and decoded from its start."""
    for plainly in ("decode_plain", "decode_every"):
        monkeypatch.setattr(decoding, plainly, lambda *_: pytest.fail("decoded from its start"))
    path = tmp_path / "a.mp4"
    for seed in range(3):
        new = media.encode(tmp_path / "new.mp4", media.moving_frames(NUM_FRAMES, seed=seed))
        new.replace(path)
        reference = np.stack(media.decode_all(path))
        for start, end in ((20, 50), (12, 30)):
            segment = Segment(path, Span(start, end, in_frames=True))
            np.testing.assert_array_equal(read(segment, by_number=False), reference[start:end])
        assert open_files(tmp_path) == [str(path)]  # the one before is closed


def test_threads_do_not_share_one(media: ModuleType, tmp_path: Path) -> None:
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(NUM_FRAMES), gop_size=8)
    reference = np.stack(media.decode_all(path))
    with ThreadPoolExecutor(3) as threads:
        asked = segments(path, 40)
        for segment, got in zip(
            asked, threads.map(lambda one: read(one, by_number=True), asked), strict=True
        ):
            start, end = int(segment.span.start), int(segment.span.end)
            np.testing.assert_array_equal(got, reference[start:end:5])
    assert open_files(tmp_path) == [str(path)]


def test_a_few_stay_open(media: ModuleType, tmp_path: Path) -> None:
    frames = media.moving_frames(NUM_FRAMES)
    paths = [media.encode(tmp_path / f"{n}.mp4", frames) for n in range(MAX_KEPT_OPEN + 2)]
    for path in (*paths, paths[2]):
        read(segments(path, 1)[0], by_number=True)
    assert sorted(open_files(tmp_path)) == [str(path) for path in paths[2:]]
    read(segments(paths[0], 1)[0], by_number=True)
    assert sorted(open_files(tmp_path)) == sorted(map(str, (paths[0], paths[2], *paths[4:])))


def test_forked_processes_open_their_own(
    media: ModuleType, launchers: ModuleType, tmp_path: Path, monkeypatch
) -> None:
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(NUM_FRAMES), gop_size=8)
    reference = np.stack(media.decode_all(path))
    started = iterate_video(Segment(path, Span(3, 30, in_frames=True)))
    got = [next(started)]  # one is in use at the fork, another is kept
    expect_as_decoded(path, reference, count=3)
    opened = []
    av_open = av.open
    monkeypatch.setattr(av, "open", lambda *args, **_: opened.append(args) or av_open(*args, **_))

    def in_fork() -> None:
        expect_as_decoded(path, reference)
        assert len(opened) == 1

    assert launchers.forked(in_fork, seconds=60) == (0, "")
    np.testing.assert_array_equal(np.stack([*got, *started]), reference[3:30])
    expect_as_decoded(path, reference)
    assert not opened
