"""Where nothing can be written, every command says so before it reads anything."""

import sys
from pathlib import Path

import pytest

from mixtconv._atomic_write import refuse_place
from mixtconv._folder_lock import alone_in
from mixtconv.cli.arguments import make_parser, setting_kinds
from mixtconv.cli.commands import COMMANDS, find_command, find_subjects
from mixtconv.cli.main import main
from mixtconv.cli.outputs import FILL_FOLDERS, OUTPUTS, refuse_outputs

GIVEN = {"--to": "onnx"}
"""Values of needed flags that are not free."""


def _outputs() -> list[tuple[str, str]]:
    """Each command with each flag by which it writes, as `visualize kernels` and `out`."""
    found = []
    for name in COMMANDS:
        for subject in find_subjects(name) or [""]:
            words = [name, subject] if subject else [name]
            kinds = setting_kinds(find_command(name, words[1:])[0])
            found += [
                (" ".join(words), each)
                for each in OUTPUTS
                if each == "log_file" or kinds.get(each) in (str, str | None)
            ]
    return found


def _words(command: str) -> list[str]:
    """A command line that is complete, of a model and data that do not exist."""
    name, *subject = command.split()
    function, program, _ = find_command(name, subject)
    words = [name, *subject]
    for action in make_parser(function, program=program)._actions:
        if action.required and not action.option_strings:
            words.append("op" if name == "bench" else "bash" if name == "completion" else "nowhere")
        elif action.required and action.dest != "out":
            words += [action.option_strings[0], GIVEN.get(action.option_strings[0], "nowhere")]
    return words


def _needs_out(command: str) -> bool:
    name, *subject = command.split()
    function, program, _ = find_command(name, subject)
    actions = make_parser(function, program=program)._actions
    return any(each.dest == "out" and each.required for each in actions)


@pytest.mark.parametrize("place", ["below a file", "of the other kind", "where nothing may be"])
@pytest.mark.parametrize(("command", "setting"), _outputs())
def test_a_place_where_nothing_can_be_written_is_refused_first(
    command: str,
    setting: str,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.csv").touch()
    Path("folder.csv").mkdir()
    is_folder = setting == "cache" or (setting == "out" and command in FILL_FOLDERS)
    out, says = {
        "below a file": ("file.csv/a/b.csv", "file.csv is a file, no folder can be there"),
        "of the other kind": (
            ("file.csv", "this is a file, name a folder")
            if is_folder
            else ("folder.csv", "this is a folder, name a file in it")
        ),
        "where nothing may be": ("/proc/a/b.csv", "nothing can be written in /proc"),
    }[place]
    if out.startswith("/proc") and sys.platform != "linux":
        pytest.skip("has no /proc")
    flag = f"--{setting.replace('_', '-')}"
    words = [*_words(command), flag, out]
    if setting != "out" and _needs_out(command):
        words += ["--out", "new.csv"]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mixtconv {command.split(maxsplit=1)[0]}: {flag} {out}: {says}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.csv", "folder.csv"]


@pytest.mark.parametrize("command", sorted({command for command, _ in _outputs()}))
def test_what_is_a_place_to_write_to_by_its_help_is_looked_at(command: str) -> None:
    name, *subject = command.split()
    function, program, _ = find_command(name, subject)
    begins = ("File to write", "File for", "File of the p", "Model file to write", "Folder to wr")
    written = {
        action.dest
        for action in make_parser(function, program=program)._actions
        if (action.help or "").startswith((*begins, "Folder for all", "Where to"))
    }
    assert written <= set(OUTPUTS)


def test_one_of_several_files_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    places = f"{tmp_path}/new.srt, {tmp_path}/file/new.json"
    assert main(["predict", "nowhere", "nowhere", "--window", "1s", "--out", places]) == 2
    assert "new.json: " in capsys.readouterr().err


def test_the_present_folder_can_be_written_to(tmp_path: Path, monkeypatch) -> None:
    """It has no name of its own, and is a folder as any other."""
    monkeypatch.chdir(tmp_path)
    refuse_outputs("synthesize", {"out": "."})
    refuse_place(Path(), folder=True)
    with alone_in(Path(), "prepare"):
        pass
    assert list(tmp_path.iterdir()) == []  # no trial and no lock is left
