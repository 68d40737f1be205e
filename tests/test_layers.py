"""The house: imports go one way, between layers, folders and files, and much needs no torch."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import mixtconv

PACKAGE = Path(mixtconv.__file__).parent
LAYERS = [
    {"ops"},
    {"models"},
    {"video", "events"},
    {"data"},
    {"evaluation", "inference", "exporting", "visualization"},
    {"detection"},
    {"training"},
    {"reporting"},
    {"fitting"},
    {"benchmarks"},
    {"serve", "cli"},
]
LOOP_MARK = "closes the one loop"
"""Comment on the one import that may close a loop; see `models/sharing.py`."""

WITHOUT_TORCH = [
    "mixtconv.cli.main",
    "mixtconv.cli.arguments",
    "mixtconv.data.augmentation_settings",
    "mixtconv.data.datasets.catalog",
    "mixtconv.data.datasets",
    "mixtconv.data.labels",
    "mixtconv.data.layouts",
    "mixtconv.data.listing",
    "mixtconv.data.preparation.form",
    "mixtconv.data.journal",
    "mixtconv.data.preparation.output",
    "mixtconv.data.protocol",
    "mixtconv.detection.settings",
    "mixtconv.evaluation.settings",
    "mixtconv.inference.engines.base",
    "mixtconv.inference.loading",
    "mixtconv.fitting.settings",
    "mixtconv.reporting.settings",
    "mixtconv.training.recipes",
    "mixtconv.training.settings",
    *(
        ".".join(("mixtconv", *folder, path.stem))
        for folder in (("data", "annotations"), ("events",), ("video",))
        for path in sorted(PACKAGE.joinpath(*folder).glob("[a-z]*.py"))
    ),
]
"""What only lists, plans, reads and writes files, or explains the command line."""

FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


@dataclass(frozen=True)
class Import:
    """One import of a module of the package, wherever in a file it is."""

    target: str
    is_marked: bool


@cache
def imports(name: str) -> tuple[Import, ...]:
    """What a file imports when it runs, at the top or later, each from where it is defined."""
    path = MODULES[name]
    lines = path.read_text().splitlines()
    return tuple(
        Import(target, LOOP_MARK in "\n".join(lines[node.lineno - 1 : node.end_lineno]))
        for node in run_imports(ast.parse(path.read_text()))
        for target in targets(node)
    )


def run_imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports below a node, but for those that only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from run_imports(node)


def targets(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in MODULES)
        return
    assert node.level == 0, "imports are absolute"
    for alias in node.names:
        inner = f"{node.module}.{alias.name}"
        if inner in MODULES:
            yield inner
        elif node.module in MODULES:
            yield defining_module(node.module, alias.name)


@cache
def defining_module(package: str, name: str) -> str:
    """Where a name is from that a package's `__init__` hands on, perhaps when it is asked for."""
    if MODULES[package].name == "__init__.py":
        for node in ast.walk(ast.parse(MODULES[package].read_text())):
            is_source = isinstance(node, ast.ImportFrom) and node.module in MODULES
            if is_source and name in {alias.asname or alias.name for alias in node.names}:
                return node.module
    return package


def layer_of(name: str) -> int | None:
    folder = name.split(".")[1] if "." in name else ""
    return next((level for level, names in enumerate(LAYERS) if folder in names), None)


def folder_of(name: str) -> str:
    """The folder of a file; a file of the root, which anyone may use, stands for itself."""
    is_package = MODULES[name].name == "__init__.py"
    folder = name if is_package else name.rpartition(".")[0]
    return name if folder == "mixtconv" else folder


def find_loop(edges: dict[str, set[str]]) -> list[str] | None:
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return None


@pytest.mark.parametrize("name", [name for name in MODULES if layer_of(name) is not None])
def test_a_file_imports_only_from_its_own_layer_and_those_above(name: str) -> None:
    for each in imports(name):
        level = layer_of(each.target)
        assert level is None or level <= layer_of(name), f"{each.target} is a layer below {name}"


def test_every_folder_of_the_package_is_in_a_layer() -> None:
    folders = {path.relative_to(PACKAGE).parts[0] for path in FILES if path.parent != PACKAGE}
    assert folders == set().union(*LAYERS)


def test_files_import_each_other_in_no_loop_but_the_marked_one() -> None:
    edges = {
        name: {each.target for each in imports(name) if not each.is_marked} - {name}
        for name in MODULES
    }
    assert find_loop(edges) is None
    marked = [name for name in MODULES for each in imports(name) if each.is_marked]
    assert len(marked) <= 1, f"{marked} close a loop each"


def test_folders_import_each_other_in_no_loop() -> None:
    edges: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        if path.name == "__init__.py":  # hands names on, also from folders below
            continue
        targets = {folder_of(each.target) for each in imports(name) if not each.is_marked}
        edges.setdefault(folder_of(name), set()).update(targets - {folder_of(name)})
    assert find_loop(edges) is None


def loaded_by(code: str) -> set[str]:
    """The modules in a fresh interpreter after some code."""
    code += "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_what_lists_plans_and_writes_files_needs_no_torch() -> None:
    code = "import sys\nfrom importlib import import_module\n"
    code += f"for name in {WITHOUT_TORCH}:\n    import_module(name)\n"
    code += "    assert 'torch' not in sys.modules, f'{name} imports torch'"
    loaded_by(code)


LIST_A_FOLDER = """
from pathlib import Path
from tempfile import TemporaryDirectory
from mixtconv.data.layouts import list_folder
with TemporaryDirectory() as folder:
    for name in ("a/1.mp4", "b/2.mp4"):
        Path(folder, name).parent.mkdir()
        Path(folder, name).touch()
    assert len(list_folder(Path(folder)).videos) == 2
"""


@pytest.mark.parametrize("code", ["import mixtconv.data.protocol", LIST_A_FOLDER])
def test_protocols_and_listing_a_folder_load_little(code: str) -> None:
    loaded = loaded_by(code)
    assert "torch" not in loaded
    ours = {name for name in loaded if name in MODULES and MODULES[name].name != "__init__.py"}
    assert len(ours) <= 15, sorted(ours)


POSIX = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
"""Modules of Python that Windows does not have."""


def test_all_but_the_service_starts_on_windows() -> None:
    """What is imported as a file loads: a function may import its system's module."""
    found = {
        name
        for name, path in MODULES.items()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and POSIX & {getattr(node, "module", None), *(alias.name for alias in node.names)}
    }
    assert found and all(name.startswith("mixtconv.serve.") for name in found), found
