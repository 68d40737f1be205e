"""Columns of lists: those of other tools are understood, and none is left out without a word."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.datasets.scanning import scan_videos

VIDEOS = ("c/1.mp4", "c/2.mp4", "c/my 3.mp4", "c/4.mp4")


def labels_of(path: Path) -> dict[str, str]:
    listing = scan_videos(path)
    assert not listing.faults
    return {v.path.relative_to(path.parent).as_posix(): v.class_name for v in listing.videos}


@pytest.mark.parametrize(
    "header",
    [
        "video_path,class",
        "file_name,label",
        "FileName,Category",
        "File Path,class name",
        "videoPath,target",
        "#path,label",
        "# made in May\npath,label",
        "sep=,\npath,label",
        "clip,action",
        "video_name,tag",
        "video_id,gesture",
    ],
)
def test_headers_of_other_tools(tmp_path: Path, header: str, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    rows = [",".join(row) for row in zip(VIDEOS, "abab", strict=True)]
    path = sources.write_csv(tmp_path, *header.split("\n"), *rows)
    assert labels_of(path) == dict(zip(VIDEOS, "abab", strict=True))
    assert scan_videos(path).notes == ()


@pytest.mark.parametrize("column", ["split", "subset", "set", "Partition", "fold"])
def test_splits_by_their_usual_names(tmp_path: Path, column: str, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    rows = zip(VIDEOS, "abab", ["TRAIN", "training", "dev", "Testing"], strict=True)
    lines = [",".join(row) for row in rows]
    catalog = load_catalog(sources.write_csv(tmp_path, f"path,label,{column}", *lines))
    assert sources.names(catalog.train, tmp_path) == ["c/1.mp4", "c/2.mp4"]
    assert sources.names(catalog.val, tmp_path) == ["c/my 3.mp4"]


def test_every_column_that_is_not_used_is_named(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    rows = [f"{i},{video},{'ab'[i % 2]},{i},320," for i, video in enumerate(VIDEOS)]
    path = sources.write_csv(tmp_path, ",path,label,fold,width,", *rows)
    assert scan_videos(path).notes == (
        "columns 1 (without a name), fold, width: not used (fold would be, with splits in it: "
        "train, val, test)",
    )
    assert labels_of(path) == dict(zip(VIDEOS, "abab", strict=True))


def test_empty_columns_of_parts_do_no_harm(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    lines = [f"{video},{i % 2},," for i, video in enumerate(VIDEOS)]
    assert labels_of(sources.write_csv(tmp_path, "path,label,start,end", *lines))


def test_names_come_before_numbers(tmp_path: Path, sources: ModuleType) -> None:
    """Of `label` and `class` the one that holds names; if both do, the user says which."""
    sources.touch(tmp_path, *VIDEOS)
    rows = [f"{video},{'ba'[i % 2]},{i % 2}" for i, video in enumerate(VIDEOS)]
    for header in ("path,label,class", "path,class,label", "path,class_name,class_index"):
        path = sources.write_csv(tmp_path, header, *rows)
        assert set(labels_of(path).values()) == {"a", "b"}
        assert scan_videos(path).notes == (f"column {header.split(',')[2]}: not used",)
    rows = [f"{video},{'ba'[i % 2]},x{i}" for i, video in enumerate(VIDEOS)]
    message = sources.refusal(sources.write_csv(tmp_path, "path,label,class", *rows))
    assert (
        "columns label and class give different labels; call the one to use class_name" in message
    )
    path = sources.write_csv(tmp_path, "path,label,category", *rows)
    assert set(labels_of(path).values()) == {"a", "b"}


@pytest.mark.parametrize("separator", [" ", ",", "\t"])
def test_lists_with_numbers_of_frames(tmp_path: Path, separator: str, sources: ModuleType) -> None:
    """TSN and mmaction2: folder, number of frames, label; a file may stand for the folder."""
    sources.touch(tmp_path, "my v1/1.jpg", "v2/1.jpg", "v3/1.jpg", *VIDEOS)
    rows = [("my v1", "1", "0"), ("v2", "1", "1"), ("v3", "1", "0"), ("c/my 3.mp4", "25", "1")]
    path = sources.write_csv(tmp_path, *(separator.join(row) for row in rows))
    assert labels_of(path) == {name: label for name, _, label in rows}
    assert scan_videos(path).notes[0].startswith("the second column, numbers of frames, is not")
    given = load_catalog(path, classes=["jump", "run"], val_fraction=0)
    assert [sample.label for sample in given.train] == [0, 1, 0, 1]


def test_names_that_end_in_numbers_keep_them(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "clip 1/1.jpg", "clip 2/1.jpg")
    path = sources.write_csv(tmp_path, "clip 1 0", "clip 2 1")
    assert labels_of(path) == {"clip 1": "0", "clip 2": "1"}


def test_offsets_in_lists_of_frames_are_refused(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "v1/1.jpg", "v2/1.jpg")
    message = sources.refusal(sources.write_csv(tmp_path, "v1 3 20 0", "v2 0 20 1"))
    assert "two numbers and label" in message and "path,start_frame,end_frame,label" in message


@pytest.mark.parametrize("kind", ["list", "indented list", "lines"])
def test_json_lists(tmp_path: Path, kind: str, sources: ModuleType) -> None:
    """Numbers stay as they are written."""
    sources.touch(tmp_path, *VIDEOS)
    labels = ['"yes"', "1e3", '"010"', "-0"]
    items = [
        f'{{"path": "{video}", "label": {label}, "split": "{split}", "about": {{"fps": 25}}}}'
        for video, label, split in zip(VIDEOS, labels, ["train"] * 3 + ["val"], strict=True)
    ]
    text = "\n".join(items) if kind == "lines" else f"[{','.join(items)}]"
    if kind == "indented list":
        text = text.replace("[{", "[\n  {").replace("},{", "},\n  {")
    for name in ("list.json", "list.txt"):
        path = tmp_path / name
        path.write_text(text)
        listing = scan_videos(path)
        assert [video.class_name for video in listing.videos] == ["yes", "1e3", "010", "-0"]
        assert [video.split for video in listing.videos] == ["train"] * 3 + ["val"]
        assert str(listing.videos[3].place) == (
            f"{name}:4" if kind == "lines" else f"{name}, entry 4"
        )
        assert listing.notes == ("column about: not used",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"path": "c/1.mp4", "label": {"a": "b"}}]', 'label is \'{"a": "b"}\'; give one text'),
        ('[{"path": "c/1.mp4", "label": null}]', "1 bad entry: entry 1: an empty label"),
        ('[{"path": "c/1.mp4"}, {"label": "a"}]', "entry 1: an empty label; entry 2: an empty pat"),
        ('[{"path": "c\\u0000/1.mp4", "label": "a"}]', "entry 1: path is"),
        ('[["c/1.mp4", "a"]]', "entry 1 is no object of a path and a label; give a list such as"),
        ('{"videos": {"v1": {"subset": "training"}}}', "no path or no label but 'videos'"),
        ('{"path": "c/1.mp4", "label": "a"}\n{"path": ', "not JSON: line 2"),
        ('[{"path": "c/1.mp4", "label": "a", "label": "b"}]', "the key 'label' is there twice"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no lines in it"),
    ],
)
def test_json_that_is_refused(tmp_path: Path, text: str, says: str, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    path = tmp_path / "list.json"
    path.write_text(text)
    assert says in sources.refusal(path)


def test_a_file_in_a_list_is_taken_whatever_its_suffix(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "a.xyz", "b", "GL01.LRV")
    path = sources.write_csv(tmp_path, "a.xyz,x", "b,y", "GL01.LRV,y")
    assert labels_of(path) == {"a.xyz": "x", "b": "y", "GL01.LRV": "y"}


def test_names_that_are_not_utf8_are_found_and_labels_refused(tmp_path: Path) -> None:
    """A list of names as `ls` writes them, and one that a spreadsheet saved in Latin-1."""
    for name in (b"caf\xe9.mp4", b"b.mp4"):
        (tmp_path / name.decode("utf-8", "surrogateescape")).touch()
    path = tmp_path / "list.csv"
    path.write_bytes(b"path,label\ncaf\xe9.mp4,x\nb.mp4,y\n")
    assert {video.class_name for video in scan_videos(path).videos} == {"x", "y"}
    for line in (b"b.mp4,caf\xe9", b"gone\xe9.mp4,x"):
        path.write_bytes(b"path,label\nb.mp4,y\n" + line + b"\n")
        with pytest.raises(ValueError, match=r"not a text file in UTF-8; .*save it in UTF-8"):
            scan_videos(path)


def test_json_and_csv_of_the_same_rows_are_the_same(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    rows = [
        dict(zip(("path", "label"), row, strict=True)) for row in zip(VIDEOS, "abab", strict=True)
    ]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = sources.write_csv(tmp_path, "path,label", *(",".join(row.values()) for row in rows))
    assert labels_of(tmp_path / "list.jsonl") == labels_of(path)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("path,label,subset,set", "columns subset and set give different splits"),
        ("id,label", "the first line, id, label, is a header without a column of paths: call it"),
        ("path,word", "is a header without a column of labels: call it class_name"),
    ],
)
def test_a_header_that_contradicts_itself_or_lacks_a_column_is_refused(
    tmp_path: Path, header: str, says: str, sources: ModuleType
) -> None:
    sources.touch(tmp_path, *VIDEOS)
    cells = ("c/1.mp4", "a", "train", "val"), ("c/2.mp4", "b", "val", "train")
    width = header.count(",") + 1
    path = sources.write_csv(tmp_path, header, *(",".join(row[:width]) for row in cells))
    with pytest.raises(ValueError, match=says):
        scan_videos(path)


def test_dates_of_recordings_cut_no_parts(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    path = sources.write_csv(tmp_path, "path,label,timestamp", "c/1.mp4,a,2020-01-01")
    assert scan_videos(path).notes == ("column timestamp: not used",)
