"""Imports go one way: a layer uses only the layers above it in the table of the house."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mixtconv

PACKAGE = Path(mixtconv.__file__).parent
LAYERS = [
    {"ops"},
    {"models"},
    {"video"},
    {"data"},
    {"evaluation", "inference", "exporting", "visualization"},
    {"training"},
    {"reporting"},
    {"benchmarks"},
    {"serve", "cli"},
]


def _layer(folder: str) -> int | None:
    return next((level for level, names in enumerate(LAYERS) if folder in names), None)


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_its_own_layer_and_those_above(path: Path) -> None:
    own = _layer(path.relative_to(PACKAGE).parts[0])
    assert own is not None, f"{path} lies in no layer"
    for module in _imported(ast.parse(path.read_text())):
        parts = module.split(".")
        if parts[0] == "mixtconv" and len(parts) > 1 and (level := _layer(parts[1])) is not None:
            assert level <= own, f"{path.name} imports {module}, which lies below it"


def test_every_folder_of_the_package_is_in_a_layer() -> None:
    folders = {path.relative_to(PACKAGE).parts[0] for path in FILES}
    assert folders <= set().union(*LAYERS) | {"recipes"}
