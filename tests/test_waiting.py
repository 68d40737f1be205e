"""Commands on files let torch's threads sleep while they wait, unless the environment says how."""

import os
import re
import subprocess
import sys
from functools import cache

import pytest

from mixtconv._processes import LOADER_NICENESS, WAITING, wait_passively, yield_to_training
from mixtconv.cli.commands import COMMANDS, SPINNING

POLICY = "OMP_WAIT_POLICY"


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WAITING:
        monkeypatch.setenv(name, "")  # so that what the test sets is taken away after it
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", [None, *WAITING])
def test_what_the_user_says_wins(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    if name is not None:
        monkeypatch.setenv(name, "active" if name == POLICY else "1000")
    before = dict(os.environ)
    wait_passively()
    assert dict(os.environ) == before | ({POLICY: "passive"} if name is None else {})


def test_nothing_changes_once_torch_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    wait_passively()
    assert POLICY not in os.environ


COMMAND = """
import sys
from mixtconv.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
import torch
"""


@pytest.mark.parametrize(
    ("words", "environment", "rounds"),
    [
        (["evaluate", "--help"], {}, "0"),
        (["visualize", "kernels", "--help"], {}, "0"),
        (["predict", "nowhere", "nothing.mp4"], {"GOMP_SPINCOUNT": "77"}, "77"),
        (["stream", "--help"], {}, None),
    ],
)
def test_gnus_openmp_reads_it_when_a_command_loads_torch(
    words: list[str], environment: dict[str, str], rounds: str | None
) -> None:
    """By what the library says itself; for None as for a program that sets nothing."""
    default = spin_count("import torch")
    if default is None:
        pytest.skip("torch has another OpenMP here")
    assert default != "0"
    assert spin_count(COMMAND, *words, **environment) == (rounds or default)


@cache
def spin_count(code: str, *words: str, **environment: str) -> str | None:
    """How often OpenMP's threads look before they sleep, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=os.environ | environment | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    return found and found[1]


def test_only_commands_that_wait_for_frames_or_measure_spin() -> None:
    assert COMMANDS.keys() >= SPINNING
    assert not SPINNING & {"train", "evaluate", "predict", "demo", "ablate", "export", "fuse"}


@pytest.mark.skipif(not hasattr(os, "nice"), reason="no priorities here")
def test_workers_of_a_loader_yield_and_this_process_does_not() -> None:
    from torch.utils.data import DataLoader

    from mixtconv.data.dataset import video_loader

    class Niceness:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> int:
            return os.nice(0)

    before = os.nice(0)
    for workers, expected in ((0, before), (1, min(19, before + LOADER_NICENESS))):
        loader: DataLoader = video_loader(Niceness(), [0, 1], batch_size=None, workers=workers)
        assert list(loader) == [expected] * 2
    assert os.nice(0) == before


def test_a_system_without_priorities_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.nice(0) if hasattr(os, "nice") else None
    with monkeypatch.context() as without:
        without.delattr(os, "nice", raising=False)
        yield_to_training()
    assert before is None or os.nice(0) == before
