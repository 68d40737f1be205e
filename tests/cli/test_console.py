"""Names of files, classes and columns are shown as they are, but control no terminal."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.cli import console
from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import print_result, print_table, set_up_logging
from mixtconv.cli.main import main

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj\udce9\nb\tc"
HARMLESS = r"a\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj\xe9\nb\tc"
"""The same as Python's literals write it; of a byte that is not UTF-8, the byte."""

WELCOME = "café 跳跃 👩\u200d🚒 [red] $x^ سلام"


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(("name", "shown"), [(HOSTILE, HARMLESS), (WELCOME, WELCOME)])
def test_tables_show_names_harmlessly(
    name: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table([name, "x"], [[name, 1.0], ["b", 2.0]], title=name)
    out = capsys.readouterr().out
    assert out.count(shown) == 3
    assert not set(out) & {"\x1b", "\x07", "\x9b", "\u202e", "\t"}


@pytest.mark.parametrize(("name", "shown"), [(HOSTILE, HARMLESS), (WELCOME, WELCOME)])
def test_messages_show_names_harmlessly_in_one_line(
    name: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging()
    logging.getLogger("mixtconv.data").info("not taken: %s", name)
    print_result(Result({}, [], [f"note on {name}"]), "table")
    assert capsys.readouterr().err == f"not taken: {shown}\nnote on {shown}\n"


def test_tracebacks_keep_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    try:
        raise RuntimeError("at \x1b[2J")
    except RuntimeError:
        logging.getLogger("mixtconv").exception("failed")
    err = capsys.readouterr().err
    assert err.startswith("failed\nTraceback (most recent call last):\n")
    assert err.endswith("RuntimeError: at \\x1b[2J\n")


def test_json_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(["name"], [[HOSTILE]])
    print_result(Result({"name": HOSTILE, WELCOME: 1}, [table]), "json")
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": HOSTILE, WELCOME: 1} and out.isascii()


def test_errors_show_names_harmlessly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "a\x1b[2J\u202eb")]) == 2
    err = capsys.readouterr().err
    assert r"a\x1b[2J\u202eb" in err and "\x1b" not in err and err.count("\n") == 1


def test_a_check_of_hostile_names_ends_well_in_an_encoding_without_them(
    launchers: ModuleType, tmp_path: Path
) -> None:
    """In a process of its own, whose standard output is a file of bytes."""
    folder = tmp_path / "clips" / "\x1b[31mjump 跳"
    folder.mkdir(parents=True)
    (folder / "caf\udce9\n.mp4").touch()

    def speak_ascii() -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding="ascii", errors="strict")

    status, out, errors = launchers.alone(["check", "clips"], tmp_path, before=speak_ascii)
    assert (status, errors) == (1, "") and out.isascii()
    assert r"\x1b[31mjump \u8df3/caf\xe9\n.mp4" in " ".join(out.split())


def test_messages_can_be_more_less_and_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clips" / "jump").mkdir(parents=True)
    (tmp_path / "clips" / "jump" / "a.mp4").write_bytes(b"no video")
    (tmp_path / "clips" / "notes.txt").touch()
    log = tmp_path / "log.txt"
    words = ["check", str(tmp_path / "clips")]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert main([*words, "-q", "--log-file", str(log)]) == 1
    quiet = capsys.readouterr()
    assert quiet.out == shown.out
    assert set(quiet.err.splitlines()) <= set(shown.err.splitlines())
    lines = [line.split(" ", 3) for line in log.read_text().splitlines()]
    assert [line[3] for line in lines] == shown.err.splitlines()
    assert {line[2] for line in lines} <= {"INFO", "WARNING"}
    with pytest.raises(ValueError, match="--verbose shows more and --quiet less"):
        main([*words, "-q", "-v"])
    assert main([*words, "--log-file"]) == 2
    assert main([*words, "--log-file", str(tmp_path)]) == 2
    assert "this is a folder" in capsys.readouterr().err
    with pytest.raises(ValueError, match="neither a folder nor a file"):
        main(["check", str(tmp_path / "gone"), "-v"])


def test_without_a_terminal_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_logging()
    now = 0.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    with console.progress("reading") as show:
        for done in range(1, 5):
            now += 40
            show(done, 4)
    assert capsys.readouterr().err.splitlines() == ["reading: 2 of 4", "reading: 4 of 4"]
