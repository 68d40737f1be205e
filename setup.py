"""Building the package: the compiled loop, the tag of the wheel, the description of the index.

The loop needs neither Python nor torch, so it is a plain shared library, made by one call of a C
compiler, and a wheel that holds it is one for every Python on its platform (`py3-none-PLATFORM`).
Without a compiler the wheel is pure (`py3-none-any`), and plain torch does the work.

`MIXTCONV_NATIVE=require` fails instead, for wheels that are published; `none` compiles nothing.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from setuptools import Command, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

ROOT = Path(__file__).parent
NATIVE = Path("mixtconv", "ops", "native")
SOURCE = Path("src", NATIVE, "temporal_filter.c")
SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
"""As `ops/native_library.py` looks for it."""
VARIABLE = "MIXTCONV_NATIVE"


class build_native(Command):  # noqa: N801 - setuptools names commands so
    """Compile the loop into the package: beside its sources for an editable installation."""

    user_options = []  # noqa: RUF012 - setuptools takes a list
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib = None

    def finalize_options(self) -> None:
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    @property
    def target(self) -> Path:
        """The library."""
        folder = Path("src") if self.editable_mode else Path(self.build_lib)
        return folder / NATIVE / f"temporal_filter{SUFFIX}"

    def run(self) -> None:
        wish = os.environ.get(VARIABLE, "auto")
        if wish not in ("auto", "require", "none"):
            raise SystemExit(f"{VARIABLE} is {wish!r}; give auto, require or none")
        self.target.unlink(missing_ok=True)  # of an earlier build
        if wish == "none":
            return
        self.target.parent.mkdir(parents=True, exist_ok=True)
        faults = []
        for compiler in _compilers():
            fault = _compile(compiler, self.target)
            if fault is None:
                return
            faults.append(f"{shlex.join(compiler)}: {fault}")
        reason = "; ".join(faults) or "no C compiler was found"
        if wish == "require":
            raise SystemExit(f"the loop was not compiled: {reason}")
        self.warn(f"the loop was not compiled, plain torch will do its work: {reason}")

    def get_source_files(self) -> list[str]:
        return [str(SOURCE), *map(str, sorted(SOURCE.parent.glob("*.h")))]

    def get_outputs(self) -> list[str]:
        return [str(self.target)] if self.target.exists() else []

    def get_output_mapping(self) -> dict[str, str]:
        return {}


def _compilers() -> Iterator[list[str]]:
    """Compilers to try: the one asked for alone, or Python's own and the usual ones.

    On Windows only Clang: GCC does not align the stack there as vectors of AVX need it (its bug
    54412), and Microsoft's compiler has no vector extensions.
    """
    if os.environ.get("CC"):
        yield shlex.split(os.environ["CC"], posix=os.name != "nt")
        return
    own = shlex.split(sysconfig.get_config_var("CC") or "")[:1]
    names = ["clang"] if sys.platform == "win32" else [*own, "cc", "gcc", "clang"]
    for name in dict.fromkeys(names):
        if shutil.which(name):
            yield [name]


def _compile(compiler: list[str], target: Path) -> str | None:
    """Compile the loop, without symbols for a debugger; the reason if that fails."""
    flags = ["-shared", "-O3", "-g0", "-fvisibility=hidden", "-Wno-psabi"]
    if sys.platform != "win32":
        flags.append("-fPIC")
    if sys.platform.startswith("linux"):
        flags.append("-Wl,--strip-all")
    given = " ".join(os.environ.get(name, "") for name in ("CFLAGS", "ARCHFLAGS", "LDFLAGS"))
    command = [*compiler, *flags, *shlex.split(given), "-o", str(target), str(SOURCE)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    if run.returncode == 0:
        for rest in target.parent.glob(f"{target.stem}.*"):  # import libraries, on Windows
            if rest.suffix in (".lib", ".pdb", ".exp"):
                rest.unlink()
        return None
    target.unlink(missing_ok=True)
    return " ".join(run.stderr.split())[-300:]


class build_with_native(build):  # noqa: N801
    """`build`, and the loop."""

    sub_commands = [*build.sub_commands, ("build_native", None)]  # noqa: RUF012


class platform_wheel(bdist_wheel):  # noqa: N801
    """A wheel for every Python, of this platform if it holds the loop."""

    def get_tag(self) -> tuple[str, str, str]:
        if not self.get_finalized_command("build_native").get_outputs():
            return super().get_tag()
        self.root_is_pure = False  # after the files are laid out as those of a pure wheel are
        return "py3", "none", super().get_tag()[2]


def description(readme: str, repository: str | None) -> str:
    """The README for a page elsewhere: its relative links lead into the repository.

    While the project has no address, links are their words alone, and there are no pictures.
    """
    instead = rf"[\1]({repository.rstrip('/')}/blob/main/\2)" if repository else r"\1"
    picture = rf"![\1]({repository.rstrip('/')}/raw/main/\2)" if repository else ""
    readme = re.sub(r"!\[([^\]]+)\]\((?![a-z]+:)([^)\s]+)\)", picture, readme)
    return re.sub(r"\[([^\]]+)\]\((?![a-z]+:|#)([^)\s]+)\)", instead, readme)


def repository() -> str | None:
    """The address in pyproject.toml, which is the one place that has it."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    urls = re.search(r"^\[project\.urls\]\n((?:[^\[].*\n|\n)*)", text, re.MULTILINE)
    found = re.search(r'^Repository = "(.+)"', urls[1], re.MULTILINE) if urls else None
    return found[1] if found else None


if __name__ == "__main__":
    setup(
        cmdclass={
            "build": build_with_native,
            "build_native": build_native,
            "bdist_wheel": platform_wheel,
        },
        long_description=description((ROOT / "README.md").read_text("utf-8"), repository()),
        long_description_content_type="text/markdown",
    )
