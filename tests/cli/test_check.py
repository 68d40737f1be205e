"""`mixtconv check`: what it prints and how it ends."""

import json
import os
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.cli.main import main
from mixtconv.data.checking import run


@pytest.fixture
def data(tmp_path: Path, media: ModuleType) -> Path:
    for seed, name in enumerate(("jump", "run")):
        (tmp_path / "data" / name).mkdir(parents=True)
        media.encode(tmp_path / "data" / name / "a.mp4", media.moving_frames(6, seed=seed))
    return tmp_path / "data"


def test_the_exit_status_says_whether_a_fault_was_found(data: Path, capsys) -> None:
    assert main(["check", str(data)]) == 0
    captured = capsys.readouterr()
    assert "none" in captured.out and captured.err == ""
    assert main(["check", str(data), "--min-frames", "7", "--quick"]) == 1
    assert "2 short" in capsys.readouterr().out
    assert main(["check", str(data / "nothing")]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1


def test_json_goes_to_standard_output_alone_one_row_a_fault(data: Path, capsys) -> None:
    (data / "run" / "b.mp4").touch()
    (data / "run" / "notes.txt").touch()
    assert main(["check", str(data), "--format", "json", "--workers", "1"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["num_videos"], report["num_frames"], report["num_faults"]) == (3, 12, 1)
    assert report["counts"] == {"unreadable": 1}
    assert report["faults"] == [
        {
            "kind": "unreadable",
            "video": "run/b.mp4",
            "path": str(data / "run" / "b.mp4"),
            "split": None,
            "label": "run",
            "reason": "the file is empty (0 bytes)",
            "file": None,
            "line": None,
        }
    ]
    assert report["unused"] == [str(data / "run" / "notes.txt")]


def test_the_table_names_every_fault_and_what_is_not_used(data: Path, capsys) -> None:
    (data / "run" / "[b].mp4").touch()
    (data / "run" / "notes.txt").touch()
    assert main(["check", str(data)]) == 1
    captured = capsys.readouterr()
    assert "[b].mp4" in captured.out and "0 bytes" in captured.out
    assert "1 unreadable" in captured.out and "notes.txt" in captured.err


def test_absent_kinetics_videos_are_named_and_no_fault(
    tmp_path: Path, miniature: ModuleType, capsys
) -> None:
    root = miniature.make_miniature("kinetics400", tmp_path / "k", num_frames=2)
    assert main(["check", "kinetics400", "--root", str(root)]) == 0
    captured = capsys.readouterr()
    assert "gone_since_1_000005_000015" in captured.err and "no fault" in captured.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_it_stops_at_once_on_ctrl_c(tmp_path: Path, launchers: ModuleType) -> None:
    folder = tmp_path / "many" / "a"
    folder.mkdir(parents=True)
    for number in range(2000):
        (folder / f"{number}.mp4").touch()
    calls = 0

    def check_video(video: object) -> run.CheckedVideo:
        nonlocal calls
        calls += 1
        if calls == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return run.CheckedVideo(1)

    def check() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which pytest's workers ignore
        run.check_video = check_video
        status = main(["check", str(tmp_path / "many"), "--workers", "1"])
        assert calls < 100
        sys.exit(status)

    assert launchers.forked(check) == (130, "mixtconv check: stopped\n")
