"""What the package is built into: the tag and the files of wheels, the description of an index."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "mixtconv"
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"

pytest.importorskip("setuptools.command.bdist_wheel", reason="pip install 'setuptools>=77'")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is built from."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so", "*.dylib", "*.dll")
    shutil.copytree(ROOT / "src", folder / "src", ignore=unwanted)
    return folder


def _built(project: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    (project / "dist").mkdir(exist_ok=True)
    for old in (project / "dist").iterdir():
        old.unlink()
    return subprocess.run(
        [sys.executable, "-c", BUILD, "dist"],
        cwd=project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def _wheel(project: Path, environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """The tag of a wheel, and the files in it."""
    run = _built(project, environment)
    assert run.returncode == 0, run.stderr
    (wheel,) = (project / "dist").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        return wheel.stem.split("-", 2)[2], archive.namelist()


@pytest.fixture
def compiler(tmp_path: Path) -> str:
    """A compiler that writes what it is asked for, at once."""
    script = tmp_path / "compiler.py"
    script.write_text(
        "import sys; open(sys.argv[sys.argv.index('-o') + 1], 'w').write('a library')\n"
    )
    return f"{sys.executable} {script}"


def test_a_wheel_with_the_loop_is_one_for_every_python(project: Path, compiler: str) -> None:
    tag, files = _wheel(project, {"CC": compiler, "MIXTCONV_NATIVE": "require"})
    assert re.fullmatch(r"py3-none-(?!any)\w+", tag)
    assert any(re.search(r"temporal_filter\.(so|dylib|dll)$", name) for name in files)


@pytest.mark.parametrize("why", ["no compiler", "not wanted", "the compiler fails"])
def test_a_wheel_without_the_loop_is_pure_and_has_every_file(
    project: Path, why: str, compiler: str
) -> None:
    _wheel(project, {"CC": compiler})  # whose library is not taken for one of the next build
    environment = {
        "no compiler": {"CC": str(project / "nowhere")},
        "not wanted": {"CC": compiler, "MIXTCONV_NATIVE": "none"},
        "the compiler fails": {"CC": f"{sys.executable} {project / 'nowhere.py'}"},
    }[why]
    tag, files = _wheel(project, environment)
    assert tag == "py3-none-any"
    packed = {name for name in files if name.startswith("mixtconv/")}
    here = {
        path.relative_to(project / "src").as_posix()
        for path in (project / "src" / "mixtconv").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert packed == here


def test_a_wheel_that_must_have_the_loop_is_not_built_without(project: Path) -> None:
    run = _built(project, {"CC": str(project / "nowhere"), "MIXTCONV_NATIVE": "require"})
    assert run.returncode != 0
    assert "the loop was not compiled" in run.stderr


@pytest.fixture(scope="module")
def setup_script() -> ModuleType:
    spec = spec_from_file_location("setup_of_mixtconv", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_of_the_description_lead_into_the_repository(setup_script: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text()
    address = "https://example.org/mixtconv"
    links = re.findall(r"\]\(([^)]+)\)", setup_script.description(readme, address))
    assert links and all(re.match("https?://", link) for link in links)
    inside = [link.removeprefix(f"{address}/blob/main/") for link in links if address in link]
    assert inside and all((ROOT / link.partition("#")[0]).exists() for link in inside)


def test_without_an_address_the_description_has_no_dead_links(setup_script: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text()
    text = setup_script.description(readme, None)
    assert all(re.match("https?://", link) for link in re.findall(r"\]\(([^)]+)\)", text))
    assert _without_links(text) == _without_links(readme)


def _without_links(text: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]+\)", r"\1", text)
