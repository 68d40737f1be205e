"""The benchmark of segments: a long recording, read as segments and as files cut from them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mixtconv.benchmarks import segments
from mixtconv.benchmarks.loader import write_sample_video
from mixtconv.benchmarks.segments import CUT, PREPARED, SEGMENTS, bench_segments, repeat_video
from mixtconv.benchmarks.settings import Workload
from mixtconv.video.reader import iterate_frames
from mixtconv.video.segment import Segment, Span
from mixtconv.video.segment_frames import Recording, read_video


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_video(tmp_path_factory.mktemp("sample") / "sample.mp4", num_frames=24)


def test_a_video_is_repeated_frame_by_frame(sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    assert repeat_video(sample, path, seconds=3) == pytest.approx(3.2)
    frames = list(iterate_frames(sample))
    recording = Recording(path)
    assert recording.num_frames == 4 * len(frames)
    assert [recording.times[n] for n in (0, 1, 95)] == [n * Fraction(1, 30) for n in (0, 1, 95)]
    clip = read_video(Segment(path, Span(Fraction("0.8"), Fraction(2))), lambda number: [0, 24])
    np.testing.assert_array_equal(clip.frames, np.stack([frames[0], frames[0]]))


def test_every_candidate_reads_all_segments(sample: Path, monkeypatch) -> None:
    monkeypatch.setattr(segments, "NUM_SEGMENTS", 4)
    monkeypatch.setattr(segments, "SEGMENT_SECONDS", (0.3, 0.6))
    monkeypatch.setattr(segments, "default_workers", lambda: 1)
    monkeypatch.setattr(segments, "SETTLED_SECONDS", 0)
    monkeypatch.setattr(segments, "peak_bytes", lambda read, device: read()())
    workload = Workload(
        num_frames=2, image_size=32, batch_size=2, video=str(sample), minutes=0.05, rounds=1
    )
    measured = bench_segments(workload)
    for comparison in measured.times:
        assert comparison.baseline.startswith(CUT) and len(comparison.timings) == 3
    assert measured.memory[0].peaks == {SEGMENTS: 4, PREPARED: 4, CUT: 4}
    assert "96 frames of 340x256, h264" in measured.times[0].notes[0]
    with pytest.raises(ValueError, match="--minutes is 0; give more than 0"):
        Workload(minutes=0)
