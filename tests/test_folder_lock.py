"""One process at a time writes to a folder, and none that was killed keeps others out."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixtconv._folder_lock import LOCK, alone_in
from mixtconv.cli.main import main

HOLD = """
import multiprocessing, sys, time
from pathlib import Path
from mixtconv._folder_lock import alone_in
with alone_in(Path(sys.argv[1]), "train"):
    if sys.argv[2] == "fork":
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,)).start()
    print("held", flush=True)
    time.sleep(30)
"""


def _hold(folder: Path, how: str = "alone") -> "subprocess.Popen[str]":
    """Another process that holds the lock of a folder."""
    command = [sys.executable, "-c", HOLD, str(folder), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_another_process_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    before = time.strftime("%Y-%m-%d %H:")
    first = _hold(tmp_path)
    try:
        who = rf"process {first.pid} on {socket.gethostname()}, since {before}.*wait for it"
        with pytest.raises(ValueError, match=who), alone_in(tmp_path, "train"):
            pass
    finally:
        first.kill()
        first.communicate()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_killed_process_leaves_no_lock_though_its_fork_lives_on(tmp_path: Path) -> None:
    first = _hold(tmp_path, "fork")
    try:
        first.kill()
        first.wait()
        assert (tmp_path / LOCK).exists()
        for left in reversed(range(100)):  # until the fork has begun to run, and let go
            try:
                with alone_in(tmp_path, "train"):
                    assert f"process {os.getpid()} on" in (tmp_path / LOCK).read_text()
                break
            except ValueError:
                if not left:
                    raise
                time.sleep(0.1)
    finally:
        os.killpg(first.pid, signal.SIGKILL)  # the fork, which outlives the first one
    assert not (tmp_path / LOCK).exists()


def test_a_folder_is_left_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyError), alone_in(tmp_path / "new", "train"):
        raise KeyError
    with alone_in(tmp_path / "new" / "newer", "train"):
        pass
    assert list(tmp_path.iterdir()) == []
    with alone_in(tmp_path / "new", "train"):
        (tmp_path / "new" / "a").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="locks of other systems")
def test_where_there_are_no_locks_it_is_said_and_gone_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import fcntl

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with alone_in(tmp_path, "train"):
        pass
    assert f"{tmp_path} cannot be locked (No locks available)" in caplog.text


@pytest.mark.parametrize(
    "given", ["train", "train --resume", "ablate", "fit", "fit --resume", "prepare", "synthesize"]
)
def test_every_command_that_fills_a_folder_does_it_alone(
    given: str, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that is at work is not resumed either."""
    command, *flags = given.split()
    out = tmp_path / "out"
    words = {
        "train": ["--model", "mstnet_test_resnet", "--weights", "none", "--modality", "rgb"],
        "fit": ["--minutes", "1"],
    }
    data = [] if command == "synthesize" else [str(tiny_dataset)]
    name = ".mixtconv-prepared.lock" if command == "prepare" else LOCK
    with alone_in(out, command, name=name):
        status = main([command, *data, *flags, *words.get(command, []), "--out", str(out)])
        assert [path.name for path in out.iterdir()] == [name]
    error = capsys.readouterr().err
    assert status == 2 and f"another mixtconv {command} is at work there" in error, error
    assert len(error.splitlines()) == 1
