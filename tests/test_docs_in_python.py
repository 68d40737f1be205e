"""The programs of docs/python.md run beside some clips."""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
PROGRAMS = re.findall(r"## ([^\n]+)\n(?:(?!\n## ).)*?```python\n(.*?)```", PAGE.read_text(), re.S)

SMALLER = {
    "mstnet_resnet18": "mstnet_test_resnet",
    'out="runs/first"': 'out="runs/first", weights="none", image_size=32',
    'out="runs/own-data"': 'out="runs/own-data", weights="none", image_size=32',
    'out="runs/own-parts"': 'out="runs/own-parts", weights="none", image_size=32',
    'weights="none", epochs=2': 'weights="none", epochs=2, image_size=32',
    "num_frames=8)": "num_frames=4, image_size=32)",
    "epochs=10": "epochs=1",
}
"""What makes a program short: another network and smaller clips, the rest is as it stands."""


def test_each_part_of_the_page_has_its_program() -> None:
    assert len(PROGRAMS) == PAGE.read_text().count("```python") == 6


RUN_ALL = """
import runpy, sys
for path in sys.argv[1:]:
    print(path, file=sys.stderr)  # the last one is at fault
    runpy.run_path(path, run_name="__main__")
"""


def test_the_programs_run_as_they_stand(tiny_dataset: Path, tmp_path: Path) -> None:
    """One after the other in one process, as imports take longer than they do."""
    shutil.copytree(tiny_dataset, tmp_path / "clips")
    shutil.copy(next(tiny_dataset.rglob("*.mp4")), tmp_path / "new.mp4")
    paths = []
    for title, program in PROGRAMS:
        if "transformers" in program and not (
            find_spec("transformers") and find_spec("accelerate")
        ):
            continue
        for long, short in SMALLER.items():
            program = program.replace(long, short)  # noqa: PLW2901
        paths.append(f"{title}.py")
        (tmp_path / paths[-1]).write_text(program)
    command = [sys.executable, "-c", RUN_ALL, *paths]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0 and "Traceback" not in run.stderr, run.stderr
    assert run.stdout.count("Prediction(") >= 2
