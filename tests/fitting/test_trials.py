"""Lists of trainings: what is trained on and what is held out."""

import csv
from fractions import Fraction
from pathlib import Path

import pytest

from mixtconv.data.datasets.catalog import VideoCatalog, load_catalog
from mixtconv.data.listing import VideoSample
from mixtconv.fitting.trials import ClipList, TrainingLists
from mixtconv.video.segment import Span, as_listed


@pytest.fixture
def lists(tmp_path: Path) -> TrainingLists:
    """Lists of ten clips of two classes, in folds 0, 1, 0, 1, ..., the last one never held out."""
    samples = tuple(VideoSample(tmp_path / f"{i}.mp4", i % 2, str(i)) for i in range(10))
    catalog = VideoCatalog(("no, never", "yes"), samples, (), "", tmp_path)
    return TrainingLists(catalog, [i // 2 % 2 for i in range(9)] + [-1], tmp_path / "lists")


def rows(clips: ClipList) -> list[tuple[int, str, str]]:
    with clips.path.open(newline="") as file:
        return [(int(Path(row["path"]).stem), row["label"], row["split"])
                for row in csv.DictReader(file)]  # fmt: skip


def test_all_clips_are_trained_on_without_a_fold_to_hold_out(lists: TrainingLists) -> None:
    found = rows(lists.write("all"))
    assert found == [(i, ("no, never", "yes")[i % 2], "train") for i in range(10)]


@pytest.mark.parametrize("fold", [0, 1])
def test_a_fold_is_held_out_and_nothing_else(lists: TrainingLists, fold: int) -> None:
    split = {number: split for number, _, split in rows(lists.write("fold", held_out=fold))}
    assert split == {i: "val" if lists.folds[i] == fold else "train" for i in range(10)}
    assert lists.num_train(held_out=fold) == list(split.values()).count("train")
    assert lists.num_folds == 2


@pytest.mark.parametrize(("part", "number"), [(1.0, 10), (0.5, 6), (0.2, 2), (0.01, 2)])
def test_a_part_takes_every_class_evenly_and_at_least_once(
    lists: TrainingLists, part: float, number: int
) -> None:
    lists.folds = (-1,) * 10
    labels = [label for _, label, _ in rows(lists.write("part", held_out=0, part=part))]
    assert set(labels) == {"no, never", "yes"}
    assert len(labels) == number


def test_groups_go_into_the_lists(tmp_path: Path) -> None:
    names = [f"{label}{number}.mp4" for label in "ab" for number in range(4)]
    for name in names:
        (tmp_path / name).touch()
    samples = tuple(
        VideoSample(tmp_path / name, "ab".index(name[0]), name, "" if name == "a0.mp4" else name[1])
        for name in names
    )
    catalog = VideoCatalog(("a", "b"), samples, (), "", tmp_path)
    lists = TrainingLists(catalog, [int(name[1]) % 2 for name in names], tmp_path / "lists")
    read = load_catalog(lists.write("fold", held_out=1).path)
    by_path = {sample.path: sample.group for sample in (*read.train, *read.val)}
    assert by_path == {sample.path: sample.group for sample in samples}


def test_segments_go_into_the_lists_as_they_are(tmp_path: Path) -> None:
    """In seconds and in frames, beside a whole video, with times that have no end of digits."""
    spans = [Span(Fraction(1, 3), Fraction(5, 2)), Span(Fraction(5), Fraction(9), True), None]
    spans.append(Span(Fraction("1234.0625"), Fraction(20000, 7)))
    samples = []
    for number, span in enumerate(spans):
        path = tmp_path / f"{number}.mp4"
        path.touch()
        own = None if span is None else as_listed(span)
        samples.append(VideoSample(path, number % 2, str(number), span=own))
    catalog = VideoCatalog(("a", "b"), tuple(samples), (), "", tmp_path)
    path = TrainingLists(catalog, [-1] * 4, tmp_path / "lists").write("all").path
    assert [sample.video for sample in load_catalog(path, val_fraction=0).train] == [
        sample.video for sample in samples
    ]
    times = [time for span in spans if span for time in (span.start, span.end)]
    kept = [time for sample in samples if sample.span
            for time in (sample.span.start, sample.span.end)]  # fmt: skip
    assert all(0 <= time - own < Fraction(1, 10**12) for time, own in zip(times, kept, strict=True))
