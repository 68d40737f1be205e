"""What README and docs say to type exists: commands, flags, files, Python names."""

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import mixtconv
from mixtconv.cli.arguments import make_parser, parse_command
from mixtconv.cli.commands import COMMANDS, find_command

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def _commands() -> Iterator[tuple[str, str]]:
    """Every `mixtconv ...` in a code block or between backticks."""
    for page in PAGES:
        text = page.read_text()
        lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
        spans = re.findall(r"`([^`\n]+)`", text)
        for snippet in [*lines, *spans]:
            for part in snippet.split("&&"):
                if re.match(r"\s*mixtconv [a-z]", part):
                    yield page.name, part.strip()


FOUND = sorted(set(_commands()))


def test_the_pages_show_every_command() -> None:
    shown = {shlex.split(command)[1] for _, command in FOUND}
    assert shown == set(COMMANDS)


@pytest.mark.parametrize(("page", "command"), FOUND)
def test_a_command_in_the_pages_exists_with_its_flags(page: str, command: str) -> None:
    name, *words = shlex.split(re.sub(r"--config \S+|--recipe \S+\.yaml", "", command))[1:]
    assert name in COMMANDS
    if not words:  # the mere mention of a command
        return
    function, _, words = find_command(name, words)
    parser = make_parser(function, program="mixtconv")
    known = {flag for action in parser._actions for flag in action.option_strings}
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert flags <= known, f"{page}: {command}"
    if len(words) > 1:  # a whole command line
        parse_command(function, words, program="mixtconv")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_the_pages_imports_what_exists(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        compile(block, page.name, "exec")
        for module, names in re.findall(r"^from (mixtconv[\w.]*) import ([\w, ]+)", block, re.M):
            for name in names.split(","):
                assert hasattr(import_module(module), name.strip()), (module, name)
        for name in re.findall(r"\bmixtconv\.([A-Za-z_]\w*)", block):
            assert hasattr(mixtconv, name) or import_module(f"mixtconv.{name}"), name


def test_the_two_commands_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert "pip install -e . && mixtconv demo" in text
    assert 'pip install -e ".[test]" && pytest' in text
    assert "pytest" in (ROOT / ".ci" / "run").read_text()


def test_public_names_are_importable_and_exported() -> None:
    for name in mixtconv.__all__:
        assert getattr(mixtconv, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mixtconv.nothing


def test_every_environment_variable_of_ours_is_on_its_page() -> None:
    page = (ROOT / "docs" / "environment.md").read_text()
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.c"), ROOT / "setup.py"]
    names = {name for file in sources for name in re.findall("MIXTCONV_[A-Z_]+", file.read_text())}
    assert names == set(re.findall("`(MIXTCONV_[A-Z_]+)`", page))
