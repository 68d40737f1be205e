"""What README and docs say to type exists: commands, flags, files, Python names."""

import ast
import builtins
import inspect
import re
import shlex
import symtable
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import mixtconv
from mixtconv.cli.arguments import make_parser, parse_command
from mixtconv.cli.commands import COMMANDS, find_command

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _commands() -> Iterator[tuple[str, str, bool]]:
    """Every `mixtconv ...` of the pages: in a code block, which is a line of its own, or a span."""
    for page in PAGES:
        text = page.read_text()
        fences = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        lines = [line for line in text.splitlines() if line.startswith("    ")]
        lines += [line for kind, block in fences if kind != "python" for line in block.splitlines()]
        snippets = [(line, True) for line in lines]
        snippets += [(span, False) for span in re.findall(r"`([^`\n]+)`", text)]
        for snippet, is_line in snippets:
            for part in re.split(r"&&|\| ", snippet):
                words = re.sub(r"^\s*(?:[A-Z_]+=\S+ )*", "", part)
                if re.match(r"mixtconv [a-z]", words):
                    yield _name(page), words.strip(), is_line


FOUND = sorted({(command, is_line): page for page, command, is_line in _commands()}.items())
"""Each command once, as parsing one takes 50 ms: with the last page that has it."""


def test_the_pages_show_every_command() -> None:
    shown = {shlex.split(command)[1] for (command, _), _ in FOUND}
    assert shown == set(COMMANDS)


@pytest.mark.parametrize(("found", "page"), FOUND)
def test_a_command_in_the_pages_exists_with_its_flags(found: tuple[str, bool], page: str) -> None:
    command, is_line = found
    name, *words = shlex.split(re.sub(r"--config \S+|--recipe \S+\.yaml", "", command))[1:]
    assert name in COMMANDS
    if not words and not is_line:  # the mere mention of a command
        return
    function, _, words = find_command(name, words)
    if (is_line or len(words) > 1) and "--help" not in words:  # a whole command line
        parse_command(function, words, program="mixtconv")
    else:
        parser = make_parser(function, program="mixtconv")
        known = {flag for action in parser._actions for flag in action.option_strings}
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert flags <= known, f"{page}: {command}"


def _anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            other = page.parent / file if file else page
            assert other.exists(), target
            assert not anchor or anchor in _anchors(other), target


def _blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def _resolve(name: str) -> Any:
    """What a dotted name of the package stands for: a module, or something in one.

    Raises:
        AttributeError: it does not exist.
    """
    found: Any = import_module(name.partition(".")[0])
    for part in name.split(".")[1:]:
        if inspect.ismodule(found) and not hasattr(found, part):
            try:
                found = import_module(f"{found.__name__}.{part}")
            except ModuleNotFoundError:
                raise AttributeError(f"there is no {name!r}") from None
        else:
            found = getattr(found, part)
    return found


def _dotted(node: ast.AST, known: dict[str, str]) -> str | None:
    """The dotted name of an expression that begins with the package or an imported name."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value, known)
        return None if before is None else f"{before}.{node.attr}"
    return None


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page)], ids=_name)
def test_python_in_the_pages_names_what_exists(page: Path) -> None:
    known = {"mixtconv": "mixtconv"}
    for block in _blocks(page):
        nodes = list(ast.walk(ast.parse(block)))
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mixtconv"):
                for each in node.names:
                    known[each.asname or each.name] = f"{node.module}.{each.name}"
        for name in known.values():
            _resolve(name)
        for node in nodes:
            if isinstance(node, ast.Attribute) and (name := _dotted(node, known)):
                _resolve(name)
            if isinstance(node, ast.Call) and (name := _dotted(node.func, known)):
                parameters = inspect.signature(_resolve(name)).parameters
                if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
                    assert {each.arg for each in node.keywords} <= {None, *parameters}, name


_FILES = "mp4|safetensors|onnx|xml|pth?|tar|pt2|mlpackage|engine"
READS = re.compile(rf'"[^"\n]*(?:\.(?:{_FILES})|clips|runs/\S*)"')
"""A snippet that names one of these needs a file of the reader's."""
SLOW = ("synthesize(", "synthesize_long(", "train(", "example.org", "runs/{")


def _runnable(page: Path) -> list[str]:
    """The snippets that need neither files nor time, nor names that none before them has made."""
    found, names = [], {*dir(builtins), "__name__"}
    for block in _blocks(page):
        if READS.search(block) or any(word in block for word in SLOW):
            continue
        symbols = symtable.symtable(block, page.name, "exec").get_symbols()
        made = {each.get_name() for each in symbols if each.is_assigned() or each.is_imported()}
        if {each.get_name() for each in symbols} <= names | made:
            found.append(block)
            names |= made
    return found


RUNNABLE = {page: blocks for page in PAGES if (blocks := _runnable(page))}


def test_many_snippets_run() -> None:
    assert sum(map(len, RUNNABLE.values())) >= 20


@pytest.mark.parametrize("page", RUNNABLE, ids=_name)
def test_python_that_needs_nothing_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snippets of a page run one after the other, as cells of a notebook do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in RUNNABLE[page]:
        exec(compile(block, page.name, "exec"), names)


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


def test_the_api_pages_have_every_public_name_and_no_other() -> None:
    pages = [page.read_text() for page in (ROOT / "docs" / "api").glob("*.md")]
    named = {name for page in pages for name in re.findall(r"^::: (\S+)$", page, re.MULTILINE)}
    homes = {f"{_resolve(name).__module__}.{name.rpartition('.')[2]}" for name in named}
    paths = {*named, *homes, *(f"mixtconv.ops.{name}" for name in mixtconv.ops.__all__)}
    assert {f"mixtconv.{name}" for name in mixtconv.__all__} - {"mixtconv.__version__"} <= named
    for name in named:
        assert _resolve(name).__doc__, name
    for page in PAGES:
        for block in _blocks(page):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mixtconv"):
                    assert {f"{node.module}.{each.name}" for each in node.names} <= paths, page


def test_every_environment_variable_of_ours_is_on_its_page() -> None:
    page = (ROOT / "docs" / "environment.md").read_text()
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.c"), ROOT / "setup.py"]
    names = {name for file in sources for name in re.findall("MIXTCONV_[A-Z_]+", file.read_text())}
    assert names == set(re.findall("`(MIXTCONV_[A-Z_]+)`", page))
