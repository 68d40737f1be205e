"""Background: time without a label, away from borders, the same whenever it is drawn."""

import csv
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from mixtconv.data.background import BACKGROUND, BORDER_SECONDS, is_background
from mixtconv.data.datasets.catalog import load_catalog, load_labelled_videos
from mixtconv.data.datasets.scanning import list_videos
from mixtconv.data.listing import DataSource
from mixtconv.evaluation.metrics import background_score

BORDERS = [(2.0, 3.5), (3.0, 4.5), (8.0, 9.0)]
NUM_RECORDINGS = 4


@pytest.fixture(scope="module")
def listed(media: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of segments of four recordings of 12 seconds."""
    folder = tmp_path_factory.mktemp("recordings")
    rows = []
    for number in range(NUM_RECORDINGS):
        frames = media.moving_frames(300, height=16, width=16, seed=number)
        media.encode(folder / f"{number}.mp4", frames)
        rows += [(f"{number}.mp4", f"class {n % 2}", *span) for n, span in enumerate(BORDERS)]
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("video", "label", "start", "end"), *rows])
    return folder / "list.csv"


def test_it_is_drawn_from_time_without_a_label(listed: Path) -> None:
    listing = list_videos(DataSource(str(listed), background=1))
    drawn = [video for video in listing.videos if is_background(video)]
    assert len(drawn) == NUM_RECORDINGS * len(BORDERS)
    assert {video.class_name for video in drawn} == {BACKGROUND}
    taken = {float(end) - float(start) for start, end in BORDERS}
    for video in drawn:
        assert video.span is not None and 0 <= video.span.start < video.span.end <= 12
        for start, end in BORDERS:
            before, after = Fraction(start) - BORDER_SECONDS, Fraction(end) + BORDER_SECONDS
            assert video.span.end <= before or video.span.start >= after
        others = [o.span for o in drawn if o.path == video.path and o is not video and o.span]
        assert all(o.end <= video.span.start or o.start >= video.span.end for o in others)
        assert float(video.span.end - video.span.start) <= max(taken)
    assert len({video.span for video in drawn}) > len(BORDERS), "recordings have draws of their own"


def test_the_draw_depends_on_a_recording_alone(listed: Path) -> None:
    """So scoring, preparing and another order of the list find the same segments."""

    def spans(path: Path, rate: float) -> set[str]:
        videos = list_videos(DataSource(str(path), background=rate)).videos
        return {video.video.name for video in videos if is_background(video)}

    lines = listed.read_text().splitlines()
    other = listed.with_name("other.csv")
    other.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert spans(other, 1) == spans(listed, 1)
    assert not spans(listed, 0)
    notes = list_videos(DataSource(str(listed), background=50)).notes
    assert "as the recordings have no more time without a label" in notes[-1]


@pytest.mark.parametrize("rate", [0.1, 0.34, 0.5, 0.9, 1.3])
def test_the_rate_is_that_of_all_recordings(listed: Path, rate: float) -> None:
    """Shares of a recording are no whole numbers: each is rounded, their sum as well."""
    listing = list_videos(DataSource(str(listed), background=rate))
    drawn = Counter(video.path for video in listing.videos if is_background(video))
    assert drawn.total() == round(rate * NUM_RECORDINGS * len(BORDERS))
    assert all(abs(drawn[path] - rate * len(BORDERS)) < 1
               for path in {video.path for video in listing.videos})  # fmt: skip


def test_a_rate_that_gives_none_is_said(listed: Path) -> None:
    notes = list_videos(DataSource(str(listed), background=0.01)).notes
    assert notes[-1].startswith("--background 0.01 of 12 labelled segments gives no segment")


def test_what_a_line_labels_in_other_words_is_no_background(listed: Path) -> None:
    """All of a recording, and stretches in frames beside those in seconds."""
    path = listed.with_name("mixed.csv")
    lines = ["video,label,start,end,start_frame,end_frame", "0.mp4,a,2,4,,", "0.mp4,b,,,,"]
    lines += ["1.mp4,a,1,2,,", "1.mp4,b,,,75,150", "1.mp4,b,,,200,290", "2.mp4,a,9,99,,"]
    path.write_text("\n".join(lines))
    listing = list_videos(DataSource(str(path), background=30))
    drawn = [(v.path.name, v.span) for v in listing.videos if is_background(v) and v.span]
    assert {name for name, _ in drawn} == {"1.mp4", "2.mp4"}
    taken = {"1.mp4": [(0.5, 2.5), (2.5, 6.5), (7.5, 12)], "2.mp4": [(8.5, 12)]}  # with borders
    for name, span in drawn:
        assert not span.in_frames and span.end <= 12
        assert all(span.end <= start or span.start >= end for start, end in taken[name])


def test_many_segments_are_drawn_at_once(media: ModuleType, tmp_path: Path) -> None:
    """They fill the gaps of a recording, none twice and none beside a label."""
    folder = tmp_path / "v"
    folder.mkdir()
    for number in range(1_500):
        (folder / f"{number:05d}.jpg").touch()
    labelled = [(n, n + 5) for n in range(0, 1_500, 45)]
    rows = [f"v,a,{start},{end}" for start, end in labelled]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["path,label,start_frame,end_frame", *rows]))
    listing = list_videos(DataSource(str(path), background=1))
    drawn = sorted((v.span.start, v.span.end) for v in listing.videos
                   if is_background(v) and v.span)  # fmt: skip
    assert len(drawn) > 0.6 * len(labelled)
    is_free = np.ones(1_500, dtype=bool)
    for start, end in labelled:
        is_free[max(0, start - 12) : end + 12] = False
    for start, end in drawn:
        assert is_free[int(start) : int(end)].all()
        is_free[int(start) : int(end)] = False


def test_scoring_draws_what_training_drew(listed: Path) -> None:
    catalog = load_catalog(DataSource(str(listed), background=1))
    assert catalog.classes == (BACKGROUND, "class 0", "class 1")
    scored = load_labelled_videos(listed, classes=catalog.classes, split="val", background=1)
    assert scored == catalog.val and any(sample.label == 0 for sample in scored)
    plain = load_labelled_videos(
        DataSource(str(listed), background=0), classes=catalog.classes, split="val", background=1
    )
    assert plain == tuple(sample for sample in catalog.val if sample.label)


def test_it_is_of_segments_alone(listed: Path, sources: ModuleType, tmp_path: Path) -> None:
    sources.touch(tmp_path, "a/1.mp4", "b/2.mp4")
    with pytest.raises(ValueError, match="names whole videos: give a list with starts and ends"):
        load_catalog(DataSource(str(tmp_path), background=1))
    with pytest.raises(ValueError, match=r"--background is -1; give 0 or more"):
        load_catalog(DataSource(str(listed), background=-1))


def test_frames_of_folders(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number:05d}.jpg").touch()
    (tmp_path / "list.csv").write_text("path,label,start_frame,end_frame\nv,a,50,80\nv,b,90,110\n")
    listing = list_videos(DataSource(str(tmp_path / "list.csv"), background=1))
    drawn = [video.span for video in listing.videos if is_background(video) and video.span]
    assert len(drawn) == 2
    assert all(span.in_frames and (span.end <= 38 or span.start >= 122) for span in drawn)


def test_background_is_scored_apart() -> None:
    """Against counts by hand: of 5 of background 3 found, of 4 others 1 missed and 2 right."""
    best = [0, 0, 0, 1, 2, 0, 1, 2, 1]
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 2])
    logits = torch.eye(3)[best]
    logits[5] = torch.tensor([3.0, 1.0, 2.0])  # taken for background, else for class 2
    score = background_score(logits, labels, torch.ones(9, dtype=torch.bool), background=0)
    assert (score.recall, score.missed, score.top1_without) == (60.0, 25.0, 50.0)
    readable = torch.ones(9, dtype=torch.bool)
    readable[[0, 6]] = False
    score = background_score(logits, labels, readable, background=0)
    assert replace(score, recall=40.0) == score and (score.missed, score.top1_without) == (50, 25)
