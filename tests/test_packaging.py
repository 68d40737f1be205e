"""What the package is built into: the tag and the files of wheels, the description of an index."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from fnmatch import fnmatch
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
MADE = ("__pycache__", "*.pyc", "*.egg-info", "*.so", "*.dylib", "*.dll")
"""Files of no distribution but a wheel with the loop."""

BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"

pytest.importorskip("setuptools.command.bdist_wheel", reason="pip install 'setuptools>=77'")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is built from."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns(*MADE))
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
        if path.is_file()
    }
    assert packed == here


def test_a_wheel_that_must_have_the_loop_is_not_built_without(project: Path) -> None:
    run = _built(project, {"CC": str(project / "nowhere"), "MIXTCONV_NATIVE": "require"})
    assert run.returncode != 0
    assert "the loop was not compiled" in run.stderr


def test_a_source_distribution_tests_itself(project: Path) -> None:
    """It has what the tests read, and nothing that was made."""
    parts = (".ci", "benchmarks", "docs", "src", "tests")
    for name in parts:
        unwanted = shutil.ignore_patterns(*MADE)
        shutil.copytree(ROOT / name, project / name, ignore=unwanted, dirs_exist_ok=True)
    for path in (*ROOT.glob("*.md"), ROOT / "CITATION.cff", ROOT / "MANIFEST.in"):
        shutil.copy(path, project)
    (project / "tests" / "__pycache__").mkdir()
    for made in ("tests/__pycache__/test.pyc", "src/mixtconv/ops/native/temporal_filter.so"):
        (project / made).write_text("made")
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run = subprocess.run(
        [sys.executable, "-c", code, "source"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (archive,) = (project / "source").iterdir()
    with tarfile.open(archive) as opened:
        files = {
            name.partition("/")[2] for name in opened.getnames() if opened.getmember(name).isfile()
        }
    files -= {name for name in files if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    expected = {
        path.relative_to(ROOT).as_posix()
        for part in parts
        for path in (ROOT / part).rglob("*")
        if path.is_file() and not any(fnmatch(piece, made) for piece in path.parts for made in MADE)
    }
    expected |= {path.name for path in (*ROOT.glob("*.md"), ROOT / "CITATION.cff")}
    assert files == expected | {"LICENSE", "MANIFEST.in", "pyproject.toml", "setup.py"}


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
    pictures = [link for link in links if link.endswith(".png")]
    assert pictures and all(link.startswith(f"{address}/raw/main/") for link in pictures)
    inside = [re.sub(f"{address}/(blob|raw)/main/", "", link) for link in links if address in link]
    assert inside and all((ROOT / link.partition("#")[0]).exists() for link in inside)


def test_without_an_address_the_description_has_no_dead_links(setup_script: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text()
    text = setup_script.description(readme, None)
    assert all(re.match("https?://", link) for link in re.findall(r"\]\(([^)]+)\)", text))
    assert _without_links(text) == _without_links(readme)


def _without_links(text: str) -> str:
    without_pictures = re.sub(r"!\[[^\]]*\]\([^)]+\)", "", text)
    return re.sub(r"\[([^\]]*)\]\([^)]+\)", r"\1", without_pictures)
