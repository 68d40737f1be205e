"""The labels of a list are names of classes or their numbers: one of the two for the whole list."""

from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.datasets.scanning import scan_videos
from mixtconv.data.layouts import list_csv

VIDEOS = ("1.mp4", "2.mp4", "3.mp4", "4.mp4")


def read(
    root: Path, sources: ModuleType, labels: str, classes: str | None, column: str = "label"
) -> tuple[list[str], tuple[str, ...]]:
    """The classes that a list of labels gives its videos, and what is said about them."""
    sources.touch(root, *VIDEOS)
    lines = [f"{video},{label}" for video, label in zip(VIDEOS, labels.split(), strict=False)]
    path = sources.write_csv(root, f"path,{column}", *lines)
    listing = scan_videos(path, classes=classes.split() if classes else None)
    assert not listing.faults
    return [video.class_name for video in listing.videos], listing.notes


@pytest.mark.parametrize(
    ("labels", "classes", "expected", "note"),
    [
        # Not all are names, all are numbers from 0.
        ("0 1 2", "1 2 3", "1 2 3", "labels are numbers of classes, from 0: 0 is '1'"),
        ("0 2 2", "wave jump spin", "wave spin spin", "from 0: 0 is 'wave'"),
        ("00 02", "wave jump spin", "wave spin", "from 0: 00 is 'wave'"),
        # All are names, not all can be numbers.
        ("1 2 3", "1 2 3", "1 2 3", "labels are names of classes, though they are numbers"),
        ("010 1e3", "010 1e3 yes", "010 1e3", None),
        ("3 3", "1 2 3", "3 3", "labels are names of classes"),
        # Both readings say the same.
        ("0 1", "0 1 2", "0 1", "labels are names of classes"),
        ("wave jump", "jump wave", "wave jump", None),
    ],
)
def test_one_reading_for_the_whole_list(
    tmp_path: Path, sources: ModuleType, labels: str, classes: str, expected: str, note: str | None
) -> None:
    names, notes = read(tmp_path, sources, labels, classes)
    assert names == expected.split()
    assert note in notes[0] if note else not notes


@pytest.mark.parametrize(
    ("labels", "classes", "says"),
    [
        ("1 2", "1 2 3", "1 is the class '1' or '2'; say which with a header: path,class_name"),
        ("1 0", "1 0", "0 is the class '0' or '1'"),
        ("0 1 2 3", "1 2 3", "labels mix names of classes, such as '3', and numbers, such as 0"),
        ("wave 1", "jump wave", "labels mix names of classes, such as 'wave', and numbers"),
        ("1 2 3 4", "a b c d", "labels run from 1 to 4 for 4 classes"),
    ],
)
def test_two_readings_are_refused(
    tmp_path: Path, sources: ModuleType, labels: str, classes: str, says: str
) -> None:
    with pytest.raises(ValueError, match="labels") as caught:
        read(tmp_path, sources, labels, classes)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "expected"),
    [("class_name", "1 2"), ("Label Name", "1 2"), ("class_index", "2 3"), ("labelIdx", "2 3")],
)
def test_a_header_says_which(
    tmp_path: Path, sources: ModuleType, column: str, expected: str
) -> None:
    names, _ = read(tmp_path, sources, "1 2", "1 2 3", column)
    assert names == expected.split()


@pytest.mark.parametrize(
    ("labels", "classes", "fault"),
    [
        ("0 1 jmup", "jump wave", "entry 3: label 'jmup' is none of 0 to 1"),
        ("0 1 7", "jump wave", "entry 3: label 7 is none of 0 to 1"),
        ("1 2 3 7", "1 2 3", "entry 4: unknown class '7'"),
        ("jump wave 7", "jump wave", "entry 3: unknown class '7'"),
        (f"0 1 {'9' * 5000}", "jump wave", "is none of 0 to 1"),
    ],
)
def test_labels_that_do_not_fit_the_others_are_faults(
    tmp_path: Path, sources: ModuleType, labels: str, classes: str, fault: str
) -> None:
    """In a JSON list, whose numbers and texts are the same to the reading."""
    sources.touch(tmp_path, *VIDEOS)
    items = [
        f'{{"path": "{video}", "label": "{label}"}}'
        for video, label in zip(VIDEOS, labels.split(), strict=False)
    ]
    path = tmp_path / "list.json"
    path.write_text(f"[{','.join(items)}]")
    message = sources.refusal(path, classes=classes.split())
    assert "1 bad entry: " in message and fault in message


def test_numbers_without_known_classes_are_names_and_said(
    tmp_path: Path, sources: ModuleType
) -> None:
    """Labels from 1 train as well as those from 0, but not without a word."""
    for labels, span in (("1 2 1 2", "1 to 2"), ("0.0 1.0", "0.0 to 1.0"), ("9 10 9", "9 to 10")):
        names, notes = read(tmp_path, sources, labels, None)
        assert names == labels.split()
        assert notes == (f"labels are numbers, {span}: taken as names of classes",)
    assert read(tmp_path, sources, "01 1 2", None)[1][1] == "'01' and '1' are two classes"
    assert read(tmp_path, sources, "1 2 jump", None)[1] == ()
    assert read(tmp_path, sources, "1 2", None, "class_name")[1] != ()
    catalog = load_catalog(tmp_path / "list.csv", val_fraction=0)
    assert "labels are numbers, 1 to 2: taken as names of classes" in catalog.notes


def test_indices_without_known_classes_run_from_0(tmp_path: Path, sources: ModuleType) -> None:
    names, notes = read(tmp_path, sources, "0 01 2 0", None, "label_index")
    assert names == ["0", "1", "2", "0"] and "label_index names no classes" in notes[0]
    for labels, gap in (("1 2 3", "has no 0, but"), ("0 2 4", "has no 1, 3, but")):
        with pytest.raises(ValueError, match=gap):
            read(tmp_path, sources, labels, None, "label_index")


def test_one_wrong_cell_in_a_column_of_a_class_is_a_fault_of_its_line(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.mp4").touch()
    path = tmp_path / "list.csv"
    path.write_text("path,walk,wave,jump\na.mp4,1,0,2\nb.mp4,1.0,0,1\nc.mp4,0,1,\n")
    listing = list_csv(path)
    assert [(fault.line, fault.kind) for fault in listing.faults] == [(2, "mislabelled")]
    assert "column jump is '2'; give 0 or 1" in listing.faults[0].reason
    assert [video.labels for video in listing.videos] == [("jump", "walk"), ("wave",)]
