"""What models are exported to has the same names wherever they stand."""

import re
from pathlib import Path
from typing import get_args, get_type_hints

from mixtconv.benchmarks.exported import ENGINES as MEASURED
from mixtconv.cli.export import export
from mixtconv.exporting.writing import TARGETS
from mixtconv.inference.engines.base import Description
from mixtconv.inference.engines.opening import ENGINES
from mixtconv.models.spec import EXPORTED_FOLDERS, EXPORTED_SUFFIXES, TargetName

DOCS = Path(__file__).parents[2] / "docs" / "export.md"


def test_every_target_is_written_opened_and_a_choice_of_the_command() -> None:
    names = get_args(TargetName)
    assert tuple(TARGETS) == tuple(EXPORTED_SUFFIXES) == names
    assert {name: form.suffix for name, form in TARGETS.items()} == EXPORTED_SUFFIXES
    assert set(ENGINES) == set(EXPORTED_SUFFIXES.values()) >= set(EXPORTED_FOLDERS)
    assert set(MEASURED) <= set(names)
    hints = get_type_hints(export, {"Exported": object})
    assert get_args(hints["to"]) == (*names, "web")


def test_the_help_and_the_docs_name_every_target_and_suffix() -> None:
    text = export.__doc__ or ""
    table = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", DOCS.read_text(), re.MULTILINE))
    assert set(table) == {*EXPORTED_SUFFIXES, "web"}
    for name, suffix in EXPORTED_SUFFIXES.items():
        assert re.search(rf"\b{name}\b", text) and suffix in text
        assert f"`{suffix}`" in table[name]


def test_the_docs_name_every_key_of_a_description() -> None:
    [paragraph] = re.findall(r"A file describes itself.*?\n\n", DOCS.read_text(), re.DOTALL)
    for key in Description.__dataclass_fields__:
        assert f"`{key}`" in paragraph, key
