"""Files and folders are there whole or not at all, whatever happens while they are written."""

import errno
import os
import time
from pathlib import Path

import pytest

from mixtconv._atomic_write import (
    hidden_folder,
    put_in_place,
    refuse_unwritable,
    remove_leftovers,
    write_atomically,
    written_whole,
)


def _contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _write_file(path: Path, text: str) -> None:
    path.write_text(text)


def _write_folder(path: Path, text: str) -> None:
    path.mkdir()
    (path / text).write_text(text)


@pytest.mark.parametrize("write", [_write_file, _write_folder])
def test_what_is_written_is_seen_under_its_name_only_at_the_end(write, tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", "earlier")
    before = _contents(tmp_path)
    with written_whole(tmp_path / "a.mp4") as path:
        assert path.parent == tmp_path and path.name.startswith(".") and not path.exists()
        write(path, "new")
        assert before.items() <= _contents(tmp_path).items()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]
    assert list(_contents(tmp_path).values()) == ["new"]


@pytest.mark.parametrize("write", [_write_file, _write_folder])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_what_was_there_stays_where_writing_fails(write, error, tmp_path: Path) -> None:
    write(tmp_path / "a", "earlier")
    before = _contents(tmp_path)
    with pytest.raises(type(error)), written_whole(tmp_path / "a") as path:
        write(path, "new")
        raise error
    assert _contents(tmp_path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("left", ["file", "folder"])
def test_what_a_killed_process_left_is_removed(left: str, tmp_path: Path) -> None:
    leftover = tmp_path / ".a.part"
    if left == "file":
        leftover.write_text("half of it")
    else:
        (leftover / "a").mkdir(parents=True)
    with written_whole(tmp_path / "a") as path:
        path.write_text("all of it")
    assert _contents(tmp_path) == {"a": "all of it"} and not leftover.exists()


def test_several_files_are_moved_the_one_that_names_them_last(tmp_path: Path, monkeypatch) -> None:
    moved = []
    replace = Path.replace

    def watch(path: Path, target: Path) -> Path:
        moved.append(target.name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", watch)
    path = tmp_path / "a.model"
    with hidden_folder(path) as folder:
        for name in ("z.bin", "a.model", "b.bin"):
            (folder / name).write_text(name)
        put_in_place(folder, path)
    assert sorted(moved) == ["a.model", "b.bin", "z.bin"] and moved[-1] == "a.model"
    assert sorted(_contents(tmp_path)) == sorted(moved)


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kept").write_text("kept")
    with pytest.raises(OSError), written_whole(tmp_path / "a") as path:
        path.write_text("new")
    with pytest.raises(OSError, match="is a folder"):
        refuse_unwritable(tmp_path / "a")
    with pytest.raises(OSError):
        write_atomically(tmp_path / "a", b"new")
    assert _contents(tmp_path) == {"a/kept": "kept"}


@pytest.mark.parametrize("write", [written_whole, write_atomically])
def test_what_does_not_reach_the_disk_does_not_get_its_name(
    write, tmp_path: Path, monkeypatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "a").write_text("earlier")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        if write is write_atomically:
            write_atomically(tmp_path / "a", b"new")
        else:
            with written_whole(tmp_path / "a") as path:
                path.write_text("new")
    assert _contents(tmp_path) == {"a": "earlier"}


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "x" * 101 + ".mp4"])
def test_hidden_names_of_long_names_are_shorter(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    refuse_unwritable(path)
    write_atomically(path, b"earlier")
    for write in (_write_file, _write_file):
        with written_whole(path) as unfinished:
            assert len(os.fsencode(unfinished.name)) < len(os.fsencode(name))
            write(unfinished, "new")
    with hidden_folder(path) as folder:
        (folder / name).write_text("newest")
        put_in_place(folder, path)
    assert _contents(tmp_path) == {name: "newest"}
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_hidden_names_of_different_long_names_differ(tmp_path: Path) -> None:
    with written_whole(tmp_path / ("x" * 254 + "a")) as first:
        with written_whole(tmp_path / ("x" * 254 + "b")) as second:
            assert first != second
            second.touch()
        first.touch()


def test_what_a_killed_process_left_is_removed_once_nobody_can_be_writing_it(
    tmp_path: Path,
) -> None:
    old, new, other = (tmp_path / name for name in (".a[1].7.part", ".a[1].x.part", ".a1.7.part"))
    for path in (old, new, other):
        path.touch()
    os.utime(old, (time.time() - 100, time.time() - 100))
    remove_leftovers(tmp_path / "a[1]", seconds=50)
    assert not old.exists() and new.exists() and other.exists()
    remove_leftovers(tmp_path / "a[1]")
    assert not new.exists() and other.exists()


def test_a_folder_takes_the_place_of_an_earlier_one_with_all_that_is_in_it(tmp_path: Path) -> None:
    _write_folder(tmp_path / "a.package", "earlier")
    (tmp_path / "a.package" / "more").mkdir()
    with hidden_folder(tmp_path / "a.package") as folder:
        _write_folder(folder / "a.package", "new")
        put_in_place(folder, tmp_path / "a.package")
    assert _contents(tmp_path) == {"a.package/new": "new"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.package"]
