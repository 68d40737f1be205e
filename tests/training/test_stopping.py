"""Ctrl-C and SIGTERM end a training between two steps, and it goes on to the same weights."""

import shlex
import shutil
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from mixtconv._stopping import Stopped
from mixtconv.cli.main import main
from mixtconv.training.checkpoint import naming_what_is_kept
from mixtconv.training.fit import train
from mixtconv.training.run_folder import RunFiles, load_epochs
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]

ASKED = """
import multiprocessing, os, subprocess, sys, time
from mixtconv.cli.main import main
from mixtconv.training.record import RunRecord

hook, calls = getattr(RunRecord, at), 0

def ask(self, *arguments):
    global calls
    calls += 1
    if calls == call:
        for number in by:
            for reader in multiprocessing.active_children():  # as terminals and clusters do,
                # which are other processes: from this one a signal says that no more is needed
                subprocess.run(["sh", "-c", f"kill -{int(number)} {reader.pid}"], check=True)
            os.kill(os.getpid(), number)
            if len(by) > 1:
                time.sleep(pause)
    return hook(self, *arguments)

setattr(RunRecord, at, ask)
sys.exit(main(words))
"""
"""A training to which signals are sent at the so-manieth call of a hook."""

STEP = "on_train_batch_start"
INT, TERM = signal.SIGINT, signal.SIGTERM
SUMS = {"batch_size": 1, "accumulate": 5, "workers": 1}
"""A recipe whose steps need more batches than its reader has read ahead."""


def _words(settings: TrainingSettings) -> list[str]:
    config = Path(settings.out).with_suffix(".yaml")
    values = {name: value for name, value in asdict(settings).items() if value is not None}
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    return ["train", "--config", str(config)]


def _asked(
    launchers: ModuleType,
    words: list[str],
    by: list[int],
    *,
    at: str = STEP,
    call: int,
    pause: float = 0.7,
) -> tuple[int, str]:
    """Train; the exit status, and the last line of what was said."""
    status, errors = launchers.in_new_process(
        ASKED, words=words, by=[int(number) for number in by], at=at, call=call, pause=pause
    )
    assert "Traceback" not in errors, errors
    assert errors.count("Ctrl-C again ends it at once") <= 1, errors  # by this process alone
    return status, errors.splitlines()[-1]


def _place(settings: TrainingSettings) -> tuple[int, int]:
    state = torch.load(RunFiles(Path(settings.out)).checkpoint, weights_only=True)["callbacks"]
    return state["TrainingState"]["epoch"], state["TrainingState"]["num_batches"]


def _same_end(one: TrainingSettings, other: TrainingSettings) -> bool:
    """Whether two runs have the same model and the same losses."""
    files = [RunFiles(Path(each.out)) for each in (one, other)]
    losses = [[(row.train_loss, row.val_loss) for row in load_epochs(f.metrics)] for f in files]
    models = [load_file(each.model) for each in files]
    return losses[0] == losses[1] and all(
        torch.equal(value, models[1][name]) for name, value in models[0].items()
    )


@pytest.mark.parametrize(
    ("recipe", "by", "at", "call", "place", "says"),
    [
        ({}, INT, STEP, 2, (0, 2), "0 of 3 epochs and 2 batches of the next"),
        (SUMS | {"ema": 0.9}, TERM, STEP, 18, (1, 10), "1 of 3 epochs and 10 batches of the next"),
        ({"workers": 1}, INT, STEP, 4, (1, 0), "1 of 3 epochs"),
        ({"workers": 1}, INT, "on_validation_batch_end", 2, (1, 0), "1 of 3 epochs"),
        ({"workers": 1}, TERM, STEP, 12, (3, 0), "3 of 3 epochs"),
        (SUMS, INT, STEP, 6, (0, 10), "0 of 3 epochs and 10 batches of the next"),
    ],
    ids=["inside", "second-epoch", "last-step", "validation", "last-epoch", "readers-needed"],
)
def test_a_training_that_is_asked_to_stop_goes_on_to_the_same_weights(
    tiny_settings: MakeSettings,
    launchers: ModuleType,
    recipe: dict[str, Any],
    by: int,
    at: str,
    call: int,
    place: tuple[int, int],
    says: str,
) -> None:
    """Of four batches an epoch, or twelve, by the command that the last line names."""
    recipe = {"epochs": 3, "batch_size": 3, **recipe}
    unbroken = tiny_settings("unbroken", **recipe)
    train(unbroken)
    settings = tiny_settings("stopped run", **recipe)
    status, line = _asked(launchers, _words(settings), [by], at=at, call=call)
    assert (status, _place(settings)) == (128 + by, place), line
    checkpoint = Path(settings.out, "checkpoints", "last.ckpt")
    assert line.startswith(f"mixtconv train: stopped: {checkpoint} holds {says}")
    program, *words = shlex.split(line.partition("; go on with: ")[2])
    assert program == "mixtconv" and words == [*_words(settings), "--resume"]
    assert main(words) == 0
    assert _same_end(unbroken, settings)


def test_a_second_ctrl_c_ends_at_once_and_what_was_saved_before_goes_on(
    tiny_settings: MakeSettings, launchers: ModuleType
) -> None:
    recipe = {"epochs": 2, "batch_size": 3}
    unbroken, settings = tiny_settings("unbroken", **recipe), tiny_settings("stopped", **recipe)
    train(unbroken)
    status, line = _asked(launchers, _words(settings), [INT, INT], call=7)
    assert (status, _place(settings)) == (130, (1, 0)) and "holds 1 of 2 epochs; go on" in line
    train(replace(settings, resume=True))
    assert _same_end(unbroken, settings)


def test_where_nothing_was_saved_nothing_is_to_be_resumed(
    tiny_settings: MakeSettings, launchers: ModuleType
) -> None:
    """And the same command begins anew."""
    settings = tiny_settings(epochs=1, batch_size=3)
    words = _words(settings)
    assert _asked(launchers, words, [INT, INT], call=2) == (130, "mixtconv train: stopped")
    assert main(words) == 0


@pytest.mark.parametrize("by", [[INT, TERM, TERM], [INT, INT, INT]])
def test_what_a_launcher_repeats_asks_for_no_more(
    by: list[int], tiny_settings: MakeSettings, launchers: ModuleType
) -> None:
    settings = tiny_settings(epochs=1, batch_size=3)
    status, _ = _asked(launchers, _words(settings), by, call=2, pause=0.0)
    assert (status, _place(settings)) == (130, (0, 2))


@pytest.mark.parametrize("command", ["ablate", "fit", "demo"])
def test_what_trains_several_models_says_how_it_goes_on(
    command: str, tiny_settings: MakeSettings, tmp_path: Path, launchers: ModuleType
) -> None:
    data, out = tiny_settings().data, str(tmp_path / "out")
    clips = ["--model", "mstnet_test_resnet", "--num-frames", "4", "--image-size", "32"]
    clips += ["--weights", "none", "--epochs", "1", "--batch-size", "4", "--modality", "rgb"]
    words = {
        "ablate": [data, *clips, "--operations", "[ks3]", "--seeds", "1"],
        "fit": [data, *clips, "--lr", "0.01", "--folds", "0", "--flip", "false"],
        "demo": ["--quick"],
    }
    given = [command, *words[command], "--workers", "0", "--device", "cpu", "--out", out]
    status, line = _asked(launchers, given, [INT], call=2)
    assert status == 130
    kept, _, command_line = line.partition("; go on with: ")
    if command == "demo":  # which refuses a folder that is not empty
        assert kept == (
            f"mixtconv demo: stopped: a demo does not go on: remove {out}, or give another --out"
        )
        return
    assert kept.startswith(f"mixtconv {command}: stopped: {out}")
    again = shlex.split(command_line)[1:]
    assert again == given + {"ablate": [], "fit": ["--resume"]}[command]
    assert main(again) == 0


def test_a_dead_reader_is_followed_by_what_is_kept_if_anything_is(
    tiny_settings: MakeSettings,
) -> None:
    died = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    files = RunFiles(Path(tiny_settings().out))
    with pytest.raises(ChildProcessError) as error, naming_what_is_kept(files, epochs=1):
        raise died
    assert "go on" not in str(error.value)
    train(tiny_settings(epochs=1))
    with pytest.raises(ChildProcessError) as error, naming_what_is_kept(files, epochs=2):
        raise died
    assert "last.ckpt holds 1 of 2 epochs: go on with the same command" in str(error.value)
    with pytest.raises(Stopped), naming_what_is_kept(files, epochs=2):
        raise KeyboardInterrupt
    shutil.rmtree(files.folder)
    with pytest.raises(KeyboardInterrupt) as stop, naming_what_is_kept(files, epochs=2):
        raise KeyboardInterrupt
    assert not isinstance(stop.value, Stopped)
