"""Preparing whole datasets: places and names, labels and splits, runs that stop and go on."""

import csv
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.datasets.scanning import list_videos
from mixtconv.data.journal import JOURNAL, read_journal
from mixtconv.data.listing import DataSource
from mixtconv.data.preparation import run
from mixtconv.data.preparation.form import PreparedForm, plan_videos
from mixtconv.data.preparation.run import prepare
from mixtconv.training.plan import fingerprint
from mixtconv.video.reader import probe_video

FORM = PreparedForm(short_side=32, crf=30)


# Places, labels, splits


def test_a_folder_keeps_its_layout_and_the_originals_stay(clips, tmp_path, folders):
    names = ["train/run/a.avi", "train/walk/b.mp4", "train/walk/c", "Val/run/d.mp4"]
    data = folders.put(clips, tmp_path / "data", *names)
    before = folders.states(data)
    report = prepare(data, out=tmp_path / "out", form=FORM, workers=1)
    assert folders.states(data) == before
    assert folders.summary(report) == (4, 0, []) and report.data == tmp_path / "out"
    assert folders.names_in(tmp_path / "out") == [
        "Val/run/d.mp4",
        "train/run/a.mp4",
        "train/walk/b.mp4",
        "train/walk/c.mp4",
    ]
    original, prepared = load_catalog(data), load_catalog(report.data)
    assert prepared.classes == original.classes and prepared.notes == original.notes == ()
    for split in ("train", "val"):
        pairs = list(zip(getattr(original, split), getattr(prepared, split), strict=True))
        assert pairs and all(a.label == b.label and a.path.stem == b.path.stem for a, b in pairs)
        for a, b in pairs:
            assert probe_video(b.path).num_frames == probe_video(a.path).num_frames
    assert report.bytes_after == sum(map(len, folders.contents(tmp_path / "out").values()))


def test_the_same_videos_are_held_out(clips, tmp_path, folders):
    names = [f"{c}/{n}{s}" for c in "ab" for n in range(12) for s in (".avi", ".mp4", "p")]
    data = folders.put(clips, tmp_path / "data", *names)
    report = prepare(data, out=tmp_path / "out", form=FORM)
    original = [v.path.name for v in load_catalog(data).val]
    prepared = {
        v.path.relative_to(report.data).as_posix(): v.path for v in load_catalog(report.data).val
    }
    journal = read_journal(tmp_path / "out")
    assert sorted(Path(journal.videos[name].source).name for name in prepared) == sorted(original)
    (tmp_path / "out" / JOURNAL).unlink()  # without it, names with another suffix go elsewhere
    assert {v.path for v in load_catalog(report.data).val} != set(prepared.values())


@pytest.mark.parametrize("with_split", [True, False])
def test_a_csv_gets_a_csv_of_the_same_labels_and_splits(with_split, clips, tmp_path, folders):
    data = tmp_path / "data"
    names = [f"clips/{n}{s}" for n in range(10) for s in (".avi", ".mp4")]
    folders.put(clips, data, *names, "clips/x, y.mp4")
    rows = [
        [name, f"class {number % 2}", "val" if number % 5 == 0 else "train"]
        for number, name in enumerate([*names, "clips/x, y.mp4"])
    ]
    columns = ["video", "class", "split"] if with_split else ["video", "class"]
    with (data / "list.txt").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *[row[: len(columns)] for row in rows]])
    report = prepare(data / "list.txt", out=tmp_path / "out", form=FORM, workers=2)
    assert report.data == tmp_path / "out" / "list.csv"
    original, prepared = load_catalog(data / "list.txt"), load_catalog(report.data)
    assert prepared.classes == original.classes and prepared.split_rule == original.split_rule
    lengths = {clips[".mp4"].suffix: 9, clips[".avi"].suffix: 20}
    for split in ("train", "val"):
        pairs = list(zip(getattr(original, split), getattr(prepared, split), strict=True))
        assert pairs
        for a, b in pairs:
            assert a.label == b.label
            assert probe_video(b.path).num_frames == lengths[a.path.suffix]
    assert "clips/x, y.mp4" in folders.names_in(tmp_path / "out")


@pytest.mark.parametrize("group", [None, "who", r"(\d)\.avi"])
def test_groups_of_a_csv_stay_together_in_the_copy(group, clips, tmp_path, folders):
    data = tmp_path / "data"
    names = [f"{number}.avi" for number in range(8)]
    folders.put(clips, data, *names)
    column = "session" if group is None else "who"
    rows = [[name, f"class {number % 2}", number // 2] for number, name in enumerate(names)]
    rows[0][2] = ""
    with (data / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", column], *rows])
    source = DataSource(str(data / "list.csv"), group=group)
    report = prepare(source, out=tmp_path / "out", form=FORM, workers=2)
    original = load_catalog(source)
    again = load_catalog(DataSource(str(report.data), group=group))
    for split in ("train", "val"):
        pairs = zip(getattr(original, split), getattr(again, split), strict=True)
        assert all((a.path.stem, a.group) == (b.path.stem, b.group) for a, b in pairs)


def test_videos_of_a_csv_may_lie_anywhere(clips, tmp_path, folders):
    folders.put(clips, tmp_path / "one", "a/1.mp4", "b/1.mp4")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "all.csv").write_text(
        f"path,label\n../one/a/1.mp4,a\n{tmp_path}/one/b/1.mp4,b\n"
    )
    report = prepare(tmp_path / "lists" / "all.csv", out=tmp_path / "out", form=FORM)
    assert folders.names_in(tmp_path / "out") == ["a/1.mp4", "all.csv", "b/1.mp4"]
    assert [v.class_name for v in list_videos(report.data).videos] == ["a", "b"]


def test_names_do_not_collide(clips, tmp_path, folders):
    data = folders.put(
        clips, tmp_path / "data", "k/a.avi", "k/a.mp4", "k/A", "k/b.avi", "k/B", "k/c.avi.mp4"
    )
    targets = {item.name: item.target for item in plan_videos(list_videos(data))}
    assert targets["k/a.mp4"] == "k/a.mp4"
    assert targets["k/a.avi"] == "k/a.avi.mp4"
    assert len({target.casefold() for target in targets.values()}) == len(targets) == 6
    report = prepare(data, out=tmp_path / "out", form=FORM)
    assert folders.names_in(tmp_path / "out") == sorted(targets.values())
    assert report.num_prepared == 6
    for name, frames in (("k/a.mp4", 9), ("k/a.avi.mp4", 20), (targets["k/A"], 5)):
        assert probe_video(tmp_path / "out" / name).num_frames == frames


def test_adding_a_video_moves_none(clips, tmp_path, folders):
    data = folders.put(clips, tmp_path / "data", "k/a.avi", "k/b.mp4")
    before = {item.name: item.target for item in plan_videos(list_videos(data))}
    folders.put(clips, data, "k/b.avi", "k/a", "k/c.mp4")
    after = {item.name: item.target for item in plan_videos(list_videos(data))}
    assert before == {"k/a.avi": "k/a.mp4", "k/b.mp4": "k/b.mp4"}
    assert after["k/b.mp4"] == before["k/b.mp4"]


def test_dots_in_names_of_folders_of_pictures_are_no_suffixes(clips, tmp_path, folders):
    folders.put(clips, tmp_path / "data", "k/v1")
    (tmp_path / "data/k/v1").rename(tmp_path / "data/k/v1.5")
    (item,) = plan_videos(list_videos(tmp_path / "data"))
    assert item.target == "k/v1.5.mp4"


def test_what_cannot_be_read_is_named_and_the_rest_is_done(clips, tmp_path, folders):
    data = folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.avi", "k/pictures", "k/sound.mp4")
    (data / "k/empty.mp4").write_bytes(b"")
    (data / "k/words.avi").write_text("no video" * 99)
    (data / "k/pictures/3.png").write_text("no picture")
    (data / "k/notes.txt").write_text("not taken")
    report = prepare(data, out=tmp_path / "out", form=FORM, workers=3)
    assert folders.summary(report) == (3, 0, ["empty.mp4", "pictures", "words.avi"])
    reasons = {video.path.name: video.reason for video in report.unreadable}
    assert "0 bytes" in reasons["empty.mp4"] and reasons["pictures"].startswith("3.png: ")
    assert [path.name for path in report.ignored] == ["notes.txt"]
    assert folders.names_in(tmp_path / "out") == ["k/a.mp4", "k/b.mp4", "k/sound.mp4"]
    assert not folders.unfinished(tmp_path / "out")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_what_may_not_be_read_is_named(clips, tmp_path, folders):
    data = folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.avi")
    (data / "k/a.mp4").chmod(0)
    report = prepare(data, out=tmp_path / "out", form=FORM)
    assert folders.summary(report) == (1, 0, ["a.mp4"])
    assert "Permission denied" in report.unreadable[0].reason


def test_in_parallel_the_same_is_written(clips, tmp_path, folders):
    names = [f"{c}/{n}{s}" for c in "ab" for n in range(5) for s in (".avi", ".mp4")]
    data = folders.put(clips, tmp_path / "data", *names)
    (data / "a/bad.mp4").write_text("bad")
    calls = []
    reports = [
        prepare(
            data, out=tmp_path / str(workers), form=FORM, workers=workers,
            progress=lambda done, total: calls.append((done, total)),
        )
        for workers in (1, 4)
    ]  # fmt: skip
    assert folders.contents(tmp_path / "1") == folders.contents(tmp_path / "4")
    assert (tmp_path / "1" / JOURNAL).read_bytes() == (tmp_path / "4" / JOURNAL).read_bytes()
    assert calls == 2 * [(number, 21) for number in range(1, 22)]
    assert reports[0].unreadable == reports[1].unreadable


# What is refused


@pytest.fixture
def refusal(folders):
    """The message of a refusal, which changes nothing on the disk."""

    def refuse(data, out, **options):
        root = data.parent
        before = folders.states(root)
        with pytest.raises(ValueError) as caught:
            prepare(data, out=out, form=FORM, **options)
        assert folders.states(root) == before
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refuse


def test_the_data_themselves_are_no_place_to_write_to(clips, tmp_path, folders, refusal):
    data = folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.avi")
    (tmp_path / "link").symlink_to(data)
    for out in (data, data / "k", data / "prepared", tmp_path / "link", tmp_path / "link" / "x"):
        assert "where its videos would count as more" in refusal(data, out)
        assert not (data / "prepared").exists()


def test_no_original_is_written_over(clips, tmp_path, folders, refusal):
    folders.put(clips, tmp_path / "clips", "a.mp4", "b.avi")
    listing = tmp_path / "lists" / "l.csv"
    listing.parent.mkdir()
    listing.write_text("path,label\n../clips/a.mp4,x\n../clips/b.avi,y\n")
    assert "is an original" in refusal(listing, tmp_path / "clips")
    (tmp_path / "link").symlink_to(tmp_path / "clips")
    assert "is an original" in refusal(listing, tmp_path / "link")
    assert "is an original" in refusal(listing, tmp_path / "lists")


def test_a_folder_of_something_else_is_no_place_to_write_to(clips, tmp_path, folders, refusal):
    data = folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.avi")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    assert "holds something else" in refusal(data, tmp_path / "full")
    assert "is a file" in refusal(data, tmp_path / "full" / "thesis.txt")
    for text in ("", "mine too", "[1]", '{"format": "mine"}'):
        (tmp_path / "full" / JOURNAL).write_text(text)
        assert "not a journal" in refusal(data, tmp_path / "full")
    assert "--workers is 0" in refusal(data, tmp_path / "out", workers=0)
    other = folders.put(clips, tmp_path / "other", "q/z.mp4")
    prepare(other, out=tmp_path / "out", form=FORM)
    assert "of other data (q/z.mp4)" in refusal(data, tmp_path / "out")


def test_the_journal_is_json_lines(clips, tmp_path, folders):
    data = folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.avi")
    prepare(data, out=tmp_path / "out", form=FORM)
    head, *entries = map(json.loads, (tmp_path / "out" / JOURNAL).read_text().splitlines())
    assert head == {"format": "mixtconv prepared videos", "complete": True}
    assert [(e["target"], e["key"], e["num_frames"]) for e in entries] == [
        ("k/a.mp4", "k/a.mp4", 9),
        ("k/b.mp4", "k/b.avi", 20),
    ]


def test_prepared_data_may_be_prepared_again(clips, tmp_path, folders):
    names = [f"k/{number}.avi" for number in range(12)] + ["m/1.mp4", "m/2.mp4"]
    data = folders.put(clips, tmp_path / "data", *names)
    once = prepare(data, out=tmp_path / "once", form=FORM).data
    twice = prepare(once, out=tmp_path / "twice", form=PreparedForm(short_side=16)).data
    held_out = [[sample.path.stem for sample in load_catalog(d).val] for d in (data, once, twice)]
    assert held_out[0] == held_out[1] == held_out[2]
    assert np.all([probe_video(twice / name).height == 16 for name in folders.names_in(twice)])


@pytest.mark.parametrize("jpeg", [False, True])
def test_names_of_the_greatest_length_are_prepared(jpeg, clips, tmp_path, folders):
    names = [f"{'x' * 251}.avi", f"{'é' * 125}a.avi", f"{'y' * 246}.mp4", "w" * 255, "short.mp4"]
    twins = [f"{'z' * 251}.avi", f"{'z' * 251}.mp4"]
    data = folders.put(clips, tmp_path / "data", *(f"a/{name}" for name in names + twins))
    form = PreparedForm(short_side=32, crf=30, jpeg=jpeg)
    report = prepare(data, out=tmp_path / "out", form=form)
    assert folders.summary(report) == (7, 0, [])
    assert folders.summary(prepare(data, out=tmp_path / "out", form=form)) == (0, 7, [])
    assert not folders.unfinished(tmp_path / "out")
    original, prepared = list_videos(data), list_videos(tmp_path / "out")
    assert {video.key for video in original.videos} == {video.key for video in prepared.videos}
    kept = [video.path.name for video in prepared.videos if "~" not in video.path.name]
    expected = [Path(name).stem for name in names[:3]] + ["short", "z" * 251]
    assert {Path(name).stem for name in kept} >= set(expected)
    assert all(len(os.fsencode(video.path.name)) <= 255 for video in prepared.videos)


def test_a_name_that_the_file_system_refuses_is_named_and_the_rest_is_done(
    clips, tmp_path, folders, monkeypatch
):
    data = folders.put(clips, tmp_path / "data", "a/long.mp4", "a/b.avi")
    write = run.WRITERS["h264"]

    def refuse(source, target, *args, **options):
        if target.name == "long.mp4":
            raise OSError(errno.ENAMETOOLONG, "File name too long", str(target))
        return write(source, target, *args, **options)

    monkeypatch.setitem(run.WRITERS, "h264", refuse)
    report = prepare(data, out=tmp_path / "out", form=FORM)
    assert folders.summary(report) == (1, 0, ["long.mp4"])
    assert "longer than the folder's file system allows" in report.unreadable[0].reason


# Names of other encodings, labels that are numbers


def test_names_that_are_not_utf8_are_prepared_and_listed_by_their_bytes(clips, tmp_path, folders):
    """As unpacked from an archive in Latin-1; the list is one of bytes, as `ls` writes it."""
    names = [f"d\udce9/caf\udce9 {number}.mp4" for number in range(4)]
    data = folders.put(clips, tmp_path / "data", *names)
    path = data / "list.csv"
    lines = ["path,label", *(f"{name},{i % 2}" for i, name in enumerate(names))]
    path.write_bytes(b"\n".join(os.fsencode(line) for line in lines))
    report = prepare(path, out=tmp_path / "out", form=FORM, workers=1)
    assert folders.summary(report) == (4, 0, [])
    assert report.data.read_bytes().splitlines()[1] == b"d\xe9/caf\xe9 0.mp4,0,d\xe9/caf\xe9 0.mp4"
    original, prepared = load_catalog(path), load_catalog(report.data)
    assert [sample.path.name for sample in prepared.val] == [s.path.name for s in original.val]
    assert len(fingerprint(prepared)) == 64
    again = prepare(path, out=tmp_path / "out", form=FORM, workers=1)
    assert folders.summary(again) == (0, 4, [])


def test_a_prepared_list_says_that_its_numbers_are_names(clips, tmp_path, folders):
    """Else classes 1 and 2 of a model with classes 1, 2 and 3 could be read as 2 and 3."""
    data = folders.put(clips, tmp_path / "data", "a.mp4", "b.mp4")
    (data / "list.csv").write_text("a.mp4,1\nb.mp4,2\n")
    report = prepare(data / "list.csv", out=tmp_path / "out", form=FORM, workers=1)
    listing = list_videos(report.data, classes=["1", "2", "3"])
    assert [video.class_name for video in listing.videos] == ["1", "2"]
