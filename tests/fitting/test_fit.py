"""A fit, end to end on a few synthetic clips: what it writes and what it refuses."""

import csv
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
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
from mixtconv.training.run_folder import load_settings

MakeSettings = Callable[..., FitSettings]
Quiet = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


def test_a_fit_writes_a_run_an_estimate_and_a_page(settings: MakeSettings, quiet: Quiet) -> None:
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


@pytest.mark.usefixtures("without_curve")
def test_recipes_are_tried_on_a_fold_and_the_choice_has_a_reason(
    settings: MakeSettings, quiet: Quiet
) -> None:
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
    settings: MakeSettings, changes: dict[str, Any], message: str, quiet: Quiet
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(settings(**changes), progress=quiet)


@pytest.mark.usefixtures("one_process")
def test_an_unreadable_clip_stops_the_fit_unless_it_may_be_left_out(
    settings: MakeSettings, tiny_dataset: Path, tmp_path: Path, quiet: Quiet
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


@pytest.mark.usefixtures("lean")
def test_data_with_a_train_part_alone_hold_nothing_out(
    settings: MakeSettings, tiny_dataset: Path, tmp_path: Path, quiet: Quiet
) -> None:
    videos = sorted(tiny_dataset.glob("train/*/*.mp4"))
    rows = [f"{video},{video.parent.name},train" for video in videos]
    (tmp_path / "clips.csv").write_text("\n".join(["path,label,split", *rows]))
    # However little time: a model of all clips comes out.
    result = fit(settings(data=str(tmp_path / "clips.csv"), minutes=1e-6, folds=0), progress=quiet)
    assert load_model(result.model).notes["num_train"] == len(videos) == 12
    assert result.record.held_out is None


@pytest.mark.usefixtures("lean", "without_curve")
def test_trainings_read_the_kept_frames_also_of_a_relative_folder(
    settings: MakeSettings, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch, quiet: Quiet
) -> None:
    found: list[bool] = []

    def run(job: Training, *args: Any, frames: FrameCache, **kwargs: Any) -> Any:
        with job.data.path.open(newline="") as file:
            found.extend(Path(row["path"]) in frames for row in csv.DictReader(file))
        return run_trial(job, *args, frames=frames, **kwargs)

    monkeypatch.setattr(fit_record, "run_trial", run)
    monkeypatch.chdir(tiny_dataset.parent)
    fit(settings(data=tiny_dataset.name, epochs=1), progress=quiet)
    assert len(found) >= 36 and all(found)


@pytest.mark.usefixtures("lean")
def test_a_wrong_model_or_weights_are_refused_before_any_video_is_read(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, quiet: Quiet
) -> None:
    def read(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("videos were read")

    monkeypatch.setattr("mixtconv.fitting.clips.fill_cache", read)
    with pytest.raises(ValueError, match="mstnet_resnet81"):
        fit(settings(model="mstnet_resnet81"), progress=quiet)
    with pytest.raises(ValueError, match=r"--weights is 'nowhere.pth'; give auto, imagenet, none"):
        fit(settings(weights="nowhere.pth", out="other"), progress=quiet)


@pytest.mark.usefixtures("lean")
def test_clips_of_the_same_broken_bytes_are_all_left_out(
    settings: MakeSettings, tiny_dataset: Path, tmp_path: Path, quiet: Quiet
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


@pytest.mark.usefixtures("lean", "without_curve")
def test_of_many_clips_some_are_looked_at_and_all_are_divided(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, quiet: Quiet
) -> None:
    for module in ("fit", "survey"):
        monkeypatch.setattr(f"mixtconv.fitting.{module}.MAX_SURVEYED", 5)
    monkeypatch.setattr("mixtconv.fitting.clips.cache_pays", lambda *args: False)
    result = fit(settings(epochs=1, modality=None), progress=quiet)
    assert result.record.estimate is not None
    assert result.record.estimate.num_clips == 12
    assert "12 clips of" in result.record.survey[0]
    assert "as 5 of them show" in result.record.survey[0]
    assert "sessions are not looked for" in result.record.estimate.groups


@pytest.mark.usefixtures("lean", "without_curve")
def test_labels_are_compared_by_name_also_where_classes_are_not_sorted(
    settings: MakeSettings, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch, quiet: Quiet
) -> None:
    catalog = load_catalog(str(tiny_dataset))
    names = list(reversed(catalog.classes))
    monkeypatch.setattr(
        "mixtconv.fitting.clips.load_catalog",
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
    settings: MakeSettings, media: ModuleType, tmp_path: Path, quiet: Quiet
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
