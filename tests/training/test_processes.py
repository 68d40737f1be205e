"""Several processes train one model and score every video once."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mixtconv._processes import find_launch
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models import create_model, save_model
from mixtconv.training.fit import train
from mixtconv.training.plan import resolve_settings
from mixtconv.training.run_folder import load_settings
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]


@pytest.fixture(scope="module")
def odd_dataset(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve videos to train on and three to score, which two processes cannot halve."""
    folder = tmp_path_factory.mktemp("odd") / "data"
    shutil.copytree(tiny_dataset, folder)
    max((folder / "val").rglob("*.mp4")).unlink()
    return folder


@pytest.fixture
def comparable(tiny_settings: MakeSettings, odd_dataset: Path) -> MakeSettings:
    """Settings by which the number of processes changes nothing: no batch norm, no dropout."""

    def make(out: str, **changes: Any) -> TrainingSettings:
        values = {"data": str(odd_dataset), "model": "mstnet_test_convnext", "dropout": 0.0}
        return tiny_settings(out, **values | {"val_fraction": 0.5, "lr": 0.003} | changes)

    return make


def _words(settings: TrainingSettings) -> list[str]:
    """The command line of a run, without numbers of devices."""
    names = ("model", "weights", "num_frames", "image_size", "epochs", "batch_size", "workers")
    names += ("device", "dropout", "lr", "val_fraction", "out")
    words = [(f"--{name.replace('_', '-')}", getattr(settings, name)) for name in names]
    flags = [str(word) for flag, value in words if value is not None for word in (flag, value)]
    return ["train", settings.data, *flags]


def _assert_same_run(one: Path, other: Path) -> None:
    """Two runs have the same scores, and losses and weights but for rounding."""
    rows = [json.loads((run / "metrics.json").read_text())["epochs"] for run in (one, other)]
    for first, second in zip(*rows, strict=True):
        for name in ("epoch", "top1", "top5", "mean_class_accuracy", "skipped", "learning_rate"):
            assert first[name] == second[name], name
        for name in ("train_loss", "val_loss"):
            assert first[name] == pytest.approx(second[name], rel=1e-5), name
    states = [
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in (one, other)
    ]
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-4, atol=1e-6)


def test_two_processes_train_one_model_and_speak_once(
    tiny_settings: MakeSettings, launchers: ModuleType, tmp_path: Path
) -> None:
    settings = tiny_settings(epochs=1)
    # Without cached frames: those that `evaluate` reads are not shrunk before.
    words = [*_words(settings), "--devices", "2", "--cache", "off", "--format", "json"]
    done = launchers.run([sys.executable, "-m", "mixtconv", *words], tmp_path)
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout)["best"]  # one process alone printed it
    assert done.stderr.count("epoch 1/1") == 1
    scored = evaluate_model(
        Path(settings.out) / "model.safetensors",
        settings.data,
        settings=EvaluationSettings(workers=0),
    )
    assert scored.accuracy.top1 == best["top1"]
    checkpoint = torch.load(Path(settings.out) / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2  # six clips for each process, four a step


@pytest.mark.parametrize(
    ("launcher", "size", "copies"), [("torchrun", (2, 1), 1), ("slurm", (1, 2), 2)]
)
def test_two_processes_give_what_one_with_twice_the_batch_gives(
    launcher: str,
    size: tuple[int, int],
    copies: int,
    comparable: MakeSettings,
    launchers: ModuleType,
    tmp_path: Path,
) -> None:
    alone = train(comparable("alone", batch_size=6, repeated_augmentation=copies))
    words = [*_words(comparable("both", batch_size=3)), "--repeated-augmentation", str(copies)]
    start = getattr(launchers, launcher)
    status, output, errors = start([*words, "--format", "json"], tmp_path)
    assert status == 0, errors
    assert json.loads(output)["best"]["top1"] == alone.best.top1  # one process alone printed it
    assert [errors.count(f"epoch {epoch}/2") for epoch in (1, 2)] == [1, 1]
    _assert_same_run(alone.files.folder, tmp_path / "both")
    written = load_settings(tmp_path / "both" / "config.yaml")
    assert (written.devices, written.nodes) == size


def test_two_processes_learn_from_teachers_and_each_other_as_one_does(
    comparable: MakeSettings, odd_dataset: Path, launchers: ModuleType, tmp_path: Path
) -> None:
    classes = sorted(folder.name for folder in (odd_dataset / "train").iterdir())
    teacher = create_model("tsn_test_resnet", classes=classes, num_frames=3, image_size=48)
    save_model(teacher, tmp_path / "teacher.safetensors")
    recipe = {"teacher": str(tmp_path / "teacher.safetensors"), "mutual": "tsn_test_convnext"}
    recipe |= {"teacher_features": 0.5, "epochs": 1}
    alone = train(comparable("alone", batch_size=6, **recipe))
    words = _words(comparable("both", batch_size=3, **recipe))
    words += [f"--{name.replace('_', '-')}={value}" for name, value in recipe.items()]
    status, _, errors = launchers.torchrun(words, tmp_path)
    assert status == 0, errors
    _assert_same_run(alone.files.folder, tmp_path / "both")
    scores = [
        json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("alone", "both")
    ]
    assert scores[0]["partner"] == pytest.approx(scores[1]["partner"])


@pytest.mark.parametrize("launcher", ["torchrun", "--devices"])
def test_when_one_process_dies_the_others_end(
    launcher: str, tiny_settings: MakeSettings, launchers: ModuleType, tmp_path: Path
) -> None:
    script = tmp_path / "dies.py"
    script.write_text(
        "import os, sys\n"
        "from mixtconv.cli.main import main\n"
        "from mixtconv.training.module import ClassifierModule\n"
        "if os.environ.get('LOCAL_RANK') == '1':\n"
        "    ClassifierModule.training_step = lambda *arguments: os._exit(9)\n"
        "sys.exit(main())\n"
    )
    start = launchers.TORCHRUN if launcher == "torchrun" else [sys.executable]
    more = [] if launcher == "torchrun" else ["--devices", "2", "--cache", "off"]
    done = launchers.run([*start, str(script), *_words(tiny_settings(epochs=1)), *more], tmp_path)
    assert done.returncode != 0
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_sums_of_an_epoch_survive_checkpoints_when_one_process_adds_nothing(
    tiny_settings: MakeSettings, tiny_dataset: Path, launchers: ModuleType, tmp_path: Path
) -> None:
    """One process meets a broken video after a checkpoint, so the other has skipped none."""
    data = tmp_path / "data"
    shutil.copytree(tiny_dataset, data)
    next((data / "train").rglob("*.mp4")).write_bytes(b"")
    script = tmp_path / "saves.py"
    script.write_text(
        "import sys\n"
        "from mixtconv.cli.main import main\n"
        "from mixtconv.training import checkpoint, fit\n"
        "checkpoint.STEPS_BETWEEN_BROADCASTS = 1\n"
        "fit.check_videos = lambda plan, **_: plan\n"
        "sys.exit(main())\n"
    )
    settings = tiny_settings(epochs=1, batch_size=1, data=str(data))
    words = [*_words(settings), "--skip-unreadable", "--checkpoint-minutes", "0"]
    done = launchers.run([*launchers.TORCHRUN, str(script), *words], tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((Path(settings.out) / "metrics.json").read_text())["epochs"]
    assert row["skipped"] == 1
    assert 0 < row["train_loss"] < 10


# what the launcher has decided


def _as_launched(settings: TrainingSettings) -> TrainingSettings:
    return resolve_settings(settings, find_launch())


def _launch(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_a_launcher_decides_on_devices_and_machines(
    tiny_settings: MakeSettings, launchers: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _as_launched(tiny_settings()).num_processes == 1
    sizes = {"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "4"}
    _launch(monkeypatch, {**launchers.SLURM, **sizes})
    resolved = _as_launched(tiny_settings())
    assert (resolved.devices, resolved.nodes, resolved.clips_per_step) == (4, 2, 32)
    assert _as_launched(resolved) == resolved
    with pytest.raises(ValueError, match="Slurm started 4 on 2; leave both out, and start one"):
        _as_launched(tiny_settings(devices=8))
    # torchrun inside a Slurm job, one task a machine
    torchrun = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "3"}
    _launch(monkeypatch, torchrun)
    resolved = _as_launched(tiny_settings())
    assert (resolved.devices, resolved.nodes) == (3, 2)
    monkeypatch.setenv("WORLD_SIZE", "7")
    with pytest.raises(ValueError, match="torchrun started 7 processes, which are not 2 x 3"):
        _as_launched(tiny_settings())


def test_slurm_must_say_how_many_processes_a_machine_has(
    tiny_settings: MakeSettings, launchers: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    _launch(monkeypatch, {**launchers.SLURM, "SLURM_NTASKS": "4", "SLURM_NNODES": "1"})
    with pytest.raises(ValueError, match="with --nodes and --ntasks-per-node"):
        _as_launched(tiny_settings())
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert _as_launched(tiny_settings(devices=2)).devices == 2


def test_a_run_goes_on_with_as_many_processes_on_other_machines(
    tiny_settings: MakeSettings,
) -> None:
    two = tiny_settings(devices=2)
    assert tiny_settings(nodes=2).changed_from(two) == []
    assert tiny_settings(devices=2, nodes=2).changed_from(two) == ["--nodes"]
