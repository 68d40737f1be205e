"""The command line: help, exit statuses, one line for what cannot be used."""

import inspect
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module

import pytest

from mixtconv.cli.arguments import UsageError, make_parser, parse_command
from mixtconv.cli.main import COMMANDS, find_command, find_subjects, main
from mixtconv.training.settings import TrainingSettings


@dataclass(frozen=True)
class Recipe:
    """A recipe."""

    source: str
    """Where from."""
    num_steps: int = 3
    """How many."""
    rates: list[float] | None = None
    """Which."""
    fast: bool = False
    """Whether to hurry."""


def cook(recipe: Recipe, *, out: str, loud: bool = True) -> int:
    """Cook something.

    Args:
        recipe: the recipe.
        out: Where to.
        loud: Whether to say so.
    """
    return 0


def _parse(*words: str) -> dict:
    return parse_command(cook, words, program="mixtconv cook")


def test_a_parameter_is_a_flag_and_a_dataclass_is_one_for_each_field() -> None:
    values = _parse(
        "here", "--num-steps", "5", "--rates", "[0.1,0.2]", "--fast", "--out", "x", "--loud=false"
    )
    assert values == {"recipe": Recipe("here", 5, [0.1, 0.2], True), "out": "x", "loud": False}
    assert _parse("here", "--out", "x") == {"recipe": Recipe("here"), "out": "x", "loud": True}


def test_a_yaml_file_sets_what_flags_do(tmp_path) -> None:
    config = tmp_path / "recipe.yaml"
    config.write_text("num_steps: 7\nfast: true\nout: y\n")
    values = _parse("here", "--config", str(config), "--num-steps", "8")
    assert values["recipe"] == Recipe("here", 8, None, True)
    assert values["out"] == "y"


def test_what_is_typed_overrides_the_yaml_file_wherever_it_stands(tmp_path) -> None:
    config = tmp_path / "recipe.yaml"
    config.write_text("source: there\nnum_steps: 7\nout: y\n")
    for words in (
        ["here", "--num-steps", "8", "--config", str(config)],
        ["--config", str(config), "here", "--num-steps", "8"],
        ["here", f"--config={config}", "--num-steps=8"],
    ):
        assert _parse(*words)["recipe"] == Recipe("here", 8, None, False)


def test_tables_show_names_as_they_are(capsys) -> None:
    from mixtconv.cli.console import print_table

    print_table(["source"], [["clip[a].mp4"], ["a[/b] [red]y"]], title="of [x]")
    printed = capsys.readouterr().out
    for name in ("clip[a].mp4", "a[/b] [red]y", "of [x]"):
        assert name in printed


def test_help_shows_every_flag_with_its_text_and_default() -> None:
    text = make_parser(cook, program="mixtconv cook").format_help()
    for part in ("Cook something", "--num-steps", "How many. Default 3", "source", "Where from"):
        assert part in text
    assert "num_steps" not in text.replace("NUM_STEPS", "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["here", "--out", "x", "--num-steps", "many"], "--num-steps is 'many'; give a whole"),
        (["here", "--out", "x", "--rates", "many"], "--rates is 'many'; give a list"),
        (["here", "--out", "x", "--loud", "maybe"], "--loud is 'maybe'; give true or false"),
        (["here", "--out", "x", "--slow"], "--slow"),
        (["here"], "missing: --out"),
        ([], "missing: source, --out"),
    ],
)
def test_a_wrong_word_is_said_in_one_line(words: list[str], says: str) -> None:
    with pytest.raises(UsageError) as error:
        _parse(*words)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def _with_subjects() -> list[str]:
    """Every command, those of several subjects as `visualize kernels`."""
    words = []
    for name in COMMANDS:
        subjects = find_subjects(name)
        words += [name] if subjects is None else [f"{name} {subject}" for subject in subjects]
    return words


@pytest.mark.parametrize("words", _with_subjects())
def test_every_command_is_a_documented_function_with_documented_flags(words: str, capsys) -> None:
    name, *subject = words.split()
    command, program, _ = find_command(name, subject)
    assert program == f"mixtconv {words}"
    assert inspect.signature(command).return_annotation in (int, "int")
    parser = make_parser(command, program=program)
    undocumented = [
        action.dest
        for action in parser._actions
        if not action.help and action.dest not in ("help", "config")
    ]
    assert undocumented == []
    with pytest.raises(SystemExit) as stop:
        main([*words.split(), "--help"])
    assert stop.value.code == 0
    assert words in capsys.readouterr().out


def test_the_flags_of_training_are_the_fields_of_its_settings() -> None:
    text = make_parser(
        import_module("mixtconv.cli.train").train, program="mixtconv train"
    ).format_help()
    for field in TrainingSettings.__dataclass_fields__:
        flag = field if field == "data" else "--" + field.replace("_", "-")
        assert flag in text


def test_help_does_not_import_torch() -> None:
    script = (
        "import sys\nfrom mixtconv.cli.main import main\nmain(['--help'])\n"
        "main(['visualize'])\n"
        "for words in (['train'], ['visualize', 'tsne'], ['visualize', 'sample']):\n"
        "    try:\n        main([*words, '--help'])\n    except SystemExit:\n        pass\n"
        "assert 'torch' not in sys.modules, 'torch is imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian"], "did you mean 'train'"),
        (["visualize", "tnse"], "did you mean 'tsne'"),
        (["train", "nowhere"], "neither a folder nor a file"),
        (["train", "nowhere", "--num-frames", "0"], "--num-frames is 0; give 1 or more"),
        (["predict", "nowhere.safetensors", "x.mp4"], "no model file nowhere.safetensors"),
        (["evaluate", "nowhere.safetensors", "x"], "no model file nowhere.safetensors"),
        (["synthesize", "--out", "x", "--size", "33"], "size"),
        (
            ["bench", "nonsense"],
            "bench: subject is 'nonsense'; give op or model or train or loader",
        ),
    ],
)
def test_input_that_cannot_be_used_ends_with_2_and_one_line(
    words: list[str], says: str, capsys, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert says in captured.err
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_missing_is_said_in_one_line(capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "mixtconv.training.fit", None)
    assert main(["train", "nowhere"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "is not installed; pip install mixtconv installs all that this needs" in line


@pytest.mark.parametrize("package", ["mixtconv", "mixtconv.models"])
def test_what_is_imported_when_asked_for_is_listed_and_there(package: str) -> None:
    module = import_module(package)
    assert set(module.__all__) <= set(dir(module))
    assert all(getattr(module, name) is not None for name in module.__all__)
