"""A run: its files, that it repeats, and what it refuses."""

import csv
import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.summary.writer.record_writer import RecordWriter

from mixtconv.cli.main import main
from mixtconv.data import labels
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.protocol import Protocol
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import create_model, load_model, read_metadata
from mixtconv.training.fit import train
from mixtconv.training.run_folder import RunFiles, load_settings
from mixtconv.training.settings import TrainingSettings
from mixtconv.video.writer import write_video

MakeSettings = Callable[..., TrainingSettings]


def _same_weights(first: Path, second: Path) -> bool:
    one, other = load_file(first), load_file(second)
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_run_leaves_its_model_record_settings_checkpoint_and_logs(
    tiny_settings: MakeSettings,
) -> None:
    settings = tiny_settings()
    result = train(settings)
    folder = Path(settings.out)
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert list((folder / "logs" / "tensorboard").glob("events.*"))
    # With the modality that was chosen for it, so that the file repeats the run.
    assert load_settings(folder / "config.yaml") == replace(settings, modality="motion")

    record = json.loads((folder / "metrics.json").read_text())
    assert [row["epoch"] for row in record["epochs"]] == [1, 2]
    assert record["best"] == max(record["epochs"], key=lambda row: (row["top1"], -row["val_loss"]))
    assert record["best"]["top1"] == result.best.top1
    assert (record["num_train"], record["num_val"], record["unreadable"]) == (12, 4, [])
    assert "1x1" in record["protocol"]
    with (folder / "logs" / "metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]

    model = load_model(folder / "model.safetensors")
    assert model.spec.classes == load_catalog(settings.data).classes
    assert (model.spec.num_frames, model.spec.image_size) == (4, 32)
    assert read_metadata(folder / "model.safetensors")["notes"]["top1"] == result.best.top1
    assert not list(folder.rglob("*.part"))


def test_the_score_of_the_record_is_that_of_evaluate_and_of_predict(
    tiny_settings: MakeSettings,
) -> None:
    settings = tiny_settings(protocol="2x3")
    result = train(settings)
    scored = evaluate_model(
        result.files.model, settings.data, settings=EvaluationSettings(protocol="2x3", workers=0)
    )
    assert scored.accuracy.top1 == result.best.top1
    assert scored.accuracy.mean_class_accuracy == result.best.mean_class_accuracy
    recognizer = Recognizer(result.files.model, protocol=Protocol(2, 3))
    samples = load_catalog(settings.data).val
    right = [
        recognizer.predict(sample.path)[0].label == recognizer.classes[sample.label]
        for sample in samples
    ]
    assert 100 * sum(right) / len(right) == scored.accuracy.top1


def test_groups_hold_for_the_run_its_model_and_whoever_scores_it(
    tiny_settings: MakeSettings, tmp_path: Path
) -> None:
    data = tmp_path / "clips"
    for label in range(2):
        for number in range(8):
            rng = np.random.default_rng([label, number])
            frames = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
            path = data / str(label) / f"room{number // 2}_{number}.avi"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, frames, frames_per_second=10)
    settings = tiny_settings(data=str(data), group=r"(room\d)_", epochs=1)
    result = train(settings)
    files = RunFiles(Path(settings.out))
    assert load_settings(files.config).group == settings.group
    assert json.loads(files.metrics.read_text())["group"] == settings.group
    scored = evaluate_model(
        files.model, str(data), settings=EvaluationSettings(split="val", workers=0)
    )
    held = {(sample.path.parent.name, sample.path.name[:5]) for sample in scored.samples}
    assert len({room for _, room in held}) == 1 and len(held) == 2 and scored.num_videos == 4
    assert scored.accuracy.top1 == pytest.approx(result.best.top1)
    with pytest.raises(ValueError, match=r"other settings \(--group\)"):
        train(replace(settings, group=r"_(\d)", resume=True))
    with pytest.raises(ValueError, match=r"other settings \(--group\)"):
        train(replace(settings, group=None, resume=True))
    assert "group" not in replace(settings, group=None).decisive()  # as before there were any


def test_the_same_seed_gives_the_same_weights_whatever_reads_the_videos(
    tiny_settings: MakeSettings,
) -> None:
    first = train(tiny_settings("first")).files.model
    second = train(tiny_settings("second", workers=2)).files.model
    other = train(tiny_settings("other", seed=1)).files.model
    assert _same_weights(first, second)
    assert not _same_weights(first, other)


def test_the_whole_recipe_trains(tiny_settings: MakeSettings) -> None:
    settings = tiny_settings(
        optimizer="sgd",
        schedule="step",
        milestones=[1.0],
        mixup=0.2,
        cutmix=1.0,
        label_smoothing=0.1,
        ema=0.9,
        sampling="dense",
        frame_stride=2,
        causal=True,
        position="inner",
        stages=[0, 2],
        precision="bf16",
        color_jitter=0.2,
        rand_augment=2,
        rand_magnitude=5.0,
        random_erasing=0.5,
        repeated_augmentation=2,
        layer_decay=0.8,
        drop_path=0.1,
        checkpoint_gradients=True,
    )
    result = train(settings)
    model = load_model(result.files.model)
    assert model.spec.causal
    assert model.spec.stages == (0, 2)
    names = [name for name in model.state_dict() if "temporal" in name]
    assert names
    assert all(name.startswith(("backbone.layer1", "backbone.layer3")) for name in names)
    scored = evaluate_model(
        result.files.model, settings.data, settings=EvaluationSettings(precision="bf16", workers=0)
    )
    assert scored.accuracy.top1 == result.best.top1


def test_an_average_of_the_weights_is_what_is_scored_and_saved(
    tiny_settings: MakeSettings,
) -> None:
    plain = train(tiny_settings("plain", epochs=1, lr=0.05)).files.model
    averaged = train(tiny_settings("averaged", epochs=1, lr=0.05, ema=0.9)).files
    assert not _same_weights(plain, averaged.model)
    checkpoint = torch.load(averaged.checkpoint, weights_only=True)
    saved = load_file(averaged.model)
    for name, value in saved.items():
        assert torch.equal(value, checkpoint["state_dict"][f"model.{name}"])


def test_flip_pairs_and_protocol_are_worked_out_once_a_run(
    tiny_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever needs them takes the plan's, so that they cannot differ inside a run."""
    calls: list[str] = []
    mirror, given, parse = labels.mirror_labels, labels.given_pairs, Protocol.parse

    def counted(name: str, function: Callable) -> Callable:
        def call(*args: object) -> object:
            calls.append(name)
            return function(*args)

        return call

    monkeypatch.setattr(labels, "mirror_labels", counted("pairs", mirror))
    monkeypatch.setattr(labels, "given_pairs", counted("pairs", given))
    monkeypatch.setattr(Protocol, "parse", counted("protocol", parse))
    train(tiny_settings(epochs=1, protocol="1x10"))
    assert sorted(calls) == ["pairs", "protocol"]


def test_a_disk_that_is_full_for_the_curves_is_one_line(
    tiny_settings: MakeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """TensorBoard writes in a thread of its own, and does not name its file."""

    def write(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RecordWriter, "write", write)
    settings = tiny_settings(epochs=1)
    config = tmp_path / "config.yaml"
    values = {name: value for name, value in asdict(settings).items() if value is not None}
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    assert main(["train", "--config", str(config)]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert lines[-1] == f"mixtconv train: No space left on device: {settings.out}"
    assert not any("Traceback" in line or "Thread" in line for line in lines)


# what is refused


def test_a_folder_that_holds_a_run_is_not_written_over(tiny_settings: MakeSettings) -> None:
    settings = tiny_settings(epochs=1)
    train(settings)
    before = (Path(settings.out) / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="holds a run already: give --resume"):
        train(settings)
    with pytest.raises(ValueError, match=r"begun with other settings \(--num-frames, --lr\)"):
        train(replace(settings, resume=True, num_frames=2, lr=1.0))
    assert (Path(settings.out) / "model.safetensors").read_bytes() == before


def test_a_run_is_not_resumed_with_other_videos(
    tiny_settings: MakeSettings, tiny_dataset: Path, tmp_path: Path
) -> None:
    data = tmp_path / "copy"
    shutil.copytree(tiny_dataset, data)
    settings = tiny_settings(data=str(data), epochs=1)
    train(settings)
    moved = data.rename(tmp_path / "moved")
    resumed = replace(settings, resume=True, data=str(moved))
    train(resumed)  # the same videos under another name
    video = next((moved / "train").rglob("*.mp4"))
    video.rename(video.with_name("renamed.mp4"))
    with pytest.raises(ValueError, match=r"not those that the run in .* was begun with"):
        train(resumed)


def test_a_run_is_resumed_without_the_weights_it_began_from(
    tiny_settings: MakeSettings, tmp_path: Path
) -> None:
    weights = tmp_path / "2d.pth"
    torch.save(create_model("tsn_test_resnet", 2).backbone.state_dict(), weights)
    settings = tiny_settings(epochs=1, weights=str(weights))
    train(settings)
    weights.unlink()
    result = train(replace(settings, resume=True))
    assert json.loads(result.files.metrics.read_text())["initial_weights"] == str(weights)


def test_only_what_a_killed_run_left_is_removed(tiny_settings: MakeSettings) -> None:
    settings = tiny_settings(epochs=1)
    folder = Path(settings.out)
    (folder / "deep").mkdir(parents=True)
    theirs = [folder / "deep" / ".holiday.part", folder / ".notes.part"]
    ours = folder / ".model.safetensors.123.part"
    for path in (*theirs, ours):
        path.touch()
    train(settings)
    assert all(path.exists() for path in theirs)
    assert not ours.exists()


def test_more_processes_than_videos_or_devices_are_refused(tiny_settings: MakeSettings) -> None:
    with pytest.raises(ValueError, match="4 validation videos cannot be sharded across 5"):
        train(tiny_settings(devices=5))
    with pytest.raises(ValueError, match="--precision 16 needs a GPU"):
        train(tiny_settings(precision="16"))


def test_there_must_be_a_run_to_resume(tiny_settings: MakeSettings) -> None:
    with pytest.raises(ValueError, match="holds no run to resume"):
        train(tiny_settings(resume=True))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_frames": 0}, "--num-frames is 0; give 1 or more"),
        ({"epochs": 0}, "--epochs is 0"),
        ({"val_fraction": 1.0}, "--val-fraction is 1.0; give 0 to below 1"),
        ({"crop_scales": [1.0, 2.0]}, "--crop-scales is"),
        ({"batch_size": -1}, "--batch-size is -1"),
        ({"ema": 1.0}, "--ema is 1.0"),
        ({"lr": 0.0}, "--lr is 0.0"),
        ({"image_size": 8}, "--image-size is 8"),
        ({"workers": -1}, "--workers is -1"),
        ({"milestones": [1.0]}, "--milestones belongs to --schedule step"),
        ({"rand_augment": -1}, "--rand-augment is -1; give 0 or more"),
        ({"rand_augment": 2, "rand_magnitude": 10.5}, "--rand-magnitude is 10.5; give 0 to 10"),
        ({"rand_magnitude": 7.0}, "--rand-magnitude belongs to --rand-augment"),
        ({"random_erasing": 1.5}, "--random-erasing is 1.5; give 0 to 1"),
        ({"rand_augment": 2, "modality": "flow"}, "--rand-augment changes pictures, and the mod"),
        ({"random_erasing": 1.0, "modality": "rgbflow"}, "--random-erasing changes pictures"),
        ({"repeated_augmentation": 0}, "--repeated-augmentation is 0; give 1 or more"),
        ({"layer_decay": 0.0}, "--layer-decay is 0.0; give more than 0, at most 1"),
        ({"layer_decay": 1.5}, "--layer-decay is 1.5"),
        ({"drop_path": 1.0}, "--drop-path is 1.0; give 0 to below 1"),
        ({"drop_path": 0.1, "train": "head"}, "--drop-path is for a backbone that is trained"),
        ({"layer_decay": 0.5, "train": "head"}, "--layer-decay is for a backbone that is tr"),
        ({"checkpoint_gradients": True, "train": "head"}, "--checkpoint-gradients is for a b"),
        ({"repeated_augmentation": 2, "train": "head"}, "--repeated-augmentation .* more --crops"),
    ],
)
def test_settings_out_of_range_are_refused(
    tiny_settings: MakeSettings, changes: dict, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        tiny_settings(**changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "mstnet_test_resnett"}, "did you mean 'mstnet_test_resnet'"),
        ({"model": "mstvit_test_resnet"}, "found no attention"),
        ({"protocol": "1x2"}, "crops"),
        ({"device": "cuda:77"}, "'cuda:77' cannot be used"),
        ({"device": "tpu"}, "'tpu' cannot be used"),
        ({"device": "meta"}, "'meta' cannot be used"),
        ({"model": "mstnet_resnet18.nothing"}, "unknown model"),
        ({"weights": "nowhere.pth"}, "--weights is 'nowhere.pth'"),
        (
            {"model": "trn_twostream_test_resnet", "color_jitter": 0.2},
            "--color-jitter changes pictures, and the modality is rgbflow: leave it out",
        ),
    ],
)
def test_what_a_run_cannot_use_is_refused_before_anything_is_written(
    tiny_settings: MakeSettings, changes: dict, says: str
) -> None:
    settings = tiny_settings(**changes)
    with pytest.raises(ValueError, match=says):
        train(settings)
    assert not Path(settings.out).exists()


# a full disk


@pytest.mark.skipif(sys.platform != "linux", reason="names of open files are looked up in /proc")
def test_a_full_disk_leaves_the_earlier_checkpoint_whole(
    tiny_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up while the second epoch's checkpoint is written."""
    settings = tiny_settings(epochs=3)
    checkpoint = Path(settings.out) / "checkpoints" / "last.ckpt"
    sync, writes = os.fsync, []

    def fill_up(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").resolve().name
        if "last.ckpt" in name:
            writes.append(name)
            if len(writes) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(OSError, match="No space left on device") as error:
        train(settings)
    assert error.value.filename == str(checkpoint)
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 0
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.ckpt"]
    monkeypatch.undo()

    resumed = train(replace(settings, resume=True)).files
    unbroken = train(tiny_settings("unbroken", epochs=3)).files
    assert _same_weights(resumed.model, unbroken.model)


def test_settings_of_a_run_survive_yaml(tiny_settings: MakeSettings, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: x\nunknown: 1\n")
    with pytest.raises(ValueError, match="does not hold the settings of a run"):
        load_settings(path)
    path.write_text(yaml.safe_dump({"data": "x", "stages": [0, 1]}))
    assert load_settings(path) == TrainingSettings("x", stages=[0, 1])


def test_real_clips_in_two_made_up_classes(
    tiny_settings: MakeSettings, shared_videos: Path, tmp_path: Path
) -> None:
    for number, video in enumerate(sorted(shared_videos.glob("*.*4")) * 2):
        folder = tmp_path / "clips" / ("arms" if "arm" in video.name else "pool")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, folder / f"{number}{video.suffix}")
    write_video(
        tmp_path / "clips" / "pool" / "grey.mp4",
        torch.full((20, 64, 64, 3), 128, dtype=torch.uint8),
        frames_per_second=10,
    )
    result = train(tiny_settings(data=str(tmp_path / "clips"), epochs=1))
    for video in (tmp_path / "clips").rglob("*.mp4"):
        assert len(Recognizer(result.files.model).predict(video)) == 2
