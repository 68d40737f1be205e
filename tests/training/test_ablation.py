"""The ablation: which runs there are, that none is trained twice, and what it reports."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from mixtconv.models import create_model, save_model
from mixtconv.reporting.ablation import ablation_drawing, write_charts
from mixtconv.training import ablation
from mixtconv.training.ablation import TITLES, Ablation, ablate
from mixtconv.training.fit import TrainingResult, train
from mixtconv.training.run_folder import EpochRecord, RunFiles
from mixtconv.training.settings import AblationAxes, TrainingSettings

Settings = Callable[..., TrainingSettings]
SMALL = AblationAxes(operations=["tsn", "ks3"], seeds=2)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the run folders that are trained, in order."""
    folders: list[str] = []

    def note(settings: TrainingSettings) -> TrainingResult:
        folders.append(Path(settings.out).name)
        return train(settings)

    monkeypatch.setattr(ablation, "train", note)
    return folders


def test_every_variant_is_trained_with_every_seed_once(
    tiny_settings: Settings, trained: list[str]
) -> None:
    settings = tiny_settings(epochs=1, seed=4)
    first = ablate(settings, SMALL)
    assert [name.rsplit("-", 1)[0] for name in trained] == [
        "tsn-seed4",
        "ks3-head-seed4",
        "tsn-seed5",
        "ks3-head-seed5",
    ]
    again = ablate(settings, SMALL)
    assert len(trained) == 4
    assert [row.top1 for row in again.rows] == [row.top1 for row in first.rows]

    ablate(settings, replace(SMALL, seeds=3))  # more seeds: only the new ones
    assert [name.rsplit("-", 1)[0] for name in trained[4:]] == ["tsn-seed6", "ks3-head-seed6"]
    ablate(replace(settings, batch_size=3), AblationAxes(operations=["tsn"], seeds=1))
    assert trained[6].startswith("tsn-seed4") and trained[6] != trained[0]


def test_weights_that_do_not_fit_all_variants_are_refused_before_any_is_trained(
    tiny_settings: Settings, trained: list[str], tmp_path: Path
) -> None:
    weights = tmp_path / "start.safetensors"
    settings = tiny_settings(epochs=1, weights=str(weights))
    save_model(create_model(settings.model, 2, num_frames=2, image_size=32), weights)
    with pytest.raises(ValueError, match=r"weights do not fit tsn_test_resnet .*: train the same"):
        ablate(settings, SMALL)
    assert trained == []


def test_other_weights_in_the_same_file_are_another_run(
    tiny_settings: Settings, trained: list[str], tmp_path: Path
) -> None:
    weights = tmp_path / "start.safetensors"
    settings = tiny_settings(epochs=1, weights=str(weights))
    axes = AblationAxes(operations=["mstnet"], seeds=1)
    for version in (0, 0, 1):
        torch.manual_seed(version)
        save_model(create_model(settings.model, 2, num_frames=2, image_size=32), weights)
        ablate(settings, axes)
    assert len(trained) == 2


def test_a_run_that_was_stopped_goes_on(
    tiny_settings: Settings, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_settings(epochs=2, warmup_epochs=0)
    axes = AblationAxes(operations=["ks3"], seeds=1)

    def stop_after_one(run: TrainingSettings) -> TrainingResult:
        monkeypatch.setattr(ablation, "train", train)
        result = train(replace(run, epochs=1))
        config = result.files.config
        config.write_text(config.read_text().replace("epochs: 1", "epochs: 2"))
        raise KeyboardInterrupt

    monkeypatch.setattr(ablation, "train", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        ablate(settings, axes)
    (row,) = ablate(settings, axes).rows
    record = json.loads(next(Path(settings.out).glob("runs/*/metrics.json")).read_text())
    assert [epoch["epoch"] for epoch in record["epochs"]] == [1, 2]
    assert row.top1 == (record["best"]["top1"],)


def test_a_table_has_no_rows_of_videos_that_were_replaced(
    tiny_settings: Settings, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_settings().data, data)
    settings = tiny_settings(data=str(data), epochs=1, cache="off")
    axes = AblationAxes(operations=["tsn"], seeds=1)
    ablate(settings, axes)
    one, other = sorted((data / "val").rglob("*.mp4"))[:2]
    one.write_bytes(other.read_bytes())
    says = rf"^1 of 16 videos .* when the run in .*tsn-seed.* \({one.relative_to(data)}\)"
    with pytest.raises(ValueError, match=says):
        ablate(settings, axes)


@pytest.fixture
def pretended(tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ablation]:
    """Ablates with given scores in place of training: by family, those of the seeds from 0 on."""

    def run(axes: AblationAxes, scores: dict[str, tuple[float, ...]] | None = None) -> Ablation:
        def pretend(settings: TrainingSettings) -> TrainingResult:
            family = settings.model.partition("_")[0]
            top1 = 50.0 if scores is None else scores[family][settings.seed]
            epoch = EpochRecord(1, 1.0, 1.0, top1, 100.0, top1, 0.1, 1.0, 0.0, 0)
            return TrainingResult(RunFiles(Path(settings.out)), epoch, (epoch,))

        monkeypatch.setattr(ablation, "train", pretend)
        return ablate(tiny_settings(), axes)

    return run


@pytest.mark.parametrize(("keep", "expected"), [("best", 60.0), ("last", 50.0)])
def test_the_score_is_that_of_the_kept_epoch_of_those_scored(
    keep: Literal["best", "last"],
    expected: float,
    tiny_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    epochs = tuple(
        EpochRecord(number, 1.0, 1.0, top1, 100.0, top1, 0.1, 1.0, 0.0, 0)
        for number, top1 in enumerate((math.nan, 60.0, math.nan, 50.0, math.nan), 1)
    )

    def pretend(settings: TrainingSettings) -> TrainingResult:
        return TrainingResult(RunFiles(Path(settings.out)), epochs[1], epochs)

    monkeypatch.setattr(ablation, "train", pretend)
    settings = tiny_settings(keep=keep, val_every=2, epochs=5)
    (row,) = ablate(settings, AblationAxes(operations=["tsn"], seeds=1)).rows
    assert row.top1 == (expected,)


def test_the_rows_are_those_of_the_paper(pretended: Callable[..., Ablation]) -> None:
    result = pretended(AblationAxes(seeds=1))
    assert [row.variant.family for row in result.rows] == list(TITLES)
    assert len(result.rows) == 10
    rows = {row.variant.family: row for row in result.rows}
    facts = {name: (row.learnable, row.kernel_size, row.dilation) for name, row in rows.items()}
    assert facts["tsn"] == (None, (), ())
    assert facts["tsm"] == (False, (3,), (1,))
    assert facts["conv1d"] == (True, (3,), (1,))
    assert facts["ks1357"] == (True, (1, 3, 5, 7), (1, 1, 1, 1))
    assert facts["ks357dilated"] == (True, (3, 3, 3), (1, 2, 3))
    assert rows["tsm"].params == rows["tsn"].params < rows["ks3"].params < rows["conv1d"].params


def test_places_are_axes_which_a_network_without_operation_lacks(
    pretended: Callable[..., Ablation],
) -> None:
    axes = AblationAxes(
        operations=["tsn", "ks3"], seeds=1, positions=["head", "inner"], stage_sets=[[0, 1], [3]]
    )
    assert [row.variant.name for row in pretended(axes).rows] == [
        "tsn",
        "ks3-head-stages0,1",
        "ks3-head-stages3",
        "ks3-inner-stages0,1",
        "ks3-inner-stages3",
    ]


def test_the_report_names_what_is_beyond_the_spread(
    pretended: Callable[..., Ablation], tmp_path: Path
) -> None:
    scores = {"tsn": (40.0, 41.0, 42.0), "ks3": (60.0, 61.0, 62.0), "ks5": (61.0, 62.0, 60)}
    drawing = ablation_drawing(pretended(AblationAxes(operations=list(scores)), scores))
    assert [row[0] for row in drawing.rows] == ["TSN", "{3}", "{5}"]
    assert [row[-1] for row in drawing.rows] == ["", "TSN", "TSN"]
    assert drawing.notes[0].startswith("2 of 3 differences are beyond the seeds' spread")
    svg, png = write_charts(drawing, tmp_path)
    assert "{3}" in svg.read_text() and png.read_bytes().startswith(b"\x89PNG")


def test_one_seed_is_reported_without_a_spread(pretended: Callable[..., Ablation]) -> None:
    axes = AblationAxes(operations=["tsn", "ks3"], seeds=1)
    drawing = ablation_drawing(pretended(axes, {"tsn": (40.0,), "ks3": (60.0,)}))
    assert [row[-2:] for row in drawing.rows] == [("", ""), ("", "")]
    assert "one seed" in drawing.notes[0]
    alone = AblationAxes(operations=["ks3"], seeds=2)
    drawing = ablation_drawing(pretended(alone, {"ks3": (60.0, 61.0)}))
    assert drawing.notes == ("one row only, so there is nothing to compare",)


@pytest.mark.parametrize(
    ("axes", "changes", "message"),
    [
        (AblationAxes(operations=["ks33"]), {}, "ks3"),
        (AblationAxes(operations=["ks3"]), {"resume": True}, "leave out --resume"),
        (AblationAxes(operations=["ks3"]), {"model": "nothing"}, "nothing"),
        (AblationAxes(operations=["ks3"], stage_sets=[[9]]), {}, "9"),
    ],
)
def test_what_cannot_be_is_refused_before_training(
    tiny_settings: Settings,
    trained: list[str],
    axes: AblationAxes,
    changes: dict[str, object],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        ablate(tiny_settings(**changes), axes)
    assert trained == []


def test_another_runs_folder_is_left_as_it_is(
    tiny_settings: Settings, trained: list[str], tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("model: tsn_resnet18")
    with pytest.raises(ValueError, match="holds a training run; give the ablation another --out"):
        ablate(tiny_settings(out=str(tmp_path)), AblationAxes(operations=["ks3"]))
    assert trained == []
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_empty_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="--seeds is 0"):
        AblationAxes(seeds=0)
    with pytest.raises(ValueError, match="--operations is empty"):
        AblationAxes(operations=[])
