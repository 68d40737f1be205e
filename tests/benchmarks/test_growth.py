"""`benchmarks/growth.py`: the exponent, and what is run at each size."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Timing

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "growth.py"


@pytest.fixture(scope="module")
def growth() -> ModuleType:
    spec = importlib.util.spec_from_file_location("growth_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


SIZES = (1, 2, 4, 8)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_is_the_power_that_time_grows_with(growth, power):
    measured = growth.Growth("clips", SIZES, tuple(3 * size**power for size in SIZES))
    assert measured.exponent == pytest.approx(power)


def test_the_deviation_is_from_proportional_time(growth):
    proportional = growth.Growth("clips", SIZES, tuple(0.25 * size for size in SIZES))
    assert proportional.seconds_each == pytest.approx(0.25)
    assert proportional.largest_deviation == pytest.approx(0, abs=1e-9)
    bent = growth.Growth("clips", (1, 2), (1.0, 2 * 1.21))
    assert bent.largest_deviation == pytest.approx(0.1)


def test_every_size_is_run_as_clips_and_as_frames(growth, monkeypatch):
    logits = {}

    def run_all(candidates, *, rounds, device):
        logits.update({name: candidate() for name, candidate in candidates.items()})
        return [Timing(name, (float(name.split()[0]),)) for name in candidates]

    monkeypatch.setattr(growth, "interleave", run_all)
    workload = Workload(
        backbone="test_resnet", num_frames=2, image_size=32, batch_size=4, device="cpu"
    )
    clips, frames = growth.measure_growth(workload, clips=(1, 3), frames=(2, 5))
    assert {name: result.shape[0] for name, result in logits.items()} == {
        "1 clips": 1,
        "3 clips": 3,
        "2 frames": 1,
        "5 frames": 1,
    }
    assert (clips.axis, clips.sizes, clips.seconds) == ("clips", (1, 3), (1.0, 3.0))
    assert (frames.axis, frames.sizes, frames.seconds) == ("frames", (2, 5), (2.0, 5.0))
    assert all(torch.isfinite(result).all() for result in logits.values())
