"""The format of a file is found by its content, and what is of none is left alone."""

import random
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.annotations import annotation_files, read_annotations
from mixtconv.data.annotations.documents import MOST_BYTES, exact

NONE_OF_THEM = {
    "list.csv": "video,label,start,end\na.mp4,jump,0.5,2\n",
    "list.jsonl": '{"video": "a.mp4", "label": "jump", "start": 0.5, "end": 2}\n' * 2,
    "list.json": '[{"video": "a.mp4", "label": "jump", "start": 0.5, "end": 2}]',
    "frames.jsonl": '{"image": "a.jpg", "label": "jump", "start": 0}\n' * 2,
    "coco.json": '{"images": [], "annotations": [{"id": 1, "bbox": [1, 2, 3, 4]}]}',
    "boxes.json": '[{"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": {}}]}]',
    "notes.txt": "Recorded in May\n",
    "lines.txt": "a.mp4 0\nb.mp4 1\n",
    "picture.xml": "<annotation><folder>x</folder></annotation>",
    "behavior.csv": "Behavior,Time\nwalk,3\n",
    "empty.json": "",
    "cut.json": '[{"path": "a.mp4", "metadata": ',
}


def test_every_format_is_known_by_its_content(tmp_path: Path, exports: ModuleType) -> None:
    for number, text in enumerate(exports.ALL.values()):
        path = exports.write(tmp_path, f"{number}.data", text)
        read = read_annotations(path)
        assert read is not None and read.segments
        named = {segment.video for segment in (*read.segments, *read.uncertain)}
        assert set(read.recordings) == named


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(encoding: str, tmp_path: Path, exports: ModuleType) -> None:
    for name, text in exports.ALL.items():
        path = tmp_path / name
        path.write_text(text, encoding=encoding)
        plain = exports.read(tmp_path, f"plain-{name}", text)
        read = read_annotations(path)
        assert read is not None and exports.short(read) == exports.short(plain)


@pytest.mark.parametrize("name", NONE_OF_THEM)
def test_other_files_are_none_of_them(name: str, tmp_path: Path, exports: ModuleType) -> None:
    assert read_annotations(exports.write(tmp_path, name, NONE_OF_THEM[name])) is None


def test_the_annotation_files_of_a_folder(tmp_path: Path, exports: ModuleType) -> None:
    for name, text in (exports.ALL | NONE_OF_THEM).items():
        exports.write(tmp_path, name, text)
    exports.write(tmp_path, "clip.mp4", exports.ELAN)  # neither videos nor hidden files are opened
    exports.write(tmp_path, ".hidden.eaf", exports.ELAN)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "video.csv").write_bytes(bytes(range(256)))
    assert {path.name for path in annotation_files(tmp_path)} == set(exports.ALL)


def test_files_of_a_folder_are_read_together(tmp_path: Path, exports: ModuleType) -> None:
    assert read_annotations(tmp_path) is None
    exports.write(tmp_path, "s10.eaf", exports.ELAN.replace("s1.", "s10."))
    exports.write(tmp_path, "s2.eaf", exports.ELAN.replace("s1.", "s2."))
    exports.write(tmp_path, "cages.boris", exports.BORIS_PROJECT)
    read = read_annotations(tmp_path)
    assert read is not None
    assert read.title == "BORIS, ELAN"
    assert read.recordings == ("a.mp4", "b.mp4", "s2.mp4", "s10.mp4", "quiet.mp4")
    tiers = "annotations of 3 tiers are read: gesture, phase, gloss"
    assert f"s2.eaf: {tiers} (and in 1 more)" in read.notes


def test_a_broken_file_of_a_folder_is_not_skipped(tmp_path: Path, exports: ModuleType) -> None:
    exports.write(tmp_path, "a.xml", exports.CVAT[:-30])
    assert [path.name for path in annotation_files(tmp_path)] == ["a.xml"]
    with pytest.raises(ValueError, match=r"a\.xml"):
        read_annotations(tmp_path)


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE annotations [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE annotations SYSTEM "http://example.org/a.dtd">',
        '<!DOCTYPE annotations [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_xml_declares_no_types_and_no_entities(
    declared: str, tmp_path: Path, exports: ModuleType
) -> None:
    for name, text in (("a.xml", exports.CVAT), ("a.eaf", exports.ELAN)):
        head, rest = text.split("\n", 1)
        path = exports.write(tmp_path, name, f"{head}\n{declared}{rest}")
        with pytest.raises(ValueError, match="a document type or an entity is declared"):
            read_annotations(path)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, exports: ModuleType) -> None:
    path = exports.write(tmp_path, "a.eaf", exports.ELAN + " " * 2**20)
    with path.open("rb+") as file:
        file.truncate(MOST_BYTES + 1)  # takes no room on the disk
    with pytest.raises(ValueError, match="256 MiB; an annotation file of at most 256 MiB is read"):
        read_annotations(path)


def test_nesting_ends_in_one_line(tmp_path: Path, exports: ModuleType) -> None:
    for name, text in (
        ("a.xml", "<ANNOTATION_DOCUMENT>" + "<a>" * 100_000),
        ("a.json", '{"database": {"annotations": {"segment": ' + "[" * 100_000),
        ("b.json", '{"database": {"v": {"annotations": [' + "[" * 900 + "]" * 900 + "]}}}"),
    ):
        with pytest.raises(ValueError) as caught:
            read_annotations(exports.write(tmp_path, name, text))
        assert len(str(caught.value)) < 300


def test_numbers_are_exact_and_finite() -> None:
    place = Path("a.csv")
    values = {"0.1": Fraction(1, 10), " -2e-3 ": Fraction(-1, 500), "7.": 7, "1E2": 100}
    for text, value in values.items():
        assert exact(text, "time", place) == value
    for text in ("", "nan", "inf", "1_0", "1e99", "1,5", "0x1", "1/2", "9" * 50, "٣"):
        with pytest.raises(ValueError, match=r"a\.csv: time is .*; give a finite number"):
            exact(text, "time", place)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_raise_nothing_but_value_errors(
    seed: int, tmp_path: Path, exports: ModuleType
) -> None:
    draw = random.Random(seed)
    path = tmp_path / "damaged"
    refused = 0
    for text in exports.ALL.values():
        content = text.encode()
        for _ in range(60):
            damaged = bytearray(content)
            for _ in range(draw.randint(1, 4)):
                at = draw.randrange(len(damaged))
                kind = draw.randrange(3)
                if kind == 0:
                    damaged[at] = draw.choice(b'{}[]",:0-<>/x\xff\n')
                elif kind == 1:
                    del damaged[at : at + draw.randint(1, 40)]
                else:
                    damaged[at:at] = draw.choice([b"null", b"[]", b"{}", b"-1", b'"', b"<a>"])
            path.write_bytes(bytes(damaged))
            try:
                read_annotations(path)
            except ValueError as error:
                refused += 1
                assert "damaged" in str(error) and "\n" not in str(error)
    assert refused > 100
