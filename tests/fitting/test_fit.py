"""A fit, end to end on a few synthetic clips: what it writes, how it stops, how it goes on."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.frame_cache import FrameCache
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.fitting import record as fit_record
from mixtconv.fitting.fit import fit
from mixtconv.fitting.settings import FitSettings
from mixtconv.fitting.trials import Training, run_trial
from mixtconv.models import load_model
from mixtconv.training import record as run_record
from mixtconv.training.run_folder import load_epochs, load_settings

MakeSettings = Callable[..., FitSettings]


@contextmanager
def quiet(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that shows nothing."""
    yield lambda done, total: None


@pytest.fixture
def settings(tiny_dataset: Path, tmp_path: Path) -> MakeSettings:
    """Settings of a fit of seconds: all that is slow is fixed."""

    def make(**changes: Any) -> FitSettings:
        values: dict[str, Any] = {
            "data": str(tiny_dataset),
            "out": str(tmp_path / "fit"),
            "minutes": 5.0,
            "model": "mstnet_test_resnet",
            "num_frames": 4,
            "image_size": 32,
            "epochs": 2,
            "batch_size": 4,
            "folds": 2,
            "modality": "motion",
            "flip": False,
            "lr": 0.01,
            "workers": 0,
            "device": "cpu",
        }
        return FitSettings(**values | changes)

    return make


def test_a_fit_writes_a_run_an_estimate_and_a_page(settings: MakeSettings) -> None:
    result = fit(settings(), progress=quiet)
    folder = result.model.parent
    record = json.loads((folder / "fit.json").read_text())
    # Twelve clips to train on, in two folds, each scored by the model of the other.
    assert record["estimate"]["num_clips"] == 12
    assert len(record["estimate"]["by_fold"]) == 2
    # The val/ of the data, four clips, was in none of the lists.
    assert record["held_out"]["num_clips"] == 4
    lists = {path.stem: path.read_text() for path in (folder / "lists").glob("*.csv")}
    assert not any("/val/" in text for text in lists.values())
    assert {name: lists[name].count("/train/") for name in ("all", "fold-1", "fold-2")} == {
        "all": 12, "fold-1": 12, "fold-2": 12
    }  # fmt: skip
    assert load_model(result.model).spec.modality == "motion"
    assert load_model(result.model).notes["num_train"] == 12
    page = (folder / "report.html").read_text()
    assert "expected on new clips" in page
    assert "How the model was chosen" not in page  # all of it was fixed
    # An ordinary run, which its config.yaml repeats.
    run = load_settings(folder / "config.yaml")
    assert (run.model, run.keep, run.epochs) == ("mstnet_test_resnet", "last", 2)
    assert Path(run.data).read_text().count("train\n") + Path(run.data).read_text().count(
        "train\r\n"
    ) == 12  # fmt: skip
    with pytest.raises(ValueError, match=r"holds a fit or a run already: give --resume"):
        fit(settings(), progress=quiet)


def test_recipes_are_tried_on_a_fold_and_the_choice_has_a_reason(settings: MakeSettings) -> None:
    open_choices = settings(modality=None, flip=None, lr=None, epochs=1, minutes=3.0)
    result = fit(open_choices, progress=quiet)
    tried = [name for name in result.record.trials if name.startswith("trial")]
    assert {"trial motion", "trial rgb"} < set(tried)
    assert any(name.endswith("-mirrored") for name in tried)
    assert "How the model was chosen" in result.report.read_text()
    choices = {name: choice for choice in result.record.choices for name in choice.settings}
    assert choices["modality"].settings["modality"] in ("motion", "rgb")
    assert "held out" in choices["modality"].reason and "held out" in choices["flip"].reason
    best = min(
        (trial for name, trial in result.record.trials.items() if name in tried),
        key=lambda trial: trial.loss,
    )
    assert result.record.plan is not None
    chosen = result.record.plan.recipe.settings
    assert (chosen["modality"], chosen["flip"]) == (
        best.settings["modality"],
        best.settings["flip"],
    )


@pytest.fixture
def stop_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes the first calls of a training of that name end by Ctrl-C after an epoch."""

    def arrange(name: str, *, times: int = 1) -> list[str]:
        begun: list[str] = []
        write = run_record.RunRecord._write

        def stop(record: run_record.RunRecord) -> None:
            write(record)
            if record.files.folder.name == name and begun.count(name) <= times:
                raise KeyboardInterrupt

        def run(job: Training, *args: Any, **kwargs: Any) -> Any:
            begun.append(job.folder.name)
            return run_trial(job, *args, **kwargs)

        monkeypatch.setattr(run_record.RunRecord, "_write", stop)
        monkeypatch.setattr(fit_record, "processes_that_pay", lambda device: 1)
        monkeypatch.setattr(fit_record, "run_trial", run)
        return begun

    return arrange


def test_a_fit_stopped_in_its_last_training_goes_on_there(
    settings: MakeSettings, stop_in: Callable[..., list[str]]
) -> None:
    begun = stop_in("final")
    changes = {"modality": None, "epochs": 3}
    with pytest.raises(KeyboardInterrupt):
        fit(settings(**changes), progress=quiet)
    folder = Path(settings().out)
    stopped = json.loads((folder / "fit.json").read_text())
    assert begun == ["motion", "rgb", "final"]
    # The best trial's model, until the last training has ended.
    best = min(stopped["trials"], key=lambda name: stopped["trials"][name]["loss"])
    trial = folder / "trials" / best.removeprefix("trial ") / "model.safetensors"
    assert (folder / "model.safetensors").read_bytes() == trial.read_bytes()
    result = fit(settings(**changes, resume=True), progress=quiet)
    assert begun[3:6] == ["final", "2", "1"]  # no trial again, the fold that chose comes last
    epochs = load_epochs(folder / "metrics.json")
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]
    record = json.loads((folder / "fit.json").read_text())
    assert record["choices"] == stopped["choices"] and record["plan"] == stopped["plan"]
    assert record["seconds"] > stopped["seconds"] + result.record.trials["final"].seconds
    assert load_model(result.model).notes["num_train"] == 12


def test_a_fit_stopped_in_a_trial_tries_again_without_doubling_its_choices(
    settings: MakeSettings, stop_in: Callable[..., list[str]]
) -> None:
    begun = stop_in("rgb")
    with pytest.raises(KeyboardInterrupt):
        fit(settings(modality=None), progress=quiet)
    result = fit(settings(modality=None, resume=True), progress=quiet)
    assert begun[:5] == ["motion", "rgb", "motion", "rgb", "final"]
    names = [name for choice in result.record.choices for name in choice.settings]
    assert len(names) == len(set(names)) and "modality" in names


def test_without_trials_a_stopped_fit_has_the_model_of_the_last_epoch(
    settings: MakeSettings, stop_in: Callable[..., list[str]]
) -> None:
    stop_in("final", times=2)
    model = Path(settings().out) / "model.safetensors"
    for epoch in (1, 1):  # the second call is stopped after the same epoch, before its checkpoint
        with pytest.raises(KeyboardInterrupt):
            fit(settings(epochs=3, resume=model.exists()), progress=quiet)
        assert load_model(model).notes["epoch"] == epoch
        assert not model.is_symlink()
    fit(settings(epochs=3, resume=True), progress=quiet)
    assert load_model(model).notes["epoch"] == 3


def test_without_trials_the_model_is_linked_to_the_last_training(settings: MakeSettings) -> None:
    run = fit_record.FitRun(settings())
    run.side_by_side.__exit__()
    run._point_to_last_training()  # as before it begins; a killed fit comes no further
    final = Path(settings().out, "final")
    final.mkdir()
    (final / "model.safetensors").write_text("epoch 7")
    assert Path(settings().out, "model.safetensors").read_text() == "epoch 7"


def test_a_fit_goes_on_with_the_clips_that_it_was_begun_with(
    settings: MakeSettings, tiny_dataset: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_dataset, data)
    given = settings(data=str(data))
    run = fit_record.FitRun(given)
    run.side_by_side.__exit__()
    catalog = load_catalog(data)
    run.keep_to(catalog, known={})
    with run.saved():
        pass
    again = fit_record.FitRun(replace(given, resume=True))
    again.side_by_side.__exit__()
    again.keep_to(catalog, known={})
    one, other = sorted((data / "train").rglob("*.mp4"))[:2]
    one.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match=rf"^1 of 16 .* the fit in .*\({one.relative_to(data)}\)"):
        again.keep_to(catalog, known={})
    again.files.videos.unlink()  # begun before contents were recorded
    again.keep_to(catalog, known={})


@pytest.mark.parametrize("place", ["2", "25"])  # a fold, a part for the learning curve
def test_a_fit_stopped_later_goes_on_there_with_more_minutes(
    place: str, settings: MakeSettings, stop_in: Callable[..., list[str]]
) -> None:
    begun = stop_in(place)
    changes = {"folds": None, "epochs": 1, "minutes": 10.0}  # three folds
    with pytest.raises(KeyboardInterrupt):
        fit(settings(**changes), progress=quiet)
    folder = Path(settings().out)
    before = (folder / "lists" / "folds.json").read_text()
    done = len(begun) - 1
    result = fit(settings(**changes | {"minutes": 40.0}, resume=True), progress=quiet)
    # Forty minutes would make five folds, which clips that models were trained on would be in.
    assert (folder / "lists" / "folds.json").read_text() == before
    assert begun[done + 1] == place and "final" not in begun[done + 1 :]
    assert result.record.estimate is not None and len(result.record.estimate.by_fold) == 3


def test_a_fit_goes_on_with_the_same_settings_and_clips_alone(
    settings: MakeSettings, tiny_dataset: Path, tmp_path: Path
) -> None:
    videos = sorted(tiny_dataset.glob("train/*/*.mp4"))
    lines = [f"{video},{video.parent.name}" for video in videos]
    clips = tmp_path / "clips.csv"
    clips.write_text("\n".join(lines))
    fit(settings(data=str(clips), folds=0, epochs=1), progress=quiet)
    begun = settings(data=str(clips), folds=0, epochs=1, resume=True)
    with pytest.raises(ValueError, match=r"begun with .*clips\.csv: go on with the same"):
        fit(replace(begun, data="elsewhere"), progress=quiet)
    with pytest.raises(ValueError, match=r"begun with other settings \(--epochs, --seed\)"):
        fit(replace(begun, epochs=2, seed=1), progress=quiet)
    clips.write_text("\n".join(lines[1:]))
    with pytest.raises(ValueError, match=r"the clips of .*clips\.csv are not those that the fit"):
        fit(begun, progress=quiet)
    for text in ("[]", "null", "{", '{"settings": 1}'):
        Path(begun.out, "fit.json").write_text(text)
        with pytest.raises(ValueError, match=r"fit\.json does not hold the record of a fit"):
            fit(begun, progress=quiet)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 0}, r"--minutes is 0; give more than 0"),
        ({"folds": 1}, r"--folds is 1; give 0 for none, or 2 or more"),
        ({"image_size": 8}, r"--image-size is 8; give 16 or more"),
        ({"resume": True}, r"holds no fit to go on with"),
    ],
)
def test_settings_out_of_range_are_refused(
    settings: MakeSettings, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(settings(**changes), progress=quiet)


def test_an_unreadable_clip_stops_the_fit_unless_it_may_be_left_out(
    settings: MakeSettings, tiny_dataset: Path, tmp_path: Path
) -> None:
    lines = [f"{video},{video.parent.name}" for video in sorted(tiny_dataset.glob("train/*/*.mp4"))]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    (tmp_path / "clips.csv").write_text("\n".join([*lines, f"{broken},{lines[0].split(',')[1]}"]))
    data = str(tmp_path / "clips.csv")
    with pytest.raises(ValueError, match=r"1 video cannot be read: .*broken\.mp4.*--skip-unread"):
        fit(settings(data=data), progress=quiet)
    result = fit(
        settings(data=data, out=str(tmp_path / "other"), skip_unreadable=True, folds=0),
        progress=quiet,
    )
    assert result.record.estimate is None and result.record.held_out is None
    assert load_model(result.model).notes["num_train"] == 12


def test_data_with_a_train_part_alone_hold_nothing_out(
    settings: MakeSettings, tiny_dataset: Path, tmp_path: Path
) -> None:
    videos = sorted(tiny_dataset.glob("train/*/*.mp4"))
    rows = [f"{video},{video.parent.name},train" for video in videos]
    (tmp_path / "clips.csv").write_text("\n".join(["path,label,split", *rows]))
    # However little time: a model of all clips comes out.
    result = fit(settings(data=str(tmp_path / "clips.csv"), minutes=1e-6, folds=0), progress=quiet)
    assert load_model(result.model).notes["num_train"] == len(videos) == 12
    assert result.record.held_out is None


def test_trainings_read_the_kept_frames_also_of_a_relative_folder(
    settings: MakeSettings, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bool] = []

    def run(job: Training, *args: Any, frames: FrameCache, **kwargs: Any) -> Any:
        with job.data.path.open(newline="") as file:
            found.extend(Path(row["path"]) in frames for row in csv.DictReader(file))
        return run_trial(job, *args, frames=frames, **kwargs)

    monkeypatch.setattr(fit_record, "processes_that_pay", lambda device: 1)
    monkeypatch.setattr(fit_record, "run_trial", run)
    monkeypatch.chdir(tiny_dataset.parent)
    fit(settings(data=tiny_dataset.name, epochs=1), progress=quiet)
    assert len(found) >= 36 and all(found)


def test_a_fit_without_folds_gets_none_when_it_goes_on(settings: MakeSettings) -> None:
    wanted = settings(folds=0, epochs=1)
    fit(wanted, progress=quiet)
    result = fit(replace(wanted, resume=True), progress=quiet)
    assert list(result.record.trials) == ["final"] and result.record.estimate is None


def test_a_wrong_model_or_weights_are_refused_before_any_video_is_read(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("videos were read")

    monkeypatch.setattr("mixtconv.fitting.fit.fill_cache", read)
    with pytest.raises(ValueError, match="mstnet_resnet81"):
        fit(settings(model="mstnet_resnet81"), progress=quiet)
    with pytest.raises(ValueError, match=r"--weights is 'nowhere.pth'; give auto, imagenet, none"):
        fit(settings(weights="nowhere.pth", out="other"), progress=quiet)


def test_clips_of_the_same_broken_bytes_are_all_left_out(
    settings: MakeSettings, tiny_dataset: Path, tmp_path: Path
) -> None:
    lines = [f"{video},{video.parent.name}" for video in sorted(tiny_dataset.glob("train/*/*.mp4"))]
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).write_bytes(b"no video")
        lines.append(f"{tmp_path / name},{lines[0].split(',')[1]}")
    (tmp_path / "clips.csv").write_text("\n".join(lines))
    wanted = settings(data=str(tmp_path / "clips.csv"), folds=0, epochs=1)
    with pytest.raises(ValueError, match=r"3 videos cannot be read"):
        fit(wanted, progress=quiet)
    result = fit(replace(wanted, skip_unreadable=True), progress=quiet)
    assert load_model(result.model).notes["num_train"] == 12
    (tmp_path / "clips.csv").write_text("\n".join([*lines[-3:], lines[-4]]))
    with pytest.raises(ValueError, match=r"of \d classes 1 have a readable video"):
        fit(replace(wanted, skip_unreadable=True, out=str(tmp_path / "none")), progress=quiet)
    (tmp_path / "clips.csv").write_text(
        "\n".join([*lines[:-3], f"{tmp_path / 'a.mp4'},never seen"])
    )
    with pytest.raises(ValueError, match=r"no video of never seen can be read; repair them"):
        fit(replace(wanted, skip_unreadable=True, out=str(tmp_path / "none")), progress=quiet)


def test_of_many_clips_some_are_looked_at_and_all_are_divided(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("fit", "survey"):
        monkeypatch.setattr(f"mixtconv.fitting.{module}.MAX_SURVEYED", 5)
    monkeypatch.setattr("mixtconv.fitting.fit.cache_pays", lambda *args: False)
    result = fit(settings(epochs=1, modality=None), progress=quiet)
    assert result.record.estimate is not None
    assert result.record.estimate.num_clips == 12
    assert "12 clips of" in result.record.survey[0]
    assert "as 5 of them show" in result.record.survey[0]
    assert "sessions are not looked for" in result.record.estimate.groups


def test_labels_are_compared_by_name_also_where_classes_are_not_sorted(
    settings: MakeSettings, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = load_catalog(str(tiny_dataset))
    names = list(reversed(catalog.classes))
    monkeypatch.setattr(
        "mixtconv.fitting.fit.load_catalog",
        lambda *args, **kwargs: load_catalog(str(tiny_dataset), classes=names),
    )
    result = fit(settings(epochs=1), progress=quiet)
    assert result.record.estimate is not None
    for number in (1, 2):
        part = Path(result.model.parent) / "folds" / str(number)
        scored = evaluate_model(part, str(result.model.parent / "lists" / f"fold-{number}.csv"))
        # Fold 2 comes first.
        assert scored.accuracy.top1 == pytest.approx(result.record.estimate.by_fold[2 - number])


def test_recordings_of_an_annotation_file_are_never_divided(
    settings: MakeSettings, media: ModuleType, tmp_path: Path
) -> None:
    """ActivityNet's layout: five recordings to train on and one to score, three stretches each."""
    stretches = [(0, 0.7, "jump"), (0.7, 1.4, "run"), (4 / 3, 2, "jump")]
    annotations = [{"segment": [start, end], "label": label} for start, end, label in stretches]
    database = {}
    for number in range(6):
        frames = media.moving_frames(50, height=32, width=32, seed=number)
        media.encode(tmp_path / f"r{number}.mp4", frames)
        subset = "training" if number else "validation"
        database[f"r{number}"] = {"subset": subset, "annotations": annotations}
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps({"database": database}))
    result = fit(settings(data=str(file), epochs=1), progress=quiet)
    record, lists = result.record, result.model.parent / "lists"
    assert record.estimate is not None and record.estimate.num_clips == 15
    assert record.estimate.groups == "recordings, 5 of them"
    assert record.held_out is not None and record.held_out["num_clips"] == 3
    assert "15 clips of 2 classes" in record.survey[0] and "16 to 18 frames" in record.survey[0]
    for fold in (1, 2):
        read = load_catalog(lists / f"fold-{fold}.csv")
        sides = [{sample.path.name for sample in side} for side in (read.train, read.val)]
        assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 5
        assert len(read.train) + len(read.val) == 15
    assert "r0.mp4#t=0,0.7" in (lists.parent / "report.html").read_text()
