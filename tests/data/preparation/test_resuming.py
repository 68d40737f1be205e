"""Preparing in several runs: what is done stays done, and what has changed is done again."""

import errno
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from mixtconv._folder_lock import alone_in
from mixtconv.data.clips import read_frames
from mixtconv.data.datasets.scanning import list_videos
from mixtconv.data.journal import JOURNAL, read_journal
from mixtconv.data.preparation import run
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.data.preparation.output import LOCK
from mixtconv.data.preparation.run import prepare
from mixtconv.video.reader import probe_video

FORM = PreparedForm(short_side=32, crf=30)


@pytest.fixture
def encoded(monkeypatch):
    """The originals that are encoded, by name."""
    names = []
    given = run.WRITERS["h264"]

    def encode_video(source, *args, **options):
        names.append(source.name)
        return given(source, *args, **options)

    monkeypatch.setitem(run.WRITERS, "h264", encode_video)
    return names


def test_what_is_done_is_not_done_again(clips, tmp_path, encoded, folders):
    data = folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.avi", "m/c")
    prepare(data, out=tmp_path / "out", form=FORM)
    before = folders.states(tmp_path / "out")
    encoded.clear()
    assert folders.summary(prepare(data, out=tmp_path / "out", form=FORM)) == (0, 3, [])
    assert encoded == []
    after = folders.states(tmp_path / "out")
    assert {k: v for k, v in before.items() if k.suffix == ".mp4"}.items() <= after.items()
    # neither does moving the data, nor their copy with its times
    shutil.copytree(data, tmp_path / "moved")
    assert folders.summary(prepare(tmp_path / "moved", out=tmp_path / "out", form=FORM)) == (
        0,
        3,
        [],
    )


def change_content(data, out, clips):
    shutil.copyfile(clips[".avi"], data / "k/b.avi")


def change_time(data, out, clips):
    os.utime(data / "k/b.avi", ns=(1, 1))


def cut_prepared(data, out, clips):
    content = (out / "k/b.mp4").read_bytes()
    (out / "k/b.mp4").write_bytes(content[:-1])


def delete_prepared(data, out, clips):
    (out / "k/b.mp4").unlink()


def tear_journal(data, out, clips):
    lines = (out / JOURNAL).read_text().splitlines(keepends=True)
    torn = [
        line if '"k/b.mp4"' not in line else line[: len(line) // 2] + "\n[1]\n" for line in lines
    ]
    (out / JOURNAL).write_text("".join(torn))


@pytest.mark.parametrize(
    "fault", [change_content, change_time, cut_prepared, delete_prepared, tear_journal]
)
def test_what_has_changed_is_done_again(fault, clips, tmp_path, encoded, folders):
    data, out = (
        folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.avi", "m/c.mp4"),
        tmp_path / "out",
    )
    prepare(data, out=out, form=FORM)
    whole = folders.contents(out)
    encoded.clear()
    fault(data, out, clips)
    assert folders.summary(prepare(data, out=out, form=FORM)) == (1, 2, [])
    assert encoded == ["b.avi"]
    assert folders.contents(out) == whole
    assert read_journal(out).complete


@pytest.mark.parametrize("change", ["add", "remove", "rewrite", "rename"])
def test_a_changed_folder_of_pictures_is_done_again(change, clips, tmp_path, encoded, folders):
    data, out = folders.put(clips, tmp_path / "data", "k/a.mp4", "k/p"), tmp_path / "out"
    prepare(data, out=out, form=FORM)
    folder = data / "k/p"
    if change == "add":
        shutil.copyfile(folder / "4.png", folder / "5.png")
    elif change == "remove":
        (folder / "4.png").unlink()
    elif change == "rewrite":
        os.utime(folder / "2.png", ns=(7, 7))
    else:
        for number in (4, 3, 2, 1, 0):
            (folder / f"{number}.png").rename(folder / f"{number + 1}.png")
    encoded.clear()
    assert folders.summary(prepare(data, out=out, form=FORM)) == (1, 1, [])
    assert encoded == ["p"]


def test_other_settings_do_all_again(clips, tmp_path, folders):
    data, out = folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.avi"), tmp_path / "out"
    prepare(data, out=out, form=FORM)
    other = PreparedForm(short_side=16, crf=30)
    assert folders.summary(prepare(data, out=out, form=other)) == (2, 0, [])
    assert probe_video(out / "k/a.mp4").height == 16


def test_videos_whose_originals_are_gone_or_unreadable_are_kept(clips, tmp_path, folders):
    data, out = (
        folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.avi", "k/c.mp4"),
        tmp_path / "out",
    )
    prepare(data, out=out, form=FORM)
    (data / "k/a.mp4").unlink()
    (data / "k/b.avi").write_text("words")
    for _ in range(2):
        report = prepare(data, out=out, form=FORM)
        assert folders.summary(report) == (0, 1, ["b.avi"])
        (note,) = report.notes
        assert "1 prepared video" in note and "k/a.mp4" in note
        assert folders.names_in(out) == ["k/a.mp4", "k/b.mp4", "k/c.mp4"]
    shutil.copyfile(clips[".avi"], data / "k/b.avi")
    assert folders.summary(prepare(data, out=out, form=FORM)) == (1, 1, [])


def test_a_run_that_is_interrupted_leaves_whole_videos_and_is_gone_on_with(
    clips, tmp_path, folders
):
    data, out = (
        folders.put(clips, tmp_path / "data", *(f"k/{n}.avi" for n in range(12))),
        tmp_path / "out",
    )
    threads = threading.active_count()

    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(data, out=out, form=FORM, workers=2, progress=interrupt)
    assert threading.active_count() == threads
    assert not folders.unfinished(out)
    assert 3 <= len(folders.names_in(out)) < 12
    assert all(probe_video(out / name).num_frames == 20 for name in folders.names_in(out))
    (note,) = list_videos(out).notes
    assert "only partly prepared" in note
    report = prepare(data, out=out, form=FORM, workers=2)
    assert report.num_kept >= 3 and report.num_kept + report.num_prepared == 12
    assert list_videos(out).notes == ()


def test_an_interrupted_run_does_not_wait_for_long_videos(clips, tmp_path, monkeypatch, folders):
    data = folders.put(clips, tmp_path / "data", "k/0.mp4", "k/1.mp4", "k/2.mp4")
    given = run.WRITERS["h264"]

    def long(source, target, form, *, is_stopped):
        deadline = time.monotonic() + 20
        while source.name != "0.mp4" and not is_stopped():
            assert time.monotonic() < deadline, "was not told to stop"
            time.sleep(0.01)
        return given(source, target, form, is_stopped=is_stopped)

    def interrupt(done, total):
        raise KeyboardInterrupt

    monkeypatch.setitem(run.WRITERS, "h264", long)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        prepare(data, out=tmp_path / "out", form=FORM, workers=2, progress=interrupt)
    assert time.monotonic() - start < 10
    assert folders.names_in(tmp_path / "out") == ["k/0.mp4"]


def test_a_run_that_is_killed_leaves_whole_videos_and_is_gone_on_with(media, tmp_path, folders):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    media.encode(tmp_path / "a.mp4", media.moving_frames(60, height=128, width=192))
    for number in range(40):
        (data / f"c{number % 2}").mkdir(exist_ok=True)
        shutil.copyfile(tmp_path / "a.mp4", data / f"c{number % 2}" / f"{number}.mp4")
    command = [sys.executable, "-m", "mixtconv", "prepare", str(data), "--out", str(out)]
    process = subprocess.Popen([*command, "--workers", "3"])
    deadline = time.monotonic() + 60
    while len(list(out.rglob("c?/*.mp4"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    done = folders.names_in(out)
    assert 4 <= len(done) < 40
    for name in done:
        assert read_frames(out / name, [0, 59]).shape == (2, 3, 128, 192)
    journal = read_journal(out)
    assert not journal.complete and set(journal.videos) <= set(done)
    report = prepare(data, out=out)
    assert report.num_kept == len(journal.videos) > 0
    assert report.num_kept + report.num_prepared == 40
    assert not folders.unfinished(out) and read_journal(out).complete
    assert len({(out / name).read_bytes() for name in folders.names_in(out)}) == 1


@pytest.mark.parametrize(
    "left",
    [
        [],
        [".mixtconv-prepared.lock", ".mixtconv-prepared.jsonl.1.part"],
        [".mixtconv-prepared.lock", ".mixtconv-prepared.jsonl.part"],  # of an earlier version
    ],
)
def test_a_run_that_is_killed_at_once_is_gone_on_with(left, clips, tmp_path, folders):
    data, out = folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.avi"), tmp_path / "out"
    out.mkdir()
    for name in left:
        (out / name).write_text('{"format"')
    assert folders.summary(prepare(data, out=out, form=FORM)) == (2, 0, [])
    assert not (out / ".mixtconv-prepared.jsonl.1.part").exists()


def test_the_journal_is_there_before_any_other_file_or_folder(
    clips, tmp_path, monkeypatch, folders
):
    data, out = folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.avi"), tmp_path / "out"

    def killed(*args, **options):
        assert all(entry.name.startswith(".mixtconv-prepared") for entry in out.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "write_journal", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(data, out=out, form=FORM)


def test_a_full_disk_ends_a_run_in_one_line_and_it_is_gone_on_with(clips, tmp_path, media, folders):
    data, out = folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.mp4"), tmp_path / "out"
    media.encode(data / "k/large.mp4", media.moving_frames(60, height=128, width=192))
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "from mixtconv.cli.main import main\n"
        f"sys.exit(main(['prepare', {str(data)!r}, '--out', {str(out)!r}, '--workers', '1']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("mixtconv prepare: File too large: ")
    assert len(done.stderr.splitlines()) == 1 and done.stdout == ""
    assert folders.names_in(out) == ["k/a.mp4", "k/b.mp4"] and not folders.unfinished(out)
    assert folders.summary(prepare(data, out=out)) == (1, 2, [])


def test_a_disk_that_fails_ends_a_run_at_once(clips, tmp_path, monkeypatch, folders):
    data = folders.put(clips, tmp_path / "data", *(f"k/{number}.mp4" for number in range(30)))
    tried = []

    def no_space(source, target, form, *, is_stopped):
        tried.append(source)
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setitem(run.WRITERS, "h264", no_space)
    with pytest.raises(OSError, match="No space left"):
        prepare(data, out=tmp_path / "out", form=FORM, workers=2)
    assert len(tried) <= 5


def test_one_run_at_a_time(clips, tmp_path, folders):
    data, out = folders.put(clips, tmp_path / "data", "k/a.mp4", "k/b.avi"), tmp_path / "out"
    out.mkdir()
    with (
        alone_in(out, "prepare", name=LOCK),
        pytest.raises(ValueError, match="another mixtconv prepare is at work"),
    ):
        prepare(data, out=out, form=FORM)
    assert folders.summary(prepare(data, out=out, form=FORM)) == (2, 0, [])
