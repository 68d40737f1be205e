"""Folder and CSV layouts, the split rule, and what is said of data that cannot be used."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixtconv.data.checking.preflight import ClassCount, check_catalog
from mixtconv.data.datasets.catalog import VideoCatalog, load_catalog, load_labelled_videos
from mixtconv.data.listing import VideoSample, hold_out
from mixtconv.video.find import find_videos
from mixtconv.video.writer import write_video


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(samples: Iterable[VideoSample], root: Path) -> list[str]:
    return [sample.path.relative_to(root).as_posix() for sample in samples]


def write_csv(root: Path, *lines: str, end: str = "\n") -> Path:
    path = root / "list.csv"
    path.write_text(end.join(lines) + end, encoding="utf-8", newline="")
    return path


def refusal(data: Path, **options: object) -> str:
    """The message with which data are refused, which must be one line."""
    with pytest.raises(ValueError) as caught:
        load_catalog(data, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Folders


def test_train_and_val_folders(tmp_path: Path) -> None:
    touch(tmp_path, "train/walk/10.mp4", "train/walk/9.mp4", "train/Jump/a.avi")
    touch(tmp_path, "val/Jump/b.webm", "val/walk/c.MP4")
    catalog = load_catalog(tmp_path)
    assert catalog.classes == ("Jump", "walk")
    assert names(catalog.train, tmp_path) == [
        "train/Jump/a.avi",
        "train/walk/9.mp4",
        "train/walk/10.mp4",
    ]
    assert [sample.label for sample in catalog.train] == [0, 1, 1]
    assert names(catalog.val, tmp_path) == ["val/Jump/b.webm", "val/walk/c.MP4"]
    assert "'val' for validation" in catalog.split_rule
    assert catalog.ignored == () and catalog.notes == () and catalog.source == tmp_path


@pytest.mark.parametrize("name", ["valid", "validation", "Validation", "test"])
def test_other_names_of_the_validation_folder(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "train/a/1.mp4", "train/b/2.mp4", f"{name}/a/3.mp4")
    assert names(load_catalog(tmp_path).val, tmp_path) == [f"{name}/a/3.mp4"]


def test_val_comes_before_test(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "val/a/3.mp4", "test/b/4.mp4")
    catalog = load_catalog(tmp_path)
    assert names(catalog.val, tmp_path) == ["val/a/3.mp4"]
    assert catalog.notes == ("1 video of 'test' used neither for training nor for validation",)


def test_train_alone_is_split_by_the_rule(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/{name}/{i}.mp4" for name in "ab" for i in range(20)))
    catalog = load_catalog(tmp_path)
    assert len(catalog.train) + len(catalog.val) == 40
    assert {sample.label for sample in catalog.val} == {0, 1}
    assert "hash" in catalog.split_rule and "20 %" in catalog.split_rule


def test_classes_named_like_splits(tmp_path: Path) -> None:
    """Without a `train` folder of class folders, `test` is a class like any other."""
    touch(tmp_path, "test/1.mp4", "test/2.mp4", "train/3.mp4", "train/4.mp4")
    touch(tmp_path, "jump/5.mp4", "jump/6.mp4")
    assert load_catalog(tmp_path).classes == ("jump", "test", "train")


def test_what_is_not_taken_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "a/notes.txt", "a/deeper/3.mp4", "a/.hidden.mp4")
    touch(tmp_path, "b/1.mp4", "b/2.mp4", "loose.mp4", "empty/readme.md", ".git/x/1.mp4")
    catalog = load_catalog(tmp_path)
    assert catalog.classes == ("a", "b")
    assert [path.relative_to(tmp_path).as_posix() for path in catalog.ignored] == [
        "a/deeper",
        "a/notes.txt",
        "empty",
        "loose.mp4",
    ]


def test_folders_beside_train_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.mp4", "train/b/1.mp4", "val/a/2.mp4", "validation/a/3.mp4")
    touch(tmp_path, "annotations/x.json")
    ignored = load_catalog(tmp_path).ignored
    assert [path.name for path in ignored] == ["annotations", "validation"]


def test_folders_of_pictures_are_videos(tmp_path: Path) -> None:
    for video in ("a/v1", "a/v2", "b/v3", "b/v4"):
        touch(tmp_path, f"{video}/00001.jpg", f"{video}/00002.jpg")
    touch(tmp_path, "b/v5.mp4", "b/cover.jpg")
    catalog = load_catalog(tmp_path)
    assert sorted(names(catalog.train + catalog.val, tmp_path)) == [
        "a/v1",
        "a/v2",
        "b/v3",
        "b/v4",
        "b/v5.mp4",
    ]
    assert catalog.ignored == (tmp_path / "b/cover.jpg",)


def test_numbers_as_class_names_are_in_order_of_value(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{i}.mp4" for name in (10, 9, 100) for i in range(3)))
    assert load_catalog(tmp_path).classes == ("9", "10", "100")


def test_classes_given_fix_the_labels(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")
    catalog = load_catalog(tmp_path, classes=["c", "b", "a"])
    assert catalog.classes == ("c", "b", "a")
    assert {(sample.path.parent.name, sample.label) for sample in catalog.train} == {
        ("a", 2),
        ("b", 1),
    }


# The split rule


def test_the_split_is_the_same_everywhere() -> None:
    """The hash is part of the interface: a change of it would move videos between the splits."""
    held_out = hold_out([f"jump/{i}.mp4" for i in range(20)], 0.2)
    assert sorted(held_out) == [
        "jump/1.mp4",
        "jump/14.mp4",
        "jump/4.mp4",
        "jump/6.mp4",
        "jump/8.mp4",
    ]


def test_about_the_share_asked_for_is_held_out() -> None:
    assert 1900 < len(hold_out([f"{i}.mp4" for i in range(10_000)], 0.2)) < 2100


def test_the_share_is_that_of_the_user(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{i}.mp4" for name in "ab" for i in range(100)))
    catalog = load_catalog(tmp_path, val_fraction=0.5)
    assert 80 < len(catalog.val) < 120
    assert "50 %" in catalog.split_rule


def test_adding_videos_moves_none(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{i}.mp4" for name in "ab" for i in range(30)))
    before = load_catalog(tmp_path)
    touch(tmp_path, *(f"{name}/new{i}.mp4" for name in "ab" for i in range(30)))
    after = load_catalog(tmp_path)
    assert set(before.train) < set(after.train)
    assert set(before.val) < set(after.val)


def test_the_order_of_listing_does_not_matter() -> None:
    keys = [f"{i}.mp4" for i in range(50)]
    assert hold_out(keys, 0.2) == hold_out(keys[::-1], 0.2)


def test_accents_composed_or_not_split_alike() -> None:
    composed = [f"caf\u00e9{i}.mp4" for i in range(50)]
    apart = [name.replace("\u00e9", "e\u0301") for name in composed]
    places = [composed.index(name) for name in hold_out(composed, 0.3)]
    assert sorted(places) == sorted(apart.index(name) for name in hold_out(apart, 0.3))


@pytest.mark.parametrize("fraction", [0.001, 0.2, 0.999])
@pytest.mark.parametrize("count", range(2, 7))
def test_every_class_has_both_parts(count: int, fraction: float) -> None:
    held_out = hold_out([f"{i}.mp4" for i in range(count)], fraction)
    assert 1 <= len(held_out) < count


def test_a_single_video_is_for_training(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "b/1.mp4", "b/2.mp4")
    catalog = load_catalog(tmp_path)
    assert tmp_path / "a/1.mp4" in [sample.path for sample in catalog.train]
    assert catalog.notes == ("classes with one video, used for training: a",)


# Folders that cannot be used


def test_missing_path(tmp_path: Path) -> None:
    message = refusal(tmp_path / "clps")
    assert "neither a folder nor a file" in message and str(tmp_path / "clps") in message


def test_empty_folder(tmp_path: Path) -> None:
    assert "no videos in it; expected" in refusal(tmp_path)


def test_folder_of_one_class(tmp_path: Path) -> None:
    touch(tmp_path, "jump/1.mp4", "jump/2.mp4")
    assert "one class only, 'jump'" in refusal(tmp_path)


@pytest.mark.parametrize("video", ["1.mp4", "v1/00001.jpg", "train/1.mp4", "v1/flow_x/1.jpg"])
def test_videos_without_class_folders(tmp_path: Path, video: str) -> None:
    touch(tmp_path, video)
    if video.startswith("v1"):
        touch(tmp_path, "v1/00002.jpg")
    assert "are not in class folders" in refusal(tmp_path)


def test_folder_too_high(tmp_path: Path) -> None:
    touch(tmp_path, "dataset/rgb/jump/1.mp4")
    assert "there is dataset/rgb/jump/1.mp4 deeper" in refusal(tmp_path)


def test_validation_class_that_training_lacks(tmp_path: Path) -> None:
    touch(tmp_path, "train/jump/1.mp4", "train/run/1.mp4", "val/jmup/2.mp4")
    message = refusal(tmp_path)
    assert "1 class that training lacks" in message and "did you mean 'jump'" in message


def test_no_training_videos(tmp_path: Path) -> None:
    touch(tmp_path, "val/a/1.mp4", "val/b/1.mp4")
    assert "no training videos" in refusal(tmp_path)


def test_one_video_a_class(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "b/1.mp4")
    assert "none for validation" in refusal(tmp_path)


def test_class_folder_that_is_not_among_the_classes(tmp_path: Path) -> None:
    touch(tmp_path, "jmup/1.mp4", "run/1.mp4")
    message = refusal(tmp_path, classes=["jump", "run"])
    assert str(tmp_path / "jmup") in message and "did you mean 'jump'" in message


def test_options_out_of_range(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "b/1.mp4")
    assert "val_fraction is 1.0" in refusal(tmp_path, val_fraction=1.0)
    assert "a more than once" in refusal(tmp_path, classes=["a", "b", "a"])


# CSV

VIDEOS = ("clips/1.mp4", "clips/2.mp4", "clips/my 3.mp4", "clips/4.mp4")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", " ", ", "])
@pytest.mark.parametrize("header", [True, False])
def test_spellings_of_one_csv(
    tmp_path: Path, header: bool, delimiter: str, mark: str, end: str
) -> None:
    touch(tmp_path, *VIDEOS)
    lines = [delimiter.join(row) for row in zip(VIDEOS, "abab", strict=True)]
    lines = [delimiter.join(("path", "label")), *lines] if header else lines
    path = write_csv(tmp_path, mark + lines[0], *lines[1:], "", end=end)
    catalog = load_catalog(path)
    assert catalog.classes == ("a", "b")
    assert sorted(names(catalog.train + catalog.val, tmp_path)) == sorted(VIDEOS)
    assert catalog.notes == ()


@pytest.mark.parametrize("header", [["path,label,split"], []])
def test_csv_with_splits(tmp_path: Path, header: list[str]) -> None:
    touch(tmp_path, *VIDEOS)
    rows = zip(VIDEOS, "abab", ["train", "Train", "validation", "test"], strict=True)
    catalog = load_catalog(write_csv(tmp_path, *header, *(",".join(row) for row in rows)))
    assert names(catalog.train, tmp_path) == ["clips/1.mp4", "clips/2.mp4"]
    assert names(catalog.val, tmp_path) == ["clips/my 3.mp4"]


def test_spaces_with_a_header_of_three(tmp_path: Path) -> None:
    touch(tmp_path, *VIDEOS)
    rows = zip(VIDEOS, "abab", ["train", "train", "val", "val"], strict=True)
    catalog = load_catalog(write_csv(tmp_path, "path label split", *map(" ".join, rows)))
    assert names(catalog.val, tmp_path) == ["clips/my 3.mp4", "clips/4.mp4"]


def test_columns_by_name_and_quotes(tmp_path: Path) -> None:
    """Columns may stand in any order beside others; a quoted name may hold the delimiter."""
    touch(tmp_path, *VIDEOS, "clips/5,6.mp4")
    path = write_csv(
        tmp_path,
        "id,Label,file,width",
        '1,"Laying it down, not upright",clips/1.mp4,320',
        '2,"Laying it down, not upright",clips/2.mp4,320',
        '3,"say ""hi""","clips/5,6.mp4",320',
        '4,"say ""hi""",clips/4.mp4,,,',
    )
    catalog = load_catalog(path)
    assert catalog.classes == ("Laying it down, not upright", 'say "hi"')
    assert "clips/5,6.mp4" in names(catalog.train + catalog.val, tmp_path)


def test_spaces_around_cells(tmp_path: Path) -> None:
    touch(tmp_path, *VIDEOS)
    path = write_csv(tmp_path, 'clips/1.mp4 , "a, b"', "clips/2.mp4,c ", "clips/4.mp4,  c")
    assert load_catalog(path).classes == ("a, b", "c")


def test_utf16_absolute_and_windows_paths(tmp_path: Path) -> None:
    touch(tmp_path, *VIDEOS)
    lines = ["path\tlabel", f"{tmp_path}/clips/1.mp4\té", "clips\\2.mp4\té", "clips/4.mp4\tb"]
    path = tmp_path / "list.txt"
    path.write_text("\n".join(lines), encoding="utf-16")
    catalog = load_catalog(path)
    assert catalog.classes == ("b", "é")
    assert len(catalog.train + catalog.val) == 3


def test_picture_folders_in_a_csv(tmp_path: Path) -> None:
    touch(tmp_path, "v1/1.jpg", "v2/1.jpg", "v3/1.jpg")
    catalog = load_catalog(write_csv(tmp_path, "v1,a", "v2,a", "v3,b"))
    assert sorted(names(catalog.train + catalog.val, tmp_path)) == ["v1", "v2", "v3"]


def test_numbers_are_labels_of_given_classes(tmp_path: Path) -> None:
    touch(tmp_path, *VIDEOS)
    path = write_csv(tmp_path, *(f"{video},{i // 2}" for i, video in enumerate(VIDEOS)))
    given = load_catalog(path, classes=["jump", "run", "walk"])
    assert {(s.path.name, s.label) for s in given.train + given.val} == {
        ("1.mp4", 0),
        ("2.mp4", 0),
        ("my 3.mp4", 1),
        ("4.mp4", 1),
    }
    assert load_catalog(path).classes == ("0", "1")
    assert load_catalog(path, classes=["1", "0"]).classes == ("1", "0")  # names come first


def test_labels_counted_from_one(tmp_path: Path) -> None:
    touch(tmp_path, *VIDEOS)
    path = write_csv(tmp_path, *(f"{video},{i + 1}" for i, video in enumerate(VIDEOS)))
    message = refusal(path, classes=["a", "b", "c", "d"])
    assert "run from 1 to 4 for 4 classes" in message and "subtract 1" in message


def test_every_bad_line_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, *VIDEOS, "notes.txt", "folder/x.txt")
    path = write_csv(
        tmp_path,
        "path,label",
        "clips/1.mp4,jump",
        "clips/gone.mp4,jump",
        "clips/2.mp4,jmup",
        "notes.txt,jump",
        "folder,jump",
        "clips/4.mp4",
        "clips/4.mp4,jump,high",
        "clips/4.mp4,",
        "clips/4.mp4,7",
    )
    message = refusal(path, classes=["jump", "run"])
    assert f"{path}: 8 bad lines: line 3: no file '{tmp_path / 'clips/gone.mp4'}'; " in message
    assert "line 4: unknown class 'jmup'; did you mean 'jump'?" in message
    assert "line 5: 'notes.txt' is no video by its suffix and 5 more; correct" in message


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("folder,jump", "'folder' is a folder without pictures"),
        ("clips/4.mp4", "1 column, not 2"),
        ("clips/4.mp4,jump,high", "3 columns, not 2"),
        ("clips/4.mp4,", "an empty label"),
        ("clips/4.mp4,7", "label 7 is none of 0 to 1"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, fault: str) -> None:
    touch(tmp_path, *VIDEOS, "folder/x.txt")
    path = write_csv(tmp_path, "path,label", "clips/1.mp4,jump", "clips/2.mp4,run", line)
    message = refusal(path, classes=["jump", "run"])
    assert f"1 bad line: line 4: {fault}" in message
    assert message.endswith("; correct or remove them")


def test_bad_splits(tmp_path: Path) -> None:
    touch(tmp_path, *VIDEOS)
    lines = ["clips/1.mp4,a,train", "clips/2.mp4,b,trian", "clips/4.mp4,b,"]
    message = refusal(write_csv(tmp_path, *lines))
    assert "line 2: split 'trian' is none of train, val" in message
    assert "line 3: an empty split" in message


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (("clips/1.mp4,a", "./clips/1.mp4,b"), "1.mp4 is in class 'b' here and in 'a' on line 1"),
        (
            ("clips/1.mp4,a,train", "clips/../clips/1.mp4,a,val"),
            "1.mp4 is in split 'val' here and in 'train' on line 1",
        ),
    ],
)
def test_one_video_twice(tmp_path: Path, lines: tuple[str, ...], fault: str) -> None:
    touch(tmp_path, *VIDEOS)
    assert f"1 bad line: line 2: {fault}" in refusal(write_csv(tmp_path, *lines))


def test_a_repeated_line_counts_once(tmp_path: Path) -> None:
    touch(tmp_path, *VIDEOS)
    lines = [f"{video},{label}" for video, label in zip(VIDEOS, "aabb", strict=True)]
    catalog = load_catalog(write_csv(tmp_path, *lines, lines[0]))
    assert len(catalog.train + catalog.val) == 4
    assert catalog.notes == ("1 line repeated an earlier one and counted once",)


def test_header_that_names_no_columns(tmp_path: Path) -> None:
    touch(tmp_path, *VIDEOS)
    path = write_csv(tmp_path, "where,what", "clips/1.mp4,a", "clips/2.mp4,b")
    assert "a header must name the columns path and label" in refusal(path)


def test_files_that_are_no_csv(tmp_path: Path) -> None:
    prose = tmp_path / "readme.txt"
    prose.write_text("These clips show people, and dogs.\n" + "Thanks to " + "all " * 200)
    assert "not a list of videos, its first line is 'These clips" in refusal(prose)
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert "no lines in it; expected lines of path,label" in refusal(empty)
    header = tmp_path / "header.csv"
    header.write_text("path,label\n")
    assert "no lines in it" in refusal(header)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(bytes(range(256)))
    assert "not a text file" in refusal(binary)
    quotes = tmp_path / "quotes.csv"
    quotes.write_text('path,label\na.mp4,jump\nb.mp4,"run\nc.mp4,run\n')
    assert "in the row after line 2; check its quotes" in refusal(quotes)
    quotes.write_text('"path"x,label\na.mp4,jump\n')
    assert "in the row after line 0; check its quotes" in refusal(quotes)
    video = tmp_path / "clip.mp4"
    video.touch()
    assert "is one video; give a folder of class folders" in refusal(video)


# Videos to score


def test_splits_to_score(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "val/a/3.mp4", "test/b/4.mp4")
    classes = ("b", "x", "a")

    def scored(split: str | None) -> list[tuple[str, int]]:
        samples = load_labelled_videos(tmp_path, classes=classes, split=split)  # type: ignore[arg-type]
        return [(sample.path.name, sample.label) for sample in samples]

    assert scored(None) == scored("val") == [("3.mp4", 2)]
    assert scored("test") == [("4.mp4", 0)]
    assert scored("train") == [("1.mp4", 2), ("2.mp4", 0)]
    assert sorted(scored("all")) == [("1.mp4", 2), ("2.mp4", 0), ("3.mp4", 2), ("4.mp4", 0)]
    with pytest.raises(ValueError, match="split is 'vla'; allowed are"):
        scored("vla")


def test_unsplit_data_are_scored_whole_or_as_training_split_them(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{i}.mp4" for name in "ab" for i in range(10)))
    catalog = load_catalog(tmp_path, val_fraction=0.3)
    options = {"classes": catalog.classes, "val_fraction": 0.3}
    assert len(load_labelled_videos(tmp_path, classes=catalog.classes)) == 20
    assert load_labelled_videos(tmp_path, split="val", **options) == catalog.val  # type: ignore[arg-type]
    assert load_labelled_videos(tmp_path, split="train", **options) == catalog.train  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no videos for split 'test'; it has no split"):
        load_labelled_videos(tmp_path, classes="ab", split="test")


def test_one_class_can_be_scored(tmp_path: Path) -> None:
    touch(tmp_path, "test/b/1.mp4", "readme.txt")
    assert load_labelled_videos(tmp_path, classes=("a", "b")) == (
        VideoSample(tmp_path / "test/b/1.mp4", 1),
    )


def test_unknown_labels_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "jmup/1.mp4")
    with pytest.raises(ValueError, match="unknown class 'jmup'; did you mean 'jump'"):
        load_labelled_videos(tmp_path, classes=("jump", "run"))
    with pytest.raises(ValueError, match="line 1: unknown class 'jmup'"):
        load_labelled_videos(write_csv(tmp_path, "jmup/1.mp4,jmup"), classes=("jump", "run"))


# Videos to predict


def test_find_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "d/10.mp4", "d/9.mp4", "d/e/1.avi", "d/readme.txt", "d/.x.mp4", "d/.y/1.mp4")
    touch(tmp_path, "d/frames/1.jpg", "d/frames/2.jpg", "clip.dat", "z[1].mp4", ".cache/q.mp4")
    monkeypatch.chdir(tmp_path)

    def found(*sources: str) -> list[str]:
        return [path.as_posix() for path in find_videos(sources)]

    assert found("d") == ["d/9.mp4", "d/10.mp4", "d/e/1.avi", "d/frames"]
    assert found("d/10.mp4", "d/*.mp4", "d/../d/9.mp4") == ["d/10.mp4", "d/9.mp4"]
    assert found("d/*") == found("d")
    assert found("**/*.avi") == ["d/e/1.avi"]
    assert found("d/fr?mes") == found("d/frames") == ["d/frames"]
    assert found("clip.dat", "z[1].mp4") == ["clip.dat", "z[1].mp4"]
    assert found(".cache/*.mp4") == [".cache/q.mp4"]
    assert found(f"{tmp_path}/*/*.mp4") == [f"{tmp_path}/d/9.mp4", f"{tmp_path}/d/10.mp4"]
    monkeypatch.chdir(tmp_path / "d")
    assert found("../d/e/*.avi") == ["../d/e/1.avi"]


def test_pictures_beside_videos_do_not_hide_them(tmp_path: Path) -> None:
    touch(tmp_path, "cover.jpg", "a/1.mp4")
    assert find_videos([tmp_path]) == [tmp_path / "a/1.mp4"]


def test_a_loop_of_links_is_gone_through_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/1.mp4")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / "same.mp4").symlink_to(tmp_path / "a/1.mp4")
    listed: list[Path] = []
    list_folder = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or list_folder(path))
    assert find_videos([tmp_path]) == [tmp_path / "a/1.mp4"]
    assert listed == [tmp_path, tmp_path / "a"]


def test_nothing_found(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt", "a.mp4")
    with pytest.raises(ValueError, match=r"no video found for '.*/\*.avi', '.*/gone.mp4'; give"):
        find_videos([f"{tmp_path}/*.avi", tmp_path / "gone.mp4", tmp_path / "a.mp4"])
    with pytest.raises(ValueError, match="no video found for an empty list"):
        find_videos([])


# The look at every file


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, np.zeros((4, 32, 32, 3), dtype=np.uint8), frames_per_second=10)
    return path


@pytest.fixture
def mixed(tmp_path: Path, clip: Path) -> VideoCatalog:
    """Eleven good videos to train on, one to validate on, three bad files and one text."""
    touch(tmp_path, "train/a/notes.md", "train/b/empty.mp4", "val/a/1.mp4", "train/c/2.mp4")
    for number in range(10):
        shutil.copy(clip, tmp_path / f"train/a/{number}.mp4")
    shutil.copy(clip, tmp_path / "val/a/1.mp4")
    (tmp_path / "train/b/frames").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "train/b/frames/1.jpg")
    (tmp_path / "train/c/2.mp4").write_text("a text named .mp4")
    (tmp_path / "train/c/link.mp4").symlink_to(tmp_path / "nowhere.mp4")
    return load_catalog(tmp_path)


def test_report(mixed: VideoCatalog) -> None:
    steps: list[tuple[int, int]] = []
    report = check_catalog(
        mixed, workers=3, progress=lambda done, total: steps.append((done, total))
    )
    assert report.counts == (ClassCount("a", 10, 1), ClassCount("b", 1, 0), ClassCount("c", 0, 0))
    assert [video.path.name for video in report.unreadable] == ["empty.mp4", "2.mp4", "link.mp4"]
    assert "empty" in report.unreadable[0].reason and "no such file" in report.unreadable[2].reason
    assert [path.name for path in report.ignored] == ["notes.md"]
    assert report.without_train == ("c",) and report.without_val == ("b", "c")
    assert report.imbalance == 10
    assert steps == [(done, 15) for done in range(1, 16)]


def test_warnings_name_what_is_wrong(mixed: VideoCatalog) -> None:
    text = "\n".join(check_catalog(mixed).warnings())
    assert "unreadable videos, 3: " in text and "empty.mp4 (the file is empty" in text
    assert "not taken as videos, 1: " in text
    assert "classes without training videos, 1: c" in text
    assert "classes without validation videos, 2: b, c" in text
    assert "the largest class has 10 times the videos of the smallest" in text


def test_nothing_to_warn_of(tmp_path: Path, clip: Path) -> None:
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")
    for path in tmp_path.glob("*/*.mp4"):
        shutil.copy(clip, path)
    report = check_catalog(load_catalog(tmp_path))
    assert report.warnings() == ()
    assert report.counts == (ClassCount("a", 1, 1), ClassCount("b", 1, 1))


def test_nothing_readable(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")
    report = check_catalog(load_catalog(tmp_path))
    assert len(report.unreadable) == 4
    assert report.without_train == report.without_val == ("a", "b")
    assert report.imbalance == 1
