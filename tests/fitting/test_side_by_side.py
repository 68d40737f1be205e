"""Work in several processes: who does what, what fails, and that none is left behind.

Tasks are given as code to evaluate, since another process cannot import this module.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from mixtconv.fitting.side_by_side import SideBySide

FACTS = (
    "__import__('time').sleep(0.3), __import__('os').getpid(), "
    "__import__('torch').get_num_threads()"
)


def task(code: str) -> Callable[[], Any]:
    return partial(eval, code)


def test_tasks_are_shared_and_their_outcomes_keep_their_places() -> None:
    threads = torch.get_num_threads()
    outcomes: dict[int, Any] = {}
    with SideBySide(2) as processes:
        processes.run([task(f"{number}, {FACTS}") for number in range(6)], outcomes.__setitem__)
    assert {place: outcome[0] for place, outcome in outcomes.items()} == dict(enumerate(range(6)))
    assert len({outcome[2] for outcome in outcomes.values()}) == 2
    assert outcomes[0][2] == os.getpid()  # the first task is done here
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert {outcome[3] for outcome in outcomes.values()} == {max(1, (cores or 1) // 2)}
    assert torch.get_num_threads() == threads


def test_what_fails_in_another_process_is_raised_here() -> None:
    done: dict[int, Any] = {}
    with SideBySide(2) as processes:
        with pytest.raises(ValueError, match="no clips"):
            tasks = [task("__import__('time').sleep(1)"), task("int('no clips')")]
            processes.run(tasks, done.__setitem__)
        assert done == {0: None}
        # The process goes on after that.
        processes.run([task(FACTS)] * 2, done.__setitem__)
    assert len({outcome[1] for outcome in done.values()}) == 2


@pytest.mark.skipif(os.name == "nt", reason="processes are killed by signals")
def test_a_process_that_dies_is_named() -> None:
    die = task("__import__('os').kill(__import__('os').getpid(), 9)")
    with (
        SideBySide(2) as processes,
        pytest.raises(
            ValueError,
            match=r"which trains, was ended by SIGKILL.*smaller --batch-size.*--resume",
        ),
    ):
        processes.run([task("None"), die], lambda place, outcome: None)


BEAT = """
import pathlib, time
while True:
    pathlib.Path(name).write_text(str(time.time()))
    time.sleep(0.1)
"""
HOLD = f"""
from functools import partial
from mixtconv.fitting.side_by_side import SideBySide
with SideBySide(2) as processes:
    tasks = [partial(exec, {BEAT!r}, dict(name=name)) for name in ("first", "other")]
    processes.run(tasks, print)
"""


def is_alive(path: Path) -> bool:
    before = path.read_text() if path.exists() else ""
    time.sleep(1)
    return path.exists() and path.read_text() != before


def test_other_processes_end_with_the_first_one(tmp_path: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", HOLD], cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not is_alive(tmp_path / "other"):
        assert time.monotonic() < deadline and first.poll() is None
    first.kill()
    first.wait()
    while is_alive(tmp_path / "other"):
        assert time.monotonic() < deadline
