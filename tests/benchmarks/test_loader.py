"""The benchmark of the loader: all candidates read the same clips, and all are reported."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from mixtconv.benchmarks import loader
from mixtconv.benchmarks import loader as sample_video
from mixtconv.benchmarks.loader import (
    bench_loader,
    decode_in_order,
    loaders,
    readers,
    write_sample_video,
)
from mixtconv.benchmarks.settings import Workload
from mixtconv.data.preparation.encoding import encode_video
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.video.reader import probe_video

WORKLOAD = Workload(num_frames=4, image_size=32, batch_size=3)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    raw = write_sample_video(tmp_path_factory.mktemp("videos") / "raw.mp4", num_frames=40)
    prepared = raw.with_name("prepared.mp4")
    encode_video(raw, prepared, PreparedForm(crf=1))
    return raw, prepared


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "CLIPS_LOADED", 5)
    monkeypatch.setattr(loader, "default_workers", lambda: 1)
    monkeypatch.setattr(loader, "SETTLED_SECONDS", 0)


def test_the_sample_is_what_it_says_and_moves(
    videos: tuple[Path, Path],
) -> None:
    info = probe_video(videos[0])
    assert (info.width, info.height, info.frames_per_second) == (340, 256, 30)
    assert (info.codec, info.num_frames) == ("h264", 40)
    frames = list(sample_video._frames(3))
    assert all((a != b).mean() > 0.5 for a, b in pairwise(frames))


def test_all_candidates_read_the_same_clips(videos: tuple[Path, Path]) -> None:
    candidates = readers(*videos, WORKLOAD)
    assert next(iter(candidates)) == loader.IN_ORDER
    for _ in range(2):  # each goes on to other clips
        clips = {name: read() for name, read in candidates.items()}
        expected = clips[loader.IN_ORDER]
        assert expected.shape == (loader.CLIPS_READ, 4, 3, 256, 340)
        for name, got in clips.items():
            if "prepared" in name or "torchcodec" in name:  # which rounds colours differently
                assert (got.float() - expected.float()).abs().mean() < 4
            elif name == loader.HDR:  # the same pictures in other tones: brighter ones stay so
                pair = torch.stack([got.float().flatten(), expected.float().flatten()])
                assert torch.corrcoef(pair)[0, 1] > 0.9 and not torch.equal(got, expected)
            else:
                assert torch.equal(got, expected)
    assert not torch.equal(expected[0], expected[1])


def test_decoding_in_order_ends_with_the_last_frame_of_the_clip(
    videos: tuple[Path, Path],
) -> None:
    whole = decode_in_order(videos[0], range, num_threads=1)
    clip = decode_in_order(videos[0], lambda num_frames: [0, num_frames // 2], num_threads=0)
    assert len(whole) == 40
    assert torch.equal(clip, whole[[0, 20]])


@pytest.mark.usefixtures("small")
def test_an_epoch_has_all_clips(videos: tuple[Path, Path]) -> None:
    for epoch in loaders(*videos, WORKLOAD).values():
        assert [epoch(), epoch()] == [5, 5]


@pytest.mark.usefixtures("small")
def test_the_report_has_every_candidate(videos: tuple[Path, Path]) -> None:
    steps = []
    workload = replace(WORKLOAD, video=str(videos[0]), rounds=1)
    reading, loading = bench_loader(workload, lambda done, total: steps.append(done)).times
    assert reading.baseline == loader.IN_ORDER and loader.RAW in reading.references
    assert len(reading.timings) == (9 if loader.has_torchcodec() else 7) and [
        timing.name for timing in loading.timings
    ] == [
        loader.LOADED_RAW,
        loader.LOADED_PREPARED,
        loader.LOADED_CACHED,
    ]
    assert all(timing.median_seconds > 0 for timing in (*reading.timings, *loading.timings))
    assert "40 frames of 340x256, h264" in reading.notes[0]
    assert "clips a second" in loading.notes[-1]
    assert len(steps) == 2  # one round to warm up
