"""Recordings with all that is annotated in them, and the labels of frames."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from mixtconv.data.dataset import ScoringViews
from mixtconv.data.datasets.catalog import load_labelled_videos
from mixtconv.data.epoch_sampler import SampleKey
from mixtconv.data.labels import mirror_labels
from mixtconv.data.protocol import Protocol
from mixtconv.data.recordings import Stretch, annotated_recordings, frame_targets, parts_of
from mixtconv.data.training_clips import TrainingClips
from mixtconv.models.spec import ModelSpec

CLASSES = ("jump", "run", "background")
ROWS = """video,label,start,end
day.mp4,jump,0.4,1.2
day.mp4,run,1,2
day.mp4,jump,3,3.04
"""
RATE = 25


def _shades(number: int) -> np.ndarray:
    """Frames whose brightness says their number, which codecs keep to a few steps."""
    return np.stack([np.full((32, 48, 3), 2 * n, np.uint8) for n in range(number)])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, media) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    media.encode(folder / "day.mp4", _shades(100), options={"crf": "0"})
    (folder / "list.csv").write_text(ROWS)
    return folder / "list.csv"


def _expected(number: int) -> set[str]:
    """The labels of a frame as the list has them."""
    held = set()
    for line in ROWS.splitlines()[1:]:
        _, label, start, end = line.split(",")
        if float(start) <= number / RATE < float(end):
            held.add(label)
    return held or {"background"}


def test_a_recording_has_all_its_segments_in_seconds(data: Path, tmp_path: Path) -> None:
    in_frames = data.with_name("frames.csv")
    in_frames.write_text(
        "video,label,start_frame,end_frame\nday.mp4,jump,10,30\nday.mp4,run,25,50\n"
        "day.mp4,jump,75,76\n"
    )
    for path in (data, in_frames):
        [recording] = annotated_recordings(load_labelled_videos(path, classes=CLASSES, split="all"))
        assert (recording.key, recording.seconds) == ("day.mp4", 4)
        assert recording.stretches == (
            Stretch(0, Fraction(2, 5), Fraction(6, 5)),
            Stretch(1, Fraction(1), Fraction(2)),
            Stretch(0, Fraction(3), Fraction(76, 25)),
        )


def test_a_recording_that_cannot_be_read_keeps_what_is_annotated(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "list.csv").write_text("video,label,start,end\nbad.mp4,jump,1,2\nbad.mp4,run,3,5\n")
    samples = load_labelled_videos(tmp_path / "list.csv", classes=CLASSES, split="all")
    [recording] = annotated_recordings(samples)
    assert recording.error is not None and "bad.mp4" in recording.error
    assert (recording.seconds, len(recording.stretches)) == (5, 2)


@pytest.mark.parametrize("overlap", [False, True])
def test_parts_cover_a_recording_and_random_clips_reach_all_of_it(data: Path, overlap) -> None:
    samples = load_labelled_videos(data, classes=CLASSES, split="all")
    [recording] = annotated_recordings(samples)
    length = Fraction(4, 5)
    parts = parts_of(recording, length, num_classes=3, nothing=2, overlap=overlap)
    starts = [part.span.start for part in parts]
    assert starts == [n * length for n in range(len(parts))]
    assert parts[-1].span.end == 4
    assert all(part.span.end - part.span.start == (1 + overlap) * length for part in parts)
    assert [part.label for part in parts] == ([0, 1, 1, 0] if overlap else [0, 1, 1, 0, 2])


@pytest.mark.parametrize("kind", ["training", "scoring"])
def test_each_frame_of_a_clip_has_the_label_of_its_moment(data: Path, kind: str) -> None:
    """The number of a frame is read off its brightness."""
    [recording] = annotated_recordings(load_labelled_videos(data, classes=CLASSES, split="all"))
    spec = ModelSpec(
        "tsn_resnet18", CLASSES, num_frames=5, image_size=32, sampling="dense", frame_stride=4
    )
    parts = parts_of(
        recording, Fraction(4, 5), num_classes=3, nothing=2, overlap=kind == "training"
    )
    seen = set()
    for epoch in range(3):
        for place in range(len(parts)):
            if kind == "training":
                item = TrainingClips(parts, spec, seed=3)[SampleKey(epoch, place)]
                frames = item.frames
            else:
                item = ScoringViews(parts, spec, Protocol(1, 1))[place]
                frames = item.frames[0]
            numbers = (frames.float().mean(dim=(1, 2, 3)) / 2).round().int().tolist()
            for number, row in zip(numbers, item.label, strict=True):
                held = {CLASSES[k] for k in row.nonzero()[:, 0].tolist()}
                near = [_expected(n) for n in (number - 1, number, number + 1)]
                assert held in near  # lossy colours may be a step off
                assert float(row.sum()) == pytest.approx(1)
                seen |= {frozenset(held)}
    assert {frozenset({"jump"}), frozenset({"run"}), frozenset({"background"})} <= seen
    assert frozenset({"jump", "run"}) in seen


def test_a_mirrored_clip_has_mirrored_labels_in_each_frame(data: Path) -> None:
    classes = ("move left", "move right", "background")
    [recording] = annotated_recordings(load_labelled_videos(data, classes=CLASSES, split="all"))
    spec = ModelSpec(
        "tsn_resnet18", classes, num_frames=5, image_size=32, sampling="dense", frame_stride=4
    )
    parts = parts_of(recording, Fraction(4, 5), num_classes=3, nothing=2, overlap=True)
    plain = TrainingClips(parts, spec, seed=1)
    mirrored = TrainingClips(parts, spec, seed=1, mirroring=mirror_labels(classes))
    items = [(plain[SampleKey(epoch, 0)], mirrored[SampleKey(epoch, 0)]) for epoch in range(8)]
    assert {other.mirrored for _, other in items} == {True, False}
    for one, other in items:
        expected = one.label[:, [1, 0, 2]] if other.mirrored else one.label
        assert torch.equal(other.label, expected)


def test_of_several_labels_a_stretch_has_those_of_its_line_and_a_frame_all_that_hold(
    data: Path,
) -> None:
    """As a clip the first line has the label of the second, too, which covers half of it."""
    path = data.with_name("several.csv")
    path.write_text("video,labels,start,end\nday.mp4,jump,0.4,1.2\nday.mp4,run|wave,0.8,2\n")
    classes = ("jump", "run", "wave")
    samples = load_labelled_videos(path, classes=classes, split="all", several=True)
    assert samples[0].label == (1, 1, 1)
    [recording] = annotated_recordings(samples)
    spans = [(each.label, float(each.start), float(each.end)) for each in recording.stretches]
    assert spans == [(0, 0.4, 1.2), (1, 0.8, 2), (2, 0.8, 2)]
    times = [Fraction(0), Fraction(1, 2), Fraction(1), Fraction(3, 2)]
    targets = frame_targets(recording, times, num_classes=3, nothing=None)
    assert targets.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 1], [0, 1, 1]]
    parts = parts_of(recording, Fraction(1), num_classes=3, nothing=None, overlap=False)
    assert [part.label for part in parts] == [(1, 1, 1), (1, 1, 1), (0, 0, 0), (0, 0, 0)]
