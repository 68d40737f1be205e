"""The command line: help, exit statuses, one line for what cannot be used."""

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

import pytest
import yaml

import mixtconv
from mixtconv.cli.arguments import UsageError, make_parser, parse_command
from mixtconv.cli.commands import COMMANDS, Result, find_command, find_subjects
from mixtconv.cli.console import print_table
from mixtconv.cli.main import main
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


@dataclass(frozen=True)
class LongRecipe(Recipe):
    """A long recipe."""

    num_steps: int = 30
    """How very many."""
    heat: Literal["low", "high"] | None = None
    """How hot."""


def cook(recipe: Recipe, *, out: str, loud: bool = True) -> int:
    """Cook something.

    A second paragraph.

    Args:
        recipe: the recipe.
        out: Where to.
        loud: Whether to say so.
    """
    return 0


def taste(dish: str, recipe: LongRecipe | None = None, *, spoons: int = 1) -> int:
    """Taste a dish.

    Args:
        dish: What.
        recipe: The recipe.
        spoons: How many.
    """
    return 0


def _parse(*words: str) -> dict:
    return parse_command(cook, words, program="mixtconv cook")


def _taste(*words: str) -> dict:
    return parse_command(taste, words, program="mixtconv taste")


def _help(command: Callable[..., int]) -> str:
    return make_parser(command, program="mixtconv cook").format_help()


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


def test_flags_override_the_yaml_file_wherever_it_is_named(tmp_path) -> None:
    config = tmp_path / "recipe.yaml"
    config.write_text("source: there\nnum_steps: 7\nout: y\n")
    for words in (
        ["here", "--num-steps", "8", "--config", str(config)],
        ["--config", str(config), "here", "--num-steps", "8"],
        ["here", f"--config={config}", "--num-steps=8"],
    ):
        assert _parse(*words)["recipe"] == Recipe("here", 8, None, False)


def test_tables_show_names_as_they_are(capsys) -> None:
    print_table(["source"], [["clip[a].mp4"], ["a[/b] [red]y"]], title="of [x]")
    printed = capsys.readouterr().out
    for name in ("clip[a].mp4", "a[/b] [red]y", "of [x]"):
        assert name in printed


def test_a_table_in_a_pipe_has_the_width_that_the_environment_says(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_table(["note"], [["a sentence of more than forty characters, which is wrapped"]])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 40


def test_a_narrow_table_wraps_sentences_but_neither_names_nor_numbers(capsys, monkeypatch) -> None:
    from mixtconv.cli import console

    monkeypatch.setattr(console, "FILE_WIDTH", 60)
    sentence = "which only differ in what they do with the frames of a clip"
    console.print_table(["model", "G", "note"], [["trn_bninception", 16.256, sentence]])
    printed = capsys.readouterr().out
    assert "trn_bninception  16.26  which only" in printed
    assert sentence not in printed and max(map(len, printed.splitlines())) <= 60


def test_an_optional_dataclass_is_none_without_its_positional(tmp_path) -> None:
    assert _taste("soup") == {"dish": "soup", "recipe": None, "spoons": 1}
    assert _taste("soup", "here")["recipe"] == LongRecipe("here")
    config = tmp_path / "taste.yaml"
    config.write_text("source: there\nspoons: 2\n")
    expected = {"dish": "soup", "recipe": LongRecipe("there"), "spoons": 2}
    assert _taste("soup", "--config", str(config)) == expected


def test_a_positional_list_is_several_words_or_a_list_in_a_file(tmp_path) -> None:
    fuse, program, _ = find_command("fuse", [])
    config = tmp_path / "fuse.yaml"
    config.write_text("scores: [a, 1]\n")
    for words, scores in (
        (["b", "c"], ["b", "c"]),
        (["--config", str(config)], ["a", "1"]),
        (["b", "--config", str(config)], ["b"]),
    ):
        assert parse_command(fuse, words, program=program)["scores"] == scores


def test_help_shows_every_flag_with_its_text_and_default() -> None:
    text = _help(cook)
    for part in (
        "Cook something. A second",
        "--num-steps INT",
        "How many. Default 3",
        "Where from",
    ):
        assert part in text
    assert "usage: mixtconv cook [options] --out TEXT source" in text
    assert "num_steps" not in text and "--rates [FLOAT,...]" in text
    assert "Default true" in text and "Default false" not in text and "--rates+" not in text


def test_help_has_a_group_for_each_dataclass_with_what_it_adds_or_changes() -> None:
    groups = dict(re.findall(r"^(A [a-z ]+):\n((?:  .*\n)+)", _help(taste), re.MULTILINE))
    assert list(groups) == ["A recipe", "A long recipe"]
    assert "--fast" in groups["A recipe"] and "--num-steps" not in groups["A recipe"]
    assert "How very many. Default 30" in groups["A long recipe"]
    assert "--heat {low,high}" in groups["A long recipe"]


@pytest.mark.parametrize("width", [60, 160])
def test_help_fills_the_terminal(width: int, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    longest = max(map(len, _help(find_command("train", [])[0]).splitlines()))
    assert width - 20 < longest <= width


def test_printed_settings_are_a_file_that_sets_the_same(tmp_path, capsys) -> None:
    recipe = ["--recipe", "tsm_resnet50_jester_8f"]
    words = ["--epochs", "3", "--partial-bn", "--stages", "[2,3]"]
    with pytest.raises(SystemExit) as stop:
        main(["train", *recipe, *words, "--print-config"])
    assert stop.value.code == 0
    config = tmp_path / "all.yaml"
    config.write_text(capsys.readouterr().out)
    command, program, _ = find_command("train", [])
    settings = parse_command(command, ["--config", str(config)], program=program)
    assert settings == parse_command(command, [*recipe, *words], program=program)
    with pytest.raises(SystemExit):
        main(["train", "--config", str(config), "--lr", "7", "--print-config=skip_default"])
    changed = yaml.safe_load(capsys.readouterr().out)
    assert changed["lr"] == 7 and changed["epochs"] == 3 and "momentum" not in changed


COMPLETED = """
source ./completion.sh
complete_words() {
    COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
    _shtab_mixtconv 2> /dev/null
    echo "${COMPREPLY[@]}"
}
complete_words mixtconv tra
complete_words mixtconv visualize c
complete_words mixtconv train --ep
complete_words mixtconv train --sampling d
complete_words mixtconv bench st
complete_words mixtconv train clips --weights do
complete_words mixtconv train do
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash on the PATH")
def test_bash_completes_commands_flags_choices_and_files(tmp_path, capsys) -> None:
    pytest.importorskip("shtab")
    assert main(["completion", "bash"]) == 0
    (tmp_path / "completion.sh").write_text(capsys.readouterr().out)
    (tmp_path / "doors.csv").touch()
    done = subprocess.run(
        ["bash", "-c", COMPLETED],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "train", "cam confusion", "--epochs", "dense", "stream", "doors.csv", "doors.csv"
    ]  # fmt: skip


def test_help_and_version_have_the_usual_other_spellings(capsys) -> None:
    assert main(["-V"]) == main(["--version"]) == 0
    short, long = capsys.readouterr().out.splitlines()
    assert short == long == f"mixtconv {mixtconv.__version__}"
    for words, same in ((["help"], []), (["help", "visualize"], ["visualize"])):
        main(words)
        printed = capsys.readouterr().out
        main(same)
        assert capsys.readouterr().out == printed
    with pytest.raises(SystemExit):
        main(["help", "visualize", "cam"])
    assert "usage: mixtconv visualize cam [options]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["here", "--out", "x", "--num-steps", "many"], "--num-steps is 'many'; give a whole"),
        (["here", "--out", "x", "--rates", "many"], "--rates is 'many'; give a list"),
        (["here", "--out", "x", "--loud", "maybe"], "--loud is 'maybe'; give true or false"),
        (
            ["here", "--out", "x", "--fast", "--rates", "[a]"],
            "--rates is ['a']; give a list of num",
        ),
        (["here", "--out", "x", "--zzz"], "unknown flag '--zzz'; known are --config, "),
        (["here", "--out", "x", "--foo"], "unknown flag '--foo'; known are --config, "),
        (["here", "--out", "x", "--num-step=4"], "'--num-step'; did you mean '--num-steps'?"),
        (["here", "--out", "x", "--num_steps", "4"], "'--num_steps'; did you mean '--num-steps'?"),
        (["--source", "here", "--out", "x"], "--source is not a flag; give source as a word"),
        (["here", "there", "--out", "x"], "'there' is a word too many: mixtconv cook takes source"),
        (["my", "my clips", "--out", "x"], "'my clips' is a word too many"),
        (["here", "--fast", "yes", "--out", "x"], "--fast is 'yes'; give true or false"),
        (["here", "--out"], "--out needs a value; give text"),
        (["here", "--out", "--fast"], "--out needs a value; give text"),
        (["here", "--out", "x", "--num-steps"], "--num-steps needs a value; give a whole number"),
        (["here", "--out", "x", "--rates"], "--rates needs a value; give a list of numbers ("),
        (["here", "--out", "x", "--config"], "--config needs a value; give a file"),
        (["here"], "missing: --out"),
        ([], "missing: source, --out"),
    ],
)
def test_a_wrong_word_is_said_in_one_line(words: list[str], says: str) -> None:
    with pytest.raises(UsageError) as error:
        _parse(*words)
    assert says in str(error.value)
    assert "\n" not in str(error.value) and "shtab" not in str(error.value)


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
    assert inspect.signature(command).return_annotation in (int, Result)
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
    text = _help(find_command("train", [])[0])
    for field in TrainingSettings.__dataclass_fields__:
        flag = field if field == "data" else "--" + field.replace("_", "-")
        assert flag in text


HELP = """
import sys
from mixtconv.cli.main import main
main(["--help"])
for words in sys.argv[1:]:
    try:
        main([*words.split(), "--help"])
    except SystemExit as stop:
        assert stop.code == 0
heavy = ["torch", "numpy", "matplotlib", "lightning", "timm", "scipy", "av", "PIL", "ray"]
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""


def test_help_imports_nothing_heavy() -> None:
    words = [words for words in _with_subjects() if words != "prepare"]
    done = subprocess.run(
        [sys.executable, "-c", HELP, *words], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"
    assert all(f"usage: mixtconv {name} [options]" in done.stdout for name in words)
    prepare = subprocess.run(
        [sys.executable, "-c", HELP, "prepare"], capture_output=True, text=True, check=True
    )
    assert "torch" not in prepare.stderr and "lightning" not in prepare.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian"], "did you mean 'train'"),
        (["train", "nowhere", "--epoch", "3"], "unknown flag '--epoch'; did you mean '--epochs'"),
        (["visualize", "tnse"], "did you mean 'tsne'"),
        (["train", "nowhere"], "neither a folder nor a file"),
        (["train", "--log-file"], "--log-file needs a value; give a file"),
        (["demo", "here"], "'here' is a word too many: mixtconv demo takes flags alone"),
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


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("timm", "timm.layers is not installed: pip install timm"),
        ("yaml", "yaml is not installed: pip install pyyaml"),
        ("mixtconv._fonts", "a part of mixtconv is missing, mixtconv._fonts: install it again"),
    ],
)
def test_a_package_that_is_missing_is_said_in_one_line(module: str, line: str) -> None:
    code = (
        f"import sys; sys.modules['{module}'] = None; from mixtconv.cli.main import main;"
        "sys.exit(main(['visualize', 'kernels', 'nowhere.safetensors', '--out', 'nowhere.png']))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (2, f"mixtconv visualize: {line}\n")


@pytest.mark.parametrize("package", ["mixtconv", "mixtconv.models"])
def test_what_is_imported_when_asked_for_is_listed_and_there(package: str) -> None:
    module = import_module(package)
    assert set(module.__all__) <= set(dir(module))
    assert all(getattr(module, name) is not None for name in module.__all__)
