"""What is said of lists that cannot be right, by file and line."""

import json
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.datasets.scanning import scan_videos
from mixtconv.data.listing import DataSource, Fault, VideoListing

TEXT_LISTS = {
    "something_v1": "something-something-v1-train.csv",
    "jester": "jester-v1-train.csv",
    "ucf101": "ucfTrainTestlist/trainlist01.txt",
    "hmdb51": "testTrainMulti_7030_splits/cartwheel_test_split1.txt",
    "kinetics400": "train.csv",
}
V2_LIST = "something-something-v2-train.json"


@pytest.fixture(scope="session")
def copies(tmp_path_factory: pytest.TempPathFactory, miniature: ModuleType) -> Path:
    folder = tmp_path_factory.mktemp("copies")
    for name in (*TEXT_LISTS, "something_v2"):
        miniature.make_miniature(name, folder / name, num_frames=2)
    return folder


@pytest.fixture
def copy(copies: Path, tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: shutil.copytree(copies / name, tmp_path / name)


def listing(name: str, root: Path) -> VideoListing:
    return scan_videos(DataSource(name, root=str(root)))


def only_fault(name: str, root: Path) -> Fault:
    faults = listing(name, root).faults
    assert len(faults) == 1
    with pytest.raises(ValueError, match="1 entry cannot be used"):
        load_catalog(DataSource(name, root=str(root)))
    return faults[0]


def rewrite(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join(change(lines)) + "\n", "utf-8")


def summary(result: VideoListing) -> set[tuple[str, str, str | None]]:
    return {(video.key, video.class_name, video.split) for video in result.videos}


@pytest.mark.parametrize("name", TEXT_LISTS)
@pytest.mark.parametrize("form", ["windows", "mark", "utf-16", "old_mac", "empty_lines"])
def test_forms_of_text_do_not_matter(name: str, form: str, copy) -> None:
    root = copy(name)
    before = listing(name, root)
    for path in before.lists:
        text = path.read_text("utf-8").replace("\r\n", "\n")
        ends = {"windows": "\r\n", "old_mac": "\r", "empty_lines": "\n\n  \n"}
        text = text.replace("\n", ends.get(form, "\n"))
        encoding = {"mark": "utf-8-sig", "utf-16": "utf-16"}.get(form, "utf-8")
        path.write_bytes(text.encode(encoding))
    assert summary(listing(name, root)) == summary(before)
    assert listing(name, root).classes == before.classes


def test_json_with_a_mark(copy) -> None:
    root = copy("something_v2")
    before = listing("something_v2", root)
    for path in before.lists:
        path.write_bytes(path.read_text("utf-8").encode("utf-8-sig"))
    assert summary(listing("something_v2", root)) == summary(before)


@pytest.mark.parametrize("name", TEXT_LISTS)
def test_an_extra_column_is_a_fault_of_its_line(name: str, copy) -> None:
    root = copy(name)
    separator = {"kinetics400": ",", "ucf101": " ", "hmdb51": " "}.get(name, ";")
    rewrite(
        root / TEXT_LISTS[name], lambda lines: [lines[0], lines[1] + separator + "7", *lines[2:]]
    )
    fault = only_fault(name, root)
    assert fault.kind == "malformed"
    assert fault.video == f"{Path(TEXT_LISTS[name]).name}:2"


def test_an_extra_column_of_jester_with_a_header(copy, miniature: ModuleType) -> None:
    root = miniature.rename_as_current("jester", copy("jester"))
    rewrite(root / "Train.csv", lambda lines: [*lines[:3], lines[3] + ",x", *lines[4:]])
    fault = only_fault("jester", root)
    assert (fault.video, fault.kind) == ("Train.csv:4", "malformed")
    assert "7 columns, not 6" in fault.reason


def test_entries_of_json_without_a_template(copy) -> None:
    root = copy("something_v2")
    entries = json.loads((root / V2_LIST).read_text("utf-8"))
    del entries[2]["template"]
    (root / V2_LIST).write_text(json.dumps(entries), "utf-8")
    fault = only_fault("something_v2", root)
    assert (fault.video, fault.kind) == (f"{V2_LIST}, entry 3", "malformed")


@pytest.mark.parametrize(
    "text", ["{", "[1", '{"id": "1"}', "\x00"], ids=["cut", "cut_list", "no_list", "no_text"]
)
def test_json_that_is_none_is_refused(text: str, copy) -> None:
    root = copy("something_v2")
    (root / V2_LIST).write_text(text, "utf-8")
    with pytest.raises(ValueError, match=V2_LIST) as caught:
        listing("something_v2", root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "labels", [["a", "b"], {"a": "x"}, {"a": "0", "b": "0"}], ids=["list", "word", "twice"]
)
def test_labels_json_that_numbers_no_classes_is_refused(labels: object, copy) -> None:
    root = copy("something_v2")
    (root / "something-something-v2-labels.json").write_text(json.dumps(labels), "utf-8")
    with pytest.raises(ValueError, match=r"labels\.json"):
        listing("something_v2", root)


# Not HMDB-51: its labels are the names of its lists.
@pytest.mark.parametrize("name", ["something_v1", "jester", "ucf101", "kinetics400"])
def test_a_label_that_is_none_is_mislabelled_with_the_near_ones(name: str, copy) -> None:
    root, path = copy(name), TEXT_LISTS[name]
    label = listing(name, root).videos[0].class_name
    at = (root / path).read_text("utf-8").splitlines()
    number = next(n for n, line in enumerate(at) if label in line)
    changed = at[number].replace(label, label + "x", 1)
    if name == "ucf101":
        changed = changed.rsplit(" ", 1)[0]  # without the number, the folder alone is the label
    rewrite(root / path, lambda lines: [*lines[:number], changed, *lines[number + 1 :]])
    fault = only_fault(name, root)
    assert fault.kind == "mislabelled"
    assert f"{Path(path).name}:{number + 1}" in fault.reason
    assert label + "x" in fault.reason
    assert "did you mean" in fault.reason and label in fault.reason


def test_a_template_that_is_no_label(copy) -> None:
    root = copy("something_v2")
    entries = json.loads((root / V2_LIST).read_text("utf-8"))
    entries[1]["template"] = "Puling [something] from left to right"
    (root / V2_LIST).write_text(json.dumps(entries), "utf-8")
    fault = only_fault("something_v2", root)
    assert (fault.video, fault.kind) == (entries[1]["id"], "mislabelled")
    assert "'Pulling something from left to right'" in fault.reason


def test_a_number_of_ucf_that_is_of_another_class(copy) -> None:
    root = copy("ucf101")
    rewrite(root / TEXT_LISTS["ucf101"], lambda lines: [lines[0].replace(" 1", " 2"), *lines[1:]])
    fault = only_fault("ucf101", root)
    assert fault.kind == "mislabelled" and "trainlist01.txt:1" in fault.reason
    assert "'Archery'" in fault.reason and "'Hammering'" in fault.reason


def test_a_flag_of_hmdb_that_is_none(copy) -> None:
    root = copy("hmdb51")
    rewrite(root / TEXT_LISTS["hmdb51"], lambda lines: [lines[0].replace(" 2", " 3"), *lines[1:]])
    fault = only_fault("hmdb51", root)
    assert (fault.video, fault.kind) == ("cartwheel_test_split1.txt:1", "malformed")


@pytest.mark.parametrize("name", ["something_v1", "jester", "kinetics400"])
def test_one_video_under_two_labels(name: str, copy) -> None:
    root = copy(name)
    first, other = sorted({video.class_name for video in listing(name, root).videos})[:2]
    path = root / TEXT_LISTS[name]

    def repeat(lines: list[str]) -> list[str]:
        line = next(line for line in lines if first in line and "gone" not in line)
        return [*lines, line.replace(first, other)]

    rewrite(path, repeat)
    fault = only_fault(name, root)
    assert fault.kind == "mislabelled"
    assert repr(first) in fault.reason and repr(other) in fault.reason
    assert f"{path.name}:{len(path.read_text('utf-8').splitlines())}" in fault.reason


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("something_v1", "something-something-v1-validation.csv"),
        ("jester", "jester-v1-validation.csv"),
        ("ucf101", "ucfTrainTestlist/testlist01.txt"),
        ("kinetics400", "validate.csv"),
        ("hmdb51", "testTrainMulti_7030_splits/cartwheel_test_split1.txt"),
    ],
)
def test_one_video_in_two_splits(name: str, other: str, copy) -> None:
    root = copy(name)
    line = (root / TEXT_LISTS[name]).read_text("utf-8").splitlines()[1]
    if name == "hmdb51":
        line = line.replace(" 1", " 2")
    rewrite(root / other, lambda lines: [*lines, line])
    fault = only_fault(name, root)
    assert fault.kind == "mislabelled" and "in split" in fault.reason
    assert "'train'" in fault.reason and Path(other).name in fault.reason


def test_a_repeated_line_counts_once(copy) -> None:
    root = copy("jester")
    before = listing("jester", root)
    rewrite(root / TEXT_LISTS["jester"], lambda lines: [*lines, lines[0]])
    after = listing("jester", root)
    assert summary(after) == summary(before) and after.faults == ()
    assert any("repeated" in note for note in after.notes)


@pytest.mark.parametrize("name", [*TEXT_LISTS, "something_v2"])
def test_a_video_that_is_not_there(name: str, copy) -> None:
    root = copy(name)
    before = listing(name, root)
    gone = before.videos[0]
    shutil.rmtree(gone.path) if gone.path.is_dir() else gone.path.unlink()
    after = listing(name, root)
    assert summary(before) - summary(after) == {(gone.key, gone.class_name, gone.split)}
    if name == "kinetics400":
        assert after.faults == ()
        assert {fault.video for fault in after.absent} == {gone.key, "gone_since_1_000005_000015"}
        assert load_catalog(DataSource(name, root=str(root))).notes[-1].startswith("2 videos")
        return
    fault = only_fault(name, root)
    assert (fault.video, fault.kind) == (gone.key, "missing")
    place = "entry" if name == "something_v2" else ":"
    assert place in fault.reason and after.absent == ()


@pytest.mark.parametrize("name", [*TEXT_LISTS, "something_v2"])
def test_no_video_at_all_is_one_error(name: str, copy) -> None:
    root = copy(name)
    for video in listing(name, root).videos:
        shutil.rmtree(video.path) if video.path.is_dir() else video.path.unlink()
    with pytest.raises(ValueError, match=r"none of the \d+ videos of the lists") as caught:
        listing(name, root)
    assert "\n" not in str(caught.value) and str(root) in str(caught.value)


def test_names_with_spaces_and_accents_in_either_composition(copy) -> None:
    root = copy("ucf101")
    names = {"Archery": "Bögen schießen", "v_Archery_g02_c01": "mit Pfeil é 2"}
    for path in (root / "ucfTrainTestlist").iterdir():
        text = path.read_text("utf-8")
        for old, new in names.items():
            text = text.replace(old + "/", new + "/").replace(old + ".", new + ".")
        text = text.replace("1 Archery", "1 Bögen schießen")
        path.write_text(unicodedata.normalize("NFC", text), "utf-8")
    videos = root / "UCF-101/Archery"
    spelled = unicodedata.normalize("NFD", "mit Pfeil é 2.avi")
    (videos / "v_Archery_g02_c01.avi").rename(videos / spelled)
    videos.rename(videos.with_name(unicodedata.normalize("NFD", "Bögen schießen")))
    result = listing("ucf101", root)
    assert result.faults == () and len(result.videos) == 12
    assert any(video.key == "Bögen schießen/mit Pfeil é 2.avi" for video in result.videos)


def test_a_kinetics_list_with_another_header_is_refused(copy) -> None:
    root = copy("kinetics400")
    rewrite(root / "train.csv", lambda lines: ["path label", *lines[1:]])
    with pytest.raises(ValueError, match=r"train\.csv: its first line is 'path label'.*youtube_id"):
        listing("kinetics400", root)


def test_kinetics_times_that_are_no_seconds(copy) -> None:
    root = copy("kinetics400")
    rewrite(root / "train.csv", lambda lines: [*lines, "abseiling,abcdefghijk,soon,later,train"])
    fault = only_fault("kinetics400", root)
    assert fault.kind == "malformed" and "'soon'" in fault.reason


def test_ids_that_differ_in_case_are_two_kinetics_videos(copy) -> None:
    root = copy("kinetics400")
    rewrite(
        root / "train.csv",
        lambda lines: [line.replace("k000_00001", "K000_00001") for line in lines],
    )
    absent = [fault.video for fault in listing("kinetics400", root).absent]
    assert "_K000_00001_000007_000017" in absent
