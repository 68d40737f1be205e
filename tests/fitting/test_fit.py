"""A fit, end to end on a few synthetic clips: what it writes, how it stops, how it goes on."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mixtconv.fitting import record as fit_record
from mixtconv.fitting.fit import fit
from mixtconv.fitting.settings import FitSettings
from mixtconv.fitting.trials import Training, run_trial
from mixtconv.models import load_model
from mixtconv.training.run_folder import load_settings

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
    lists = "".join(path.read_text() for path in (folder / "lists").glob("*.csv"))
    assert "/val/" not in lists and lists.count("/train/") >= 12 * 3
    assert load_model(result.model).spec.modality == "motion"
    assert load_model(result.model).notes["num_train"] == 12
    page = (folder / "report.html").read_text()
    assert "expected on new clips" in page and "How the model was chosen" in page
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


def test_a_fit_that_was_stopped_has_its_best_model_and_goes_on(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []

    def stop_at_the_second(job: Training, *args: Any, **kwargs: Any) -> Any:
        calls.append(job.folder)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run_trial(job, *args, **kwargs)

    monkeypatch.setattr(fit_record, "processes_that_pay", lambda device: 1)
    monkeypatch.setattr(fit_record, "run_trial", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        fit(settings(), progress=quiet)
    folder = calls[0]
    assert load_model(folder / "model.safetensors").spec.num_frames == 4
    assert list(json.loads((folder / "fit.json").read_text())["trials"]) == ["final"]
    with pytest.raises(ValueError, match=r"was begun with .* go on with the same"):
        fit(settings(resume=True, data="elsewhere"), progress=quiet)
    result = fit(settings(resume=True), progress=quiet)
    assert result.record.estimate is not None
    # The last training was not done again; parts of the clips are for the learning curve.
    assert [path.name for path in calls[2:]] == ["1", "2", "25", "50"]


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
