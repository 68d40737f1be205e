"""New processes see the environment that was asked for, and busy ones are busy while told to be."""

import os
import time
from functools import partial

import pytest

from mixtconv.benchmarks.processes import busy_processes, prepare_fresh, run_fresh

NAME = "MIXTCONV_GREETING"


@pytest.mark.parametrize(("given", "seen"), [("hello", "hello"), (None, None)])
def test_a_variable_is_set_or_taken_away_for_the_new_process_alone(given, seen, monkeypatch):
    monkeypatch.setenv(NAME, "before")
    assert run_fresh(partial(os.getenv, NAME), environment={NAME: given}) == seen
    assert os.environ[NAME] == "before"


def test_a_prepared_function_runs_elsewhere_and_as_often_as_it_is_called(tmp_path):
    path = tmp_path / "log"
    code = f"import os; open({str(path)!r}, 'a').write(f'{{os.getpid()}} ')"
    with prepare_fresh(partial(partial, exec, code, {})) as run:
        run()
        run()
    first, second = path.read_text().split()
    assert first == second != str(os.getpid())


@pytest.mark.skipif(not hasattr(os, "times"), reason="no times of child processes here")
def test_processes_are_busy_only_between_on_and_off(monkeypatch):
    """By the processor time that the system has counted for them."""
    psutil = pytest.importorskip("psutil")
    before = {child.pid for child in psutil.Process().children()}
    with busy_processes(1) as keep_busy:
        # Python's own process for shared memory may have been started as well.
        busy = max(
            (child for child in psutil.Process().children() if child.pid not in before),
            key=lambda child: "resource_tracker" not in " ".join(child.cmdline()),
        )

        def used(seconds: float) -> float:
            before = busy.cpu_times()
            time.sleep(seconds)
            after = busy.cpu_times()
            return after.user + after.system - before.user - before.system

        assert used(0.5) < 0.1
        keep_busy(True)
        deadline = time.monotonic() + 60  # other processes may have the cores
        total = 0.0
        while total < 0.2 and time.monotonic() < deadline:
            total += used(0.2)
        assert total >= 0.2
        keep_busy(False)
        used(0.1)
        assert used(0.5) < 0.1
    assert not busy.is_running()
