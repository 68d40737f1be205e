"""Training a head: its features, the comparison of heads, the run and its files."""

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mixtconv.data.listing import VideoSample
from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models import StreamingClassifier, create_model, load_model
from mixtconv.models.feature_head import FeatureClassifier
from mixtconv.models.streaming import StreamState
from mixtconv.training import head_run
from mixtconv.training.features import FeatureClips, trunk_features
from mixtconv.training.fit import train
from mixtconv.training.head_run import HeadRun, make_trunk, prepare_head_run, with_head
from mixtconv.training.head_search import (
    Candidate,
    FoldScore,
    candidates,
    make_folds,
    read_search,
    train_members,
)
from mixtconv.training.initial_weights import InitialModel
from mixtconv.training.plan import plan_run
from mixtconv.training.record import RunRecord
from mixtconv.training.run_folder import RunFiles, load_settings
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]
GRID_OF_ONE: dict[str, Any] = {
    "feature_head": "blocks",
    "less_mean": True,
    "lr": 0.02,
    "weight_decay": 0.1,
}


@pytest.fixture
def settings(tiny_settings: MakeSettings, tmp_path: Path) -> MakeSettings:
    """Settings of a run that trains one head."""

    def make(out: str = "run", **changes: object) -> TrainingSettings:
        values = {
            "train": "head",
            "modality": "rgb",
            "crops": 1,
            "cache": str(tmp_path / "cache"),
            "folds": 2,
            **GRID_OF_ONE,
        }
        return tiny_settings(out, **values | changes)

    return make


def _prepared(run: TrainingSettings) -> tuple[InitialModel, HeadRun]:
    """What a run trains with: its trunk, and its head with the data."""
    plan = plan_run(run)
    torch.manual_seed(run.seed)  # of random weights
    trunk = make_trunk(run, plan.catalog.classes)
    return trunk, prepare_head_run(plan, RunFiles(Path(run.out)), trunk, None)


def _head(run: TrainingSettings, candidate: Candidate, trunk: InitialModel) -> FeatureClassifier:
    model = FeatureClassifier(with_head(run, candidate, trunk.model))
    return model.to(memory_format=torch.channels_last)


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_run_leaves_a_model_of_frames_that_scores_as_recorded(settings: MakeSettings) -> None:
    run = settings()
    result = train(run)
    assert load_settings(result.files.config) == run
    model = load_model(result.files.model)
    assert (model.spec.feature_head, model.spec.less_mean) == ("blocks", True)
    assert model.spec.name == "mstnet_test_resnet" and model.spec.feature_stage is not None
    scored = evaluate_model(result.files.model, run.data, settings=EvaluationSettings(workers=0))
    assert scored.accuracy.top1 == result.best.top1
    record = json.loads(result.files.metrics.read_text())
    assert [row["epoch"] for row in record["epochs"]] == [1, 2] and record["num_val"] == 4
    assert record["head"] == GRID_OF_ONE


def test_kept_features_are_those_of_the_backbone(settings: MakeSettings) -> None:
    """Of every validation video, frame by frame, with the trunk of the model file."""
    run = settings(cache="off")
    model = load_model(train(run).files.model)
    _, prepared = _prepared(run)
    reader = TensorViewReader(model.spec, Protocol.parse("1x1"))
    for index, sample in enumerate(prepared.plan.catalog.val):
        kept = prepared.data.views[index].frames  # (V, T, C, H, W)
        frames = reader.read(sample.path).frames[0].float() / 255  # (T, 3, S, S)
        mean, std = torch.tensor(model.spec.mean), torch.tensor(model.spec.std)
        for t, frame in enumerate(frames):
            image = (frame - mean.view(3, 1, 1)) / std.view(3, 1, 1)
            with torch.no_grad():
                expected = model.backbone.get_submodule("trunk")(image[None])[0]
            torch.testing.assert_close(kept[0, t].float(), expected, atol=2e-3, rtol=2e-3)


def test_features_beyond_half_precision_are_kept_in_single() -> None:
    model = create_model("tsn_test_resnet", 2, num_frames=2, image_size=32, feature_head="average")
    views = torch.full((1, 2, 3, 32, 32), 255, dtype=torch.uint8)
    assert trunk_features(model.eval(), views).dtype == torch.float16
    bn = [m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)][-1]
    torch.nn.init.constant_(bn.bias, 1e6)
    features = trunk_features(model, views)
    assert features.dtype == torch.float32 and features.max() > 65504


def test_the_head_on_kept_features_gives_the_logits_of_the_model_file(
    settings: MakeSettings,
) -> None:
    run = settings(cache="off")
    model = load_model(train(run).files.model)
    _, prepared = _prepared(run)
    on_features = FeatureClassifier(model).eval()
    reader = TensorViewReader(model.spec, Protocol.parse("1x1"))
    with torch.no_grad():
        for index, sample in enumerate(prepared.plan.catalog.val):
            frames = reader.read(sample.path).frames
            expected = model(model.normalize(frames))
            got = on_features(on_features.normalize(prepared.data.views[index].frames))
            torch.testing.assert_close(got, expected, atol=5e-3, rtol=5e-3)


def test_a_grid_trains_each_head_as_a_run_does_alone(settings: MakeSettings) -> None:
    """Beside another head, on clips of which none is held out, the weights are those of the run."""
    run = settings(dropout=0.4, label_smoothing=0.1, keep="last", cache="off")
    alone = load_file(train(run).files.model)
    trunk, prepared = _prepared(run)
    grid = [Candidate("average", False, 0.5, 0.0), Candidate("blocks", True, 0.02, 0.1)]
    trained: list[dict[str, torch.Tensor]] = []

    def keep(model: FeatureClassifier, fold: int) -> FoldScore:
        if fold == 0:
            trained.append({key: x.clone() for key, x in model.whole.state_dict().items()})
        right = torch.tensor([model.spec.feature_head == "blocks"])  # it goes on to the end
        return FoldScore(0.0, right, torch.zeros(1, dtype=torch.long))

    folds = torch.ones(12, dtype=torch.long)  # fold 0 is empty, so that nothing is left out
    train_members(
        grid,
        folds,
        prepared.data.clips,
        replace(prepared.plan, settings=replace(run, epochs=2)),
        lambda candidate: _head(run, candidate, trunk),
        score=keep,
    )
    assert _same(trained[-1], alone)


def test_sessions_of_the_list_are_compared_as_a_whole(caplog) -> None:
    samples = [
        VideoSample(Path(f"{i}.mp4"), i % 2, str(i), group=f"room {i // 2 % 4}") for i in range(16)
    ]
    folds = make_folds(samples, 2, seed=0).tolist()
    assert len({(sample.group, fold) for sample, fold in zip(samples, folds, strict=True)}) == 4
    assert folds.count(0) == 8
    alone = [replace(sample, group="") for sample in samples]
    of_class = make_folds(alone, 5, seed=0)[::2].bincount()
    assert of_class.sort().values.tolist() == [1, 1, 2, 2, 2]
    # Sessions of one class each cannot be held out: the class would not be trained.
    by_class = [replace(sample, group=f"room {sample.label}") for sample in samples]
    assert caplog.messages == []
    assert sorted(make_folds(by_class, 2, seed=0).tolist()) == [0] * 8 + [1] * 8
    assert "folds that divide the groups of the list, 2 of them" in caplog.messages[0]
    with pytest.raises(ValueError, match="no class has two: give one head"):
        make_folds([samples[0], samples[1]], 2, seed=0)


def test_clips_of_the_fold_are_not_learned_from(settings: MakeSettings) -> None:
    """Their labels may be anything: the weights of the fold's head stay, those of others change."""
    run = settings(cache="off")
    trunk, prepared = _prepared(run)
    folds = make_folds(prepared.plan.catalog.train, 2, seed=0)
    assert folds.bincount().tolist() == [6, 6]

    def weights(clips: FeatureClips) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []

        def keep(model: FeatureClassifier, fold: int) -> FoldScore:
            found.append(model.head.weight.detach().clone())
            return FoldScore(0.0, torch.ones(1), torch.zeros(1, dtype=torch.long))

        grid = [Candidate(**GRID_OF_ONE)]
        make = partial(_head, run, trunk=trunk)
        train_members(grid, folds, clips, prepared.plan, make, score=keep)
        return found

    clips = prepared.data.clips
    before = weights(clips)
    clips.samples = [
        replace(sample, label=(sample.label + (fold == 0)) % 4)
        for sample, fold in zip(clips.samples, folds.tolist(), strict=True)
    ]
    after = weights(clips)
    assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])


def test_the_better_head_is_chosen_and_a_resumed_run_keeps_it(
    settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    grid = {"feature_head": "average", "less_mean": None, "lr": None, "head_lrs": [1e-9, 0.3]}
    run = settings(**grid, weight_decay=None, head_decays=[0.0], search_epochs=30, epochs=3)
    result = train(run)
    scores = json.loads(result.files.heads.read_text())
    lrs = [row["candidate"]["lr"] for row in scores]
    assert sorted(lrs) == [1e-9, 0.3] and read_search(result.files.heads).lr == lrs[0]
    assert (scores[0]["epochs"], scores[1]["epochs"]) == (30, 8)  # the worse one ended early
    assert load_model(result.files.model).spec.name == "tsn_test_resnet"
    first_rate = result.epochs[0].learning_rate
    assert (first_rate > 0.001) == (lrs[0] == 0.3)

    result.files.checkpoint.unlink()  # as if it was stopped before its first epoch ended
    result.files.model.unlink()
    result.files.heads.write_text(json.dumps(scores[::-1]))
    again = train(replace(run, resume=True))
    assert (again.epochs[0].learning_rate > 0.001) == (lrs[1] == 0.3)
    with pytest.raises(ValueError, match="remove it, and they are compared again"):
        result.files.heads.write_text("[]")
        train(replace(run, resume=True))


def test_a_run_that_was_stopped_and_resumed_ends_as_one_that_was_not(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_file(train(settings("whole")).files.model)
    run = settings("parts")
    end = RunRecord._end_epoch

    def stop(self: RunRecord, trainer: Any, *args: Any) -> None:
        end(self, trainer, *args)
        if trainer.current_epoch == 1:
            raise OSError("stopped")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="stopped"):
        patch.setattr(RunRecord, "_end_epoch", stop)
        train(run)
    result = train(replace(run, resume=True))
    assert [row.epoch for row in result.epochs] == [1, 2]
    assert _same(load_file(result.files.model), whole)


def test_a_run_that_was_stopped_while_heads_were_compared_is_resumed(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = settings(feature_head=None, less_mean=None)

    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(head_run, "search_heads", stop)
        train(run)
    assert load_model(train(replace(run, resume=True)).files.model).spec.feature_head is not None


def test_features_are_computed_once_for_content_and_weights(
    settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mixtconv.training.features")

    def computed(run: TrainingSettings) -> list[int]:
        caplog.clear()
        train(run)
        lines = [record.getMessage() for record in caplog.records]
        return [int(line.split()[2]) for line in lines if "found in" in line]

    assert computed(settings("first")) == [12, 12, 4]
    assert computed(settings("again", epochs=1, lr=0.5)) == [0, 0, 0]
    assert computed(settings("more", crops=2)) == [0, 12, 0]
    assert computed(settings("drawn", rand_augment=1)) == [0, 12, 0]
    assert computed(settings("stage", feature_stage=2)) == [12, 12, 4]
    assert computed(settings("seed", seed=1, crops=0)) == [12, 4]  # other random weights


def test_a_damaged_file_of_features_is_made_again(settings: MakeSettings, tmp_path: Path) -> None:
    first = load_file(train(settings("first")).files.model)
    for path in (tmp_path / "cache" / "features").rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-10])
    assert _same(load_file(train(settings("second")).files.model), first)


def test_random_crops_depend_on_the_video_alone(settings: MakeSettings, tmp_path: Path) -> None:
    """Among other videos, and under another name, a video has the same crops."""
    run = settings(cache="off")
    plan = plan_run(run)
    _, prepared = _prepared(run)
    first = prepared.data.clips.stores[1]
    moved = tmp_path / "moved"
    shutil.copytree(run.data, moved)
    victim = sorted((moved / "train").rglob("*.*"))[0]
    victim.unlink()
    for path in sorted((moved / "train").rglob("*.*")):
        path.rename(path.with_name(f"x{path.name}"))
    other = replace(run, data=str(moved), out=run.out + "-moved")
    second = _prepared(other)[1].data.clips.stores[1]
    by_content = {key: path for path, key in first.keys.items()}
    assert len(second.keys) == 11 and first.name == second.name
    for path, key in second.keys.items():
        assert torch.equal(second.read(path), first.read(by_content[key]))
    assert len(plan.catalog.train) == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "i3d_resnet50"}, "is a system of its own: give a backbone in one of tsn"),
        ({"model": "trn_test_resnet"}, "is a system of its own"),
        ({"feature_head": "average"}, "is zero: leave out --less-mean"),
        ({"devices": 2}, "leave out --devices"),
        ({"head_lrs": [0.0]}, "--head-lrs is .* more than 0"),
        ({"folds": 1}, "--folds is 1; give 2 or more"),
        ({"feature_stage": 7}, "has the stages 0 to 4"),
        ({"stages": [1]}, "stages is"),
    ],
)
def test_what_cannot_be_is_refused(
    settings: MakeSettings, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(settings(**changes))


def test_an_unreadable_video_is_left_out_where_that_is_asked_for(
    settings: MakeSettings, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    run = settings(data=str(data), skip_unreadable=True)
    shutil.copytree(settings().data, data)
    for split in ("train", "val"):
        sorted((data / split).rglob("*.mp4"))[0].write_bytes(b"no video")
    result = train(run)
    record = json.loads(result.files.metrics.read_text())
    assert len(record["unreadable"]) == 2 and record["num_val"] == 4


def test_nothing_need_be_held_out(settings: MakeSettings) -> None:
    result = train(settings(val_fraction=0))
    assert load_model(result.files.model).notes["num_train"] == 12


def test_a_head_of_motion_is_trained_and_streams_if_causal(settings: MakeSettings) -> None:
    model = load_model(train(settings(modality="motion", causal=True, cache="off")).files.model)
    spec = model.spec
    video = torch.randint(0, 256, (1, spec.num_frames, 3, spec.image_size, spec.image_size))
    video = video.to(torch.uint8)
    with torch.inference_mode():
        expected = model.forward_frames(model.normalize(video))  # (1, T, K)
    streaming, state = StreamingClassifier(model), StreamState(1)
    for t in range(spec.num_frames):
        logits = streaming(streaming.normalize(video[:, t], state, None), state, None)
        torch.testing.assert_close(logits, expected[:, t], atol=1e-4, rtol=1e-4)


def test_the_grid_is_what_the_settings_ask_for(settings: MakeSettings) -> None:
    assert candidates(settings()) == [Candidate(**GRID_OF_ONE)]
    none = {"feature_head": None, "less_mean": None, "lr": None, "weight_decay": None}
    grid = candidates(settings(**none, head_lrs=[1.0, 2.0], head_decays=[0.0]))
    kinds = {(each.feature_head, each.less_mean) for each in grid}
    assert len(grid) == 10 and len(kinds) == 5 and ("average", True) not in kinds
    causal = candidates(settings(**none, causal=True))
    assert {each.feature_head for each in causal} == {"average", "blocks"}
