"""Videos listed in a CSV, in all its spellings, and errors for lines that cannot be used."""

import json
import unicodedata
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.datasets.scanning import list_videos

VIDEOS = ("clips/1.mp4", "clips/2.mp4", "clips/my 3.mp4", "clips/4.mp4")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", " ", ", "])
@pytest.mark.parametrize("header", [True, False])
def test_spellings_of_one_csv(
    tmp_path: Path, header: bool, delimiter: str, mark: str, end: str, sources: ModuleType
) -> None:
    sources.touch(tmp_path, *VIDEOS)
    lines = [delimiter.join(row) for row in zip(VIDEOS, "abab", strict=True)]
    lines = [delimiter.join(("path", "label")), *lines] if header else lines
    path = sources.write_csv(tmp_path, mark + lines[0], *lines[1:], "", end=end)
    catalog = load_catalog(path)
    assert catalog.classes == ("a", "b")
    assert sorted(sources.names(catalog.train + catalog.val, tmp_path)) == sorted(VIDEOS)
    assert catalog.notes == ()


@pytest.mark.parametrize("header", [["path,label,split"], []])
def test_csv_with_splits(tmp_path: Path, header: list[str], sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    rows = zip(VIDEOS, "abab", ["train", "Train", "validation", "test"], strict=True)
    catalog = load_catalog(sources.write_csv(tmp_path, *header, *(",".join(row) for row in rows)))
    assert sources.names(catalog.train, tmp_path) == ["clips/1.mp4", "clips/2.mp4"]
    assert sources.names(catalog.val, tmp_path) == ["clips/my 3.mp4"]


def test_spaces_with_a_header_of_three(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    rows = zip(VIDEOS, "abab", ["train", "train", "val", "val"], strict=True)
    catalog = load_catalog(sources.write_csv(tmp_path, "path label split", *map(" ".join, rows)))
    assert sources.names(catalog.val, tmp_path) == ["clips/my 3.mp4", "clips/4.mp4"]


def test_columns_by_name_and_quotes(tmp_path: Path, sources: ModuleType) -> None:
    """Columns may stand in any order beside others; a quoted name may hold the delimiter."""
    sources.touch(tmp_path, *VIDEOS, "clips/5,6.mp4")
    path = sources.write_csv(
        tmp_path,
        "id,Label,file,width",
        '1,"Laying it down, not upright",clips/1.mp4,320',
        '2,"Laying it down, not upright",clips/2.mp4,320',
        '3,"say ""hi""","clips/5,6.mp4",320',
        '4,"say ""hi""",clips/4.mp4,,,',
    )
    catalog = load_catalog(path)
    assert catalog.classes == ("Laying it down, not upright", 'say "hi"')
    assert "clips/5,6.mp4" in sources.names(catalog.train + catalog.val, tmp_path)


def test_spaces_around_cells(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    path = sources.write_csv(tmp_path, 'clips/1.mp4 , "a, b"', "clips/2.mp4,c ", "clips/4.mp4,  c")
    assert load_catalog(path).classes == ("a, b", "c")


def test_utf16_absolute_and_windows_paths(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    lines = ["path\tlabel", f"{tmp_path}/clips/1.mp4\té", "clips\\2.mp4\té", "clips/4.mp4\tb"]
    path = tmp_path / "list.txt"
    path.write_text("\n".join(lines), encoding="utf-16")
    catalog = load_catalog(path)
    assert catalog.classes == ("b", "é")
    assert len(catalog.train + catalog.val) == 3


def test_picture_folders_in_a_csv(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "v1/1.jpg", "v2/1.jpg", "v3/1.jpg")
    catalog = load_catalog(sources.write_csv(tmp_path, "v1,a", "v2,a", "v3,b"))
    assert sorted(sources.names(catalog.train + catalog.val, tmp_path)) == ["v1", "v2", "v3"]


def test_numbers_are_labels_of_given_classes(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    path = sources.write_csv(tmp_path, *(f"{video},{i // 2}" for i, video in enumerate(VIDEOS)))
    given = load_catalog(path, classes=["jump", "run", "walk"])
    assert {(s.path.name, s.label) for s in given.train + given.val} == {
        ("1.mp4", 0),
        ("2.mp4", 0),
        ("my 3.mp4", 1),
        ("4.mp4", 1),
    }
    assert load_catalog(path).classes == ("0", "1")
    assert load_catalog(path, classes=["0", "1", "2"]).classes == ("0", "1", "2")


def test_labels_counted_from_one(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    path = sources.write_csv(tmp_path, *(f"{video},{i + 1}" for i, video in enumerate(VIDEOS)))
    message = sources.refusal(path, classes=["a", "b", "c", "d"])
    assert "run from 1 to 4 for 4 classes" in message and "subtract 1" in message


def test_every_bad_line_is_counted(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS, "notes.txt", "folder/x.txt")
    path = sources.write_csv(
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
    message = sources.refusal(path, classes=["jump", "run"])
    assert f"{path}: 7 bad lines: line 3: no file '{tmp_path / 'clips/gone.mp4'}'; " in message
    assert "line 4: unknown class 'jmup'; did you mean 'jump'?" in message
    assert "line 6: 'folder' is a folder without pictures and 4 more; correct" in message


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("folder,jump", "'folder' is a folder without pictures"),
        ("clips/4.mp4", "1 column, not 2"),
        ("clips/4.mp4,jump,high", "3 columns, not 2"),
        ("clips/4.mp4,", "an empty label"),
        ("clips/4.mp4,7", "unknown class '7'"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, fault: str, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS, "folder/x.txt")
    path = sources.write_csv(tmp_path, "path,label", "clips/1.mp4,jump", "clips/2.mp4,run", line)
    message = sources.refusal(path, classes=["jump", "run"])
    assert f"1 bad line: line 4: {fault}" in message
    assert message.endswith("; correct or remove them")


def test_bad_splits(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    lines = ["clips/1.mp4,a,train", "clips/2.mp4,b,trian", "clips/4.mp4,b,"]
    message = sources.refusal(sources.write_csv(tmp_path, *lines))
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
def test_one_video_twice(
    tmp_path: Path, lines: tuple[str, ...], fault: str, sources: ModuleType
) -> None:
    sources.touch(tmp_path, *VIDEOS)
    assert f"1 bad line: line 2: {fault}" in sources.refusal(sources.write_csv(tmp_path, *lines))


def test_a_repeated_line_counts_once(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    lines = [f"{video},{label}" for video, label in zip(VIDEOS, "aabb", strict=True)]
    catalog = load_catalog(sources.write_csv(tmp_path, *lines, lines[0]))
    assert len(catalog.train + catalog.val) == 4
    assert catalog.notes == ("1 line repeated an earlier one and counted once",)


def test_header_that_names_no_columns(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *VIDEOS)
    path = sources.write_csv(tmp_path, "where,what", "clips/1.mp4,a", "clips/2.mp4,b")
    assert "a header must name the columns path and label" in sources.refusal(path)


def test_files_that_are_no_csv(tmp_path: Path, sources: ModuleType) -> None:
    prose = tmp_path / "readme.txt"
    prose.write_text("These clips show people, and dogs.\n" + "Thanks to " + "all " * 200)
    assert "not a list of videos, its first line is 'These clips" in sources.refusal(prose)
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert "no lines in it; expected lines of path,label" in sources.refusal(empty)
    header = tmp_path / "header.csv"
    header.write_text("path,label\n")
    assert "no lines in it" in sources.refusal(header)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(bytes(range(256)))
    assert "not a text file" in sources.refusal(binary)
    quotes = tmp_path / "quotes.csv"
    quotes.write_text('path,label\na.mp4,jump\nb.mp4,"run\nc.mp4,run\n')
    assert "in the row after line 2; check its quotes" in sources.refusal(quotes)
    quotes.write_text('"path"x,label\na.mp4,jump\n')
    assert "in the row after line 0; check its quotes" in sources.refusal(quotes)
    video = tmp_path / "clip.mp4"
    video.touch()
    assert "is one video; give a folder of class folders" in sources.refusal(video)


NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(("written", "on_disk"), [(NFC, NFD), (NFD, NFC)])
def test_paths_are_found_however_their_accents_are_encoded(
    tmp_path: Path, written: str, on_disk: str, sources: ModuleType
) -> None:
    sources.touch(tmp_path, *(f"{on_disk}/{on_disk}{i}.mp4" for i in "12"), "3.mp4", "4.mp4")
    lines = [f"{written}/{written}{i}.mp4,a" for i in "12"]
    path = sources.write_csv(tmp_path, "path,label", *lines, "3.mp4,b", "4.mp4,b")
    catalog = load_catalog(path)
    names = (f"{on_disk}/{on_disk}1.mp4", f"{on_disk}/{on_disk}2.mp4", "3.mp4", "4.mp4")
    assert {s.path for s in catalog.train + catalog.val} == {tmp_path / name for name in names}
    repeated = sources.write_csv(tmp_path, *lines, f"{on_disk}/{on_disk}1.mp4,a", "3.mp4,b")
    assert load_catalog(repeated).notes[0].startswith("1 line repeated an earlier one")


def test_a_path_that_may_be_two_files_is_refused(tmp_path: Path, sources: ModuleType) -> None:
    two = [unicodedata.normalize(form, "é") + "à" for form in ("NFC", "NFD")]
    sources.touch(tmp_path, *(f"{name}.mp4" for name in two), "3.mp4")
    written = unicodedata.normalize("NFD", two[0])
    message = sources.refusal(sources.write_csv(tmp_path, f"{written}.mp4,a", "3.mp4,b"))
    assert "may be" in message and "alike but for how accents are encoded; rename one" in message


def test_a_video_and_its_frames_in_one_list_count_once(tmp_path: Path, sources: ModuleType) -> None:
    for number in "1234":
        sources.touch(tmp_path, f"v{number}.mp4", *(f"v{number}/{i}.jpg" for i in range(3)))
    rows = [(f"v{n}{suffix}", label) for n, label in zip("1234", "aabb", strict=True)
            for suffix in (".mp4", "")]  # fmt: skip
    catalog = load_catalog(sources.write_csv(tmp_path, *map(",".join, rows)))
    assert sorted(sources.names(catalog.train + catalog.val, tmp_path)) == [
        f"v{number}.mp4" for number in "1234"
    ]
    assert catalog.notes[0].startswith("4 folders of pictures left out, as the video that they ")
    rows[1] = ("v1", "b")
    message = sources.refusal(sources.write_csv(tmp_path, *map(",".join, rows)))
    assert "line 2: pictures of v1.mp4, in class 'b' here and the video in 'a'" in message
    alone = sources.write_csv(tmp_path, "v1,a", "v2,a", "v3.mp4,b", "v4.mp4,b")
    assert load_catalog(alone).notes == ()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_folder_with_lists_as_hugging_face_has_them(form: str, tmp_path: Path) -> None:
    """`videofolder`: `file_name` is below the folder of the list."""
    expected = []
    for folder, split in (("train", "train"), ("validation", "val")):
        (tmp_path / folder / "clips").mkdir(parents=True)
        rows = []
        for number in range(3):
            name = f"clips/{number}.mp4"
            (tmp_path / folder / name).touch()
            label = ("walk", "wave")[number % 2]
            rows.append({"file_name": name, "label": label})
            expected.append((tmp_path / folder / name, label, split, f"{folder}/{name}"))
        lines = [json.dumps(row) for row in rows]
        if form == "csv":
            lines = ["file_name,label", *(",".join(row.values()) for row in rows)]
        (tmp_path / folder / f"metadata.{form}").write_text("\n".join(lines) + "\n")
    found = list_videos(tmp_path).videos
    assert [(v.path, v.class_name, v.split, v.key) for v in found] == expected
    (tmp_path / "train" / "clips" / "0.mp4").unlink()
    with pytest.raises(ValueError, match=r"train/clips/0\.mp4: no file"):
        list_videos(tmp_path)
    other = "jsonl" if form == "csv" else "csv"
    second = {"csv": "file_name,label\nx.mp4,a\n", "jsonl": '{"file_name": "x.mp4", "label": "a"}'}
    (tmp_path / "train" / f"metadata.{other}").write_text(second[other])
    with pytest.raises(ValueError, match=r"metadata\.csv.* list its videos; leave one"):
        list_videos(tmp_path)


def test_another_file_of_that_name_leaves_class_folders_as_they_are(tmp_path: Path) -> None:
    for name in ("walk", "wave"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").touch()
    (tmp_path / "metadata.csv").write_text("camera,date\nnorth,2024\n")
    assert [video.class_name for video in list_videos(tmp_path).videos] == ["walk", "wave"]


def test_a_list_above_folders_of_splits_has_the_splits_of_its_paths(tmp_path: Path) -> None:
    rows = []
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            (tmp_path / folder / f"{number}.mp4").touch()
            rows.append(f"{folder}/{number}.mp4,{('walk', 'wave')[number]}")
    lines = ["file_name,label", *rows]
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    videos = list_videos(tmp_path).videos
    assert [video.split for video in videos] == ["train", "train", "test", "test"]
    (tmp_path / "train" / "metadata.csv").write_text("file_name,label\n0.mp4,wave\n")
    with pytest.raises(ValueError, match=r"train/0\.mp4 is in metadata\.csv:2 and train/metadata"):
        list_videos(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(ValueError, match="test has no list as train has"):
        list_videos(tmp_path)


def test_captions_beside_class_folders_are_no_labels(tmp_path: Path) -> None:
    for name in ("walk", "wave"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").touch()
    (tmp_path / "metadata.csv").write_text("file_name,caption\nwalk/a.mp4,someone walks\n")
    (tmp_path / "metadata.parquet").write_bytes(b"damaged")
    assert [video.class_name for video in list_videos(tmp_path).videos] == ["walk", "wave"]
