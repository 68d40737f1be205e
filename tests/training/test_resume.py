"""Killed at any moment and resumed, a run ends as one that was not, bit for bit."""

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from safetensors.torch import load_file

from mixtconv.training.fit import train
from mixtconv.training.run_folder import load_settings
from mixtconv.training.settings import TrainingSettings

STOPPED = """
import os, sys
from mixtconv.cli.main import main

sync, writes = os.fsync, 0

def stop(descriptor):
    global writes
    writes += "last.ckpt" in os.readlink(f"/proc/self/fd/{descriptor}")
    sync(descriptor)
    if writes == last_write:
        os.kill(os.getpid(), by)

os.fsync = stop
sys.exit(main(words))
"""


def _run_stopped(
    launchers: ModuleType, settings: TrainingSettings, by: signal.Signals, last_write: int
) -> tuple[int, str]:
    """Train until the given checkpoint of this process is written, but not yet put in place.

    Gives the exit status and what was said of errors.
    """
    config = Path(settings.out).with_suffix(".yaml")
    values = {name: value for name, value in asdict(settings).items() if value is not None}
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    words = ["train", "--config", str(config)]
    return launchers.in_new_process(STOPPED, words=words, by=int(by), last_write=last_write)


def _run_killed(launchers: ModuleType, settings: TrainingSettings, kill_at: int) -> None:
    status, errors = _run_stopped(launchers, settings, signal.SIGKILL, kill_at)
    assert status == -signal.SIGKILL, errors


@pytest.mark.skipif(sys.platform != "linux", reason="names of open files are looked up in /proc")
@pytest.mark.parametrize(
    "recipe",
    [
        {"workers": 0},
        {"workers": 2, "optimizer": "sgd", "mixup": 0.3, "ema": 0.9, "warmup_epochs": 2.0},
        {
            "workers": 0,
            "repeated_augmentation": 2,
            "rand_augment": 2,
            "random_erasing": 0.5,
            "layer_decay": 0.8,
            "drop_path": 0.3,
            "checkpoint_gradients": True,
        },
    ],
    ids=["adamw", "sgd-mixup-ema-workers", "adamw-copies-changes-layers"],
)
def test_killed_and_resumed_equals_unbroken(
    tiny_settings: Callable[..., TrainingSettings], launchers: ModuleType, recipe: dict
) -> None:
    """Four steps an epoch and a checkpoint after each: kills inside the first and second epoch."""
    recipe |= {"epochs": 3, "batch_size": 3, "checkpoint_minutes": 0.0}
    unbroken = train(tiny_settings("unbroken", **recipe))
    settings = tiny_settings("killed", **recipe)
    _run_killed(launchers, settings, kill_at=3)
    assert _progress(settings) == {"epoch": 0, "num_batches": 2}
    _run_killed(launchers, replace(settings, resume=True), kill_at=4)
    assert _progress(settings) == {"epoch": 1, "num_batches": 1}
    resumed = train(replace(settings, resume=True))

    one, other = load_file(unbroken.files.model), load_file(resumed.files.model)
    assert all(torch.equal(one[name], other[name]) for name in one)
    states = [torch.load(run.files.checkpoint, weights_only=True) for run in (unbroken, resumed)]
    for name, value in states[0]["state_dict"].items():
        assert torch.equal(value, states[1]["state_dict"][name])
    assert states[0]["global_step"] == states[1]["global_step"] == 12
    for row, again in zip(unbroken.epochs, resumed.epochs, strict=True):
        assert (row.train_loss, row.val_loss, row.top1) == (
            again.train_loss,
            again.val_loss,
            again.top1,
        )
    assert not list(Path(settings.out).rglob("*.part"))


@pytest.mark.skipif(sys.platform != "linux", reason="names of open files are looked up in /proc")
def test_a_run_that_sums_batches_is_resumed_between_two_steps(
    tiny_settings: Callable[..., TrainingSettings], launchers: ModuleType
) -> None:
    """Twelve batches an epoch in steps of five, five and two."""
    recipe = {"batch_size": 1, "accumulate": 5, "optimizer": "sgd", "checkpoint_minutes": 0.0}
    unbroken = train(tiny_settings("unbroken", **recipe))
    settings = tiny_settings("killed", **recipe)
    _run_killed(launchers, settings, kill_at=2)
    assert _progress(settings) == {"epoch": 0, "num_batches": 5}
    _run_killed(launchers, replace(settings, resume=True), kill_at=4)
    assert _progress(settings) == {"epoch": 1, "num_batches": 5}
    resumed = train(replace(settings, resume=True))
    states = [torch.load(run.files.checkpoint, weights_only=True) for run in (unbroken, resumed)]
    for name, value in states[0]["state_dict"].items():
        assert torch.equal(value, states[1]["state_dict"][name]), name
    assert states[0]["global_step"] == states[1]["global_step"] == 6
    losses = [[row.train_loss for row in run.epochs] for run in (unbroken, resumed)]
    assert losses[0] == losses[1]


def test_other_flip_pairs_are_another_run(
    tiny_settings: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    """The pairs count, not the file that they came from."""
    names = [path.name for path in sorted((Path(tiny_settings().data) / "train").iterdir())]
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text(f"- [{names[0]}, {names[1]}]\n")
    settings = tiny_settings(epochs=1, flip_pairs=str(pairs))
    train(settings)
    assert load_settings(Path(settings.out) / "config.yaml").flip_pairs == [names[:2]]
    again = replace(settings, flip_pairs=str(pairs.rename(tmp_path / "moved.yaml")), resume=True)
    train(again)
    Path(again.flip_pairs).write_text(f"- [{names[0]}, {names[2]}]\n")
    with pytest.raises(ValueError, match=r"other settings \(--flip-pairs\)"):
        train(again)


def _progress(settings: TrainingSettings) -> dict:
    checkpoint = torch.load(Path(settings.out) / "checkpoints" / "last.ckpt", weights_only=True)
    (state,) = [value for key, value in checkpoint["callbacks"].items() if "TrainingState" in key]
    return state


def test_replaced_videos_are_named_and_moved_ones_are_the_same(
    tiny_settings: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_settings().data, data)
    settings = tiny_settings(data=str(data), epochs=1, cache="off")
    files = train(settings).files
    video = min((data / "train").rglob("*.mp4"))
    content, status = video.read_bytes(), video.stat()
    first = next(iter(json.loads(files.videos.read_text()).items()))
    assert first == (
        str(video.relative_to(data)),
        hashlib.blake2b(content, digest_size=16).hexdigest(),
    )
    # One bit, of a file of the same size and times.
    video.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(video, ns=(status.st_atime_ns, status.st_mtime_ns))
    says = rf"^1 of 16 videos do not hold .* \({video.relative_to(data)}\): put those back"
    with pytest.raises(ValueError, match=says):
        train(replace(settings, resume=True))
    files.videos.rename(tmp_path / "videos.json")
    train(replace(settings, resume=True))  # as one that was begun before contents were recorded
    (tmp_path / "videos.json").rename(files.videos)
    video.write_bytes(content)
    train(replace(settings, resume=True, data=str(data.rename(tmp_path / "moved"))))
    files.videos.write_text("[]")
    with pytest.raises(ValueError, match=r"videos\.json does not hold the contents of videos"):
        train(replace(settings, resume=True, data=str(tmp_path / "moved")))


def test_a_head_goes_on_with_the_videos_that_it_was_chosen_by(
    tiny_settings: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_settings().data, data)
    head = {"train": "head", "epochs": 1, "head_lrs": [0.01, 0.02], "head_decays": [0.01]}
    settings = tiny_settings(data=str(data), feature_head="average", cache="off", **head)
    files = train(settings).files
    files.checkpoint.unlink()  # killed between the comparison and its first epoch
    one, other = sorted((data / "train").rglob("*.mp4"))[:2]
    one.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match=rf"^1 of 16 .*\({one.relative_to(data)}\)"):
        train(replace(settings, resume=True))


def test_a_run_without_a_checkpoint_begins_again_with_the_videos_that_are_there(
    tiny_settings: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_settings().data, data)
    settings = tiny_settings(data=str(data), epochs=1)
    files = train(settings).files
    files.checkpoint.unlink()
    one, other = sorted((data / "train").rglob("*.mp4"))[:2]
    one.write_bytes(other.read_bytes())
    train(replace(settings, resume=True))
    contents = json.loads(files.videos.read_text())
    assert contents[str(one.relative_to(data))] == contents[str(other.relative_to(data))]
