"""A fit that was stopped goes on where it was, with the same settings and clips."""

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.fitting import record as fit_record
from mixtconv.fitting.fit import fit
from mixtconv.fitting.settings import FitSettings
from mixtconv.models import load_model
from mixtconv.training.run_folder import load_epochs

MakeSettings = Callable[..., FitSettings]
Quiet = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@pytest.mark.usefixtures("without_curve")
def test_a_fit_stopped_in_its_last_training_goes_on_there(
    settings: MakeSettings, stop_in: Callable[..., list[str]], quiet: Quiet
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


@pytest.mark.usefixtures("without_curve")
def test_a_fit_stopped_in_a_trial_tries_again_without_doubling_its_choices(
    settings: MakeSettings, stop_in: Callable[..., list[str]], quiet: Quiet
) -> None:
    begun = stop_in("rgb")
    with pytest.raises(KeyboardInterrupt):
        fit(settings(modality=None), progress=quiet)
    result = fit(settings(modality=None, resume=True), progress=quiet)
    assert begun[:5] == ["motion", "rgb", "motion", "rgb", "final"]
    names = [name for choice in result.record.choices for name in choice.settings]
    assert len(names) == len(set(names)) and "modality" in names


@pytest.mark.usefixtures("without_curve")
def test_without_trials_a_stopped_fit_has_the_model_of_the_last_epoch(
    settings: MakeSettings, stop_in: Callable[..., list[str]], quiet: Quiet
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
    place: str, settings: MakeSettings, stop_in: Callable[..., list[str]], quiet: Quiet
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


@pytest.mark.usefixtures("lean")
def test_a_fit_goes_on_with_the_same_settings_and_clips_alone(
    settings: MakeSettings, tiny_dataset: Path, tmp_path: Path, quiet: Quiet
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


@pytest.mark.usefixtures("lean")
def test_a_fit_without_folds_gets_none_when_it_goes_on(
    settings: MakeSettings, quiet: Quiet
) -> None:
    wanted = settings(folds=0, epochs=1)
    fit(wanted, progress=quiet)
    result = fit(replace(wanted, resume=True), progress=quiet)
    assert list(result.record.trials) == ["final"] and result.record.estimate is None
