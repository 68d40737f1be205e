"""Packages that a part needs: their names are those of the extras, and so is what is installed."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv._optional import PACKAGES, SERVICE, import_needed, install_line

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def _requirements(section: str) -> dict[str, list[str]]:
    """Name -> packages of the lists in a section of pyproject.toml, without versions."""
    text = PROJECT.read_text().partition(f"[{section}]\n")[2].partition("\n[")[0]
    lists = re.findall(r"^([\w-]+) = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    return {
        name: [re.split(r"[<>=~!]", each)[0] for each in re.findall(r'"([^"]+)"', items)]
        for name, items in lists
    }


BASE = _requirements("project")["dependencies"]
EXTRAS = _requirements("project.optional-dependencies")
USED = {
    "coreml": ["coremltools"],
    "flow": ["cv2"],
    "int8": ["nncf"],
    "onnx": ["onnx", "onnxruntime", "onnxscript"],
    "openvino": ["openvino"],
    "ray": ["ray"],
    "serve": list(SERVICE),
    "tables": ["pyarrow"],
    "tensorrt": ["onnx", "onnxruntime", "onnxscript", "tensorrt"],
    "wandb": ["wandb"],
}
"""Extra -> modules that it is for."""


@pytest.mark.parametrize("extra", USED)
def test_an_extra_has_what_the_messages_say_to_install(extra: str) -> None:
    named = install_line(*USED[extra]).removeprefix("pip install ").replace("'", "").split()
    assert set(named) <= set(EXTRAS[extra])


def test_every_package_with_another_name_is_one_of_the_project() -> None:
    assert set(PACKAGES.values()) <= {*BASE, *sum(EXTRAS.values(), [])}  # noqa: RUF017


def test_all_is_every_extra() -> None:
    """But TensorRT, whose libraries are not in the index of the other packages."""
    [whole] = EXTRAS["all"]
    names = re.fullmatch(r"mixtconv\[(.*)\]", whole)
    assert names is not None
    assert {*names[1].split(","), "all", "docs", "export", "tensorrt", "test", "viz"} == set(EXTRAS)


def test_earlier_names_of_extras_are_kept() -> None:
    assert {"export", "flow", "pretrained", "ray", "serve", "tables", "viz", "wandb"} <= set(EXTRAS)


def test_all_missing_packages_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nowhere_at_all", "cv2"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError) as caught:
        import_needed("json", "nowhere_at_all", "cv2", "cv2.optflow", why="this needs")
    assert str(caught.value) == (
        "this needs nowhere_at_all, opencv-contrib-python-headless, which are not installed: "
        "pip install nowhere_at_all opencv-contrib-python-headless"
    )


@pytest.mark.parametrize("line", ["import nowhere_at_all", "raise ImportError('no libGL.so')"])
def test_a_package_that_is_there_but_broken_is_not_said_to_be_missing(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_package.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"^this needs broken_package, which is installed and"):
        import_needed("broken_package", why="this needs")


def test_the_package_of_the_first_module_is_given() -> None:
    package = import_needed("xml.dom.minidom", "json", why="this needs")
    assert isinstance(package, ModuleType) and package.__name__ == "xml"
