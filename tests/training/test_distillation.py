"""Students learn from teachers: models, exported files, kept scores; and from each other."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from safetensors.torch import load_file
from torch import Tensor

import mixtconv
from mixtconv.data.dataset import VideoBatch
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.labels import mirror_labels
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.scores_file import SavedScores, load_scores, save_scores
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models import create_model, load_model, read_metadata, save_model
from mixtconv.models.model_card import make_model_card
from mixtconv.training.distillation import DistillationLoss
from mixtconv.training.fit import train
from mixtconv.training.loss import ClipLoss
from mixtconv.training.mixed_clips import Mixture
from mixtconv.training.open_teachers import open_teachers
from mixtconv.training.plan import RunPlan, plan_run
from mixtconv.training.run_folder import RunFiles
from mixtconv.training.settings import TrainingSettings
from mixtconv.training.teachers import ScoresTeacher

MakeSettings = Callable[..., TrainingSettings]


@pytest.fixture(scope="module")
def classes(tiny_dataset: Path) -> tuple[str, ...]:
    settings = TrainingSettings(data=str(tiny_dataset))
    return load_catalog(settings, val_fraction=0.2).classes


@pytest.fixture(scope="module")
def taught(
    tiny_dataset: Path, classes: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    """A teacher of more classes in another order, of other clips; its scores of the videos."""
    folder = tmp_path_factory.mktemp("teacher")
    torch.manual_seed(5)
    model = create_model(
        "mstnet_test_resnet",
        classes=[*reversed(classes), "none of them"],
        num_frames=6,
        image_size=48,
    )
    for layer in model.last_layers():
        torch.nn.init.normal_(layer.weight)
    path, scores = folder / "teacher.safetensors", folder / "scores.safetensors"
    save_model(model, path)
    names = create_model("tsn_test_resnet", classes=classes, num_frames=4, image_size=32)
    save_model(names, folder / "plain.safetensors")
    evaluate_model(
        folder / "plain.safetensors",
        tiny_dataset,
        settings=EvaluationSettings(split="train", workers=0, device="cpu"),
        scores_path=scores,
    )
    return SimpleNamespace(path=path, scores=scores, plain=folder / "plain.safetensors")


def _batch(clips: Tensor, **changes: Any) -> VideoBatch:
    count = len(clips)
    batch = VideoBatch(
        frames=clips,
        labels=torch.arange(count) % 4,
        indices=torch.arange(count),
        unreadable={},
        mirrored=torch.zeros(count, dtype=torch.bool),
        others=(),
    )
    return batch._replace(**changes)


def _plan(settings: TrainingSettings) -> RunPlan:
    return plan_run(settings)


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_loss_of_a_student_is_that_by_hand(
    tiny_settings: MakeSettings, classes: tuple[str, ...]
) -> None:
    """Two teachers of one's own, T = 3, w = 0.3, labels smoothed."""
    settings = tiny_settings(
        teacher_weight=0.3, temperature=3.0, label_smoothing=0.2, modality="rgb"
    )
    plan = _plan(settings)
    student = create_model(
        "tsn_test_resnet", classes=classes, num_frames=4, image_size=32, dropout=0.0
    ).eval()
    clips = torch.randint(0, 256, (5, 4, 3, 32, 32), dtype=torch.uint8)
    torch.manual_seed(0)
    first, second = torch.randn(2, 5, 4) * 2
    teachers = open_teachers([lambda clips: first, lambda clips: second], plan, student.spec)
    loss = DistillationLoss(ClipLoss(settings, (), student.spec), settings, teachers, several=False)
    found = loss([student], _batch(clips))
    with torch.no_grad():
        logits = student(student.normalize(clips)).double().numpy()
    p = (_softmax(first.double().numpy() / 3) + _softmax(second.double().numpy() / 3)) / 2
    soft = 9 * (p * np.log(p / _softmax(logits / 3))).sum(axis=1).mean()
    hot = 0.8 * np.eye(4)[[0, 1, 2, 3, 0]] + 0.2 / 4
    hard = -(hot * np.log(_softmax(logits))).sum(axis=1).mean()
    assert float(found.total.detach()) == pytest.approx(0.7 * hard + 0.3 * soft, rel=1e-4)
    assert float(found.first) == pytest.approx(float(found.total.detach()))


def test_two_students_learn_from_each_other_by_hand(
    tiny_settings: MakeSettings, classes: tuple[str, ...]
) -> None:
    """Each from the other's scores as they are; gradients of one pass through its own alone."""
    settings = tiny_settings(
        mutual="tsn_test_resnet", teacher_weight=0.5, temperature=1.0, modality="rgb"
    )
    one, other = (
        create_model("tsn_test_resnet", classes=classes, num_frames=4, image_size=32, dropout=0.0)
        for _ in range(2)
    )
    one.eval(), other.eval()
    clips = torch.randint(0, 256, (4, 4, 3, 32, 32), dtype=torch.uint8)
    teachers = open_teachers([], _plan(settings), one.spec)
    loss = DistillationLoss(ClipLoss(settings, (), one.spec), settings, teachers, several=False)
    found = loss([one, other], _batch(clips))
    logits = [model(model.normalize(clips)).detach().double().numpy() for model in (one, other)]
    p, q = (_softmax(each) for each in logits)
    hard = [-np.log(each[range(4), range(4)]).mean() for each in (p, q)]
    soft = [(b * np.log(b / a)).sum(axis=1).mean() for a, b in ((p, q), (q, p))]
    assert float(found.first) == pytest.approx(0.5 * hard[0] + 0.5 * soft[0], rel=1e-4)
    total = 0.5 * (sum(hard) + sum(soft))
    assert float(found.total.detach()) == pytest.approx(total, rel=1e-4)
    found.total.backward()
    together = one.head.weight.grad.clone()
    one.zero_grad()
    logit, fixed = one(one.normalize(clips)), torch.from_numpy(q).float()
    alone = torch.nn.functional.cross_entropy(logit, torch.arange(4))
    alone = 0.5 * alone + 0.5 * torch.nn.functional.kl_div(
        logit.log_softmax(1), fixed, reduction="batchmean"
    )
    torch.testing.assert_close(torch.autograd.grad(alone, one.head.weight)[0], together)


def test_a_model_scores_its_own_clips_in_the_order_of_the_runs_classes(
    tiny_settings: MakeSettings, taught: SimpleNamespace, classes: tuple[str, ...]
) -> None:
    settings = tiny_settings(teacher=str(taught.path), modality="rgb")
    student = create_model("tsn_test_resnet", classes=classes, num_frames=4, image_size=32)
    teachers = open_teachers([str(taught.path)], _plan(settings), student.spec)
    assert [(spec.num_frames, spec.image_size) for spec in teachers.specs] == [(6, 48)]
    clips = torch.randint(0, 256, (3, 4, 3, 32, 32), dtype=torch.uint8)
    others = torch.randint(0, 256, (3, 6, 3, 48, 48), dtype=torch.uint8)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    [(found, features)] = teachers.targets(_batch(clips, others=(others,)), Mixture(), 2.0)
    assert torch.equal(torch.get_rng_state(), state)  # no dropout, nothing drawn
    assert not found.requires_grad
    model = load_model(taught.path).eval()
    with torch.no_grad():
        logits = model(model.normalize(others))
    wanted = [logits[:, model.spec.classes.index(name)] / 2 for name in classes]
    torch.testing.assert_close(found, torch.stack(wanted, 1).softmax(1), rtol=1e-4, atol=1e-5)
    assert features is not None and features.shape == (3, model.num_features)


def test_teachers_that_take_the_same_clips_share_them(
    tiny_settings: MakeSettings, taught: SimpleNamespace, classes: tuple[str, ...]
) -> None:
    plan = _plan(tiny_settings(modality="rgb"))
    spec = load_model(taught.plain).spec
    again = create_model("tsn_test_resnet", classes=classes, num_frames=6, image_size=48)
    motion = create_model("tsn_test_resnet", classes=classes, num_frames=4, modality="motion")
    motion.spec = replace(motion.spec, image_size=32)
    own = [taught.path, again, taught.plain, motion]
    teachers = open_teachers(own, plan, spec)
    assert teachers.places == (0, 0, None, None)
    assert len(teachers.specs) == 1


@pytest.mark.parametrize("suffix", ["onnx", "pt2"])
def test_an_exported_teacher_scores_as_its_model_file(
    suffix: str,
    tiny_settings: MakeSettings,
    taught: SimpleNamespace,
    classes: tuple[str, ...],
    tmp_path: Path,
) -> None:
    from mixtconv.exporting.export import export_model

    path = tmp_path / f"teacher.{suffix}"
    target, pixels = ("onnx", "uint8") if suffix == "onnx" else ("torch", "normalized")
    export_model(load_model(taught.plain), path, target=target, pixels=pixels)
    spec = load_model(taught.plain).spec
    plan = _plan(tiny_settings(modality="rgb"))
    teachers = open_teachers([str(path), str(taught.plain)], plan, spec)
    clips = torch.randint(0, 256, (3, 4, 3, 32, 32), dtype=torch.uint8)
    share = torch.full((32, 32), 0.7) if suffix == "pt2" else None
    (exported, none), (scored, _) = teachers.targets(_batch(clips), Mixture(share), 2.0)
    torch.testing.assert_close(exported, scored, rtol=1e-3, atol=1e-4)
    assert none is None


def test_kept_scores_are_those_of_the_video_and_change_sides_with_it(
    classes: tuple[str, ...],
) -> None:
    torch.manual_seed(0)
    names, logits = ("a.mp4", "b.mp4", "c.mp4"), torch.randn(3, 4)
    order = tuple(reversed(classes))
    scores = SavedScores(
        order, names, torch.zeros(3, dtype=torch.int64), logits, "logits", sources=()
    )
    mirroring = mirror_labels(classes)
    assert mirroring.pairs
    teacher = ScoresTeacher("scores", scores, classes, mirroring)
    teacher.begin([SimpleNamespace(key=key) for key in ("c.mp4", "a.mp4")])  # type: ignore[list-item]
    clips = torch.zeros(2, 4, 3, 32, 32)
    batch = _batch(clips, indices=torch.tensor([1, 0]), mirrored=torch.tensor([False, True]))
    found, _ = teacher.targets(clips, batch, Mixture(), 1.0)
    values = logits.flip(1).softmax(1)  # in the order of the run
    torch.testing.assert_close(found[0], values[0])
    swapped = {one: other for pair in mirroring.pairs for one, other in (pair, pair[::-1])}
    for column, name in enumerate(classes):
        source = classes.index(swapped.get(name, name))
        torch.testing.assert_close(found[1, column], values[2, source])
    share = torch.zeros(32, 32)
    share[:8] = 1  # a quarter of each clip is its own
    mixed, _ = teacher.targets(clips, batch, Mixture(share), 1.0)
    torch.testing.assert_close(mixed, 0.25 * found + 0.75 * found.flip(0))


def test_kept_probabilities_stay_what_they_are(classes: tuple[str, ...]) -> None:
    values = torch.tensor([[0.7, 0.3, 0.0, 0.0]])
    labels = torch.zeros(1, dtype=torch.int64)
    scores = SavedScores(classes, ("a",), labels, values, "probabilities", sources=())
    teacher = ScoresTeacher("scores", scores, classes, mirror_labels(classes))
    teacher.begin([SimpleNamespace(key="a")])  # type: ignore[list-item]
    clips = torch.zeros(1, 4, 3, 32, 32)
    found, _ = teacher.targets(clips, _batch(clips), Mixture(), 1.0)
    torch.testing.assert_close(found, values, rtol=0, atol=1e-5)


class _Stop(Callback):
    """Ends the run after its first epoch."""

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        trainer.should_stop = True


def test_a_run_with_teachers_and_a_partner_goes_on_as_one_that_was_not_stopped(
    tiny_settings: MakeSettings, taught: SimpleNamespace, tmp_path: Path
) -> None:
    recipe: dict[str, Any] = {
        "teacher": [str(taught.path), str(taught.scores)],
        "mutual": "tsn_test_resnet",
        "mixup": 0.3,
        "cutmix": 0.5,
        "ema": 0.9,
        "accumulate": 2,
        "keep": "last",
        "modality": "rgb",
    }
    whole = train(tiny_settings("whole", **recipe))
    cut = tiny_settings("cut", **recipe)
    train(replace(cut, minutes=1e-6))
    resumed = train(replace(cut, minutes=None, resume=True))
    for name in ("model", "partner"):
        one, other = (load_file(getattr(run.files, name)) for run in (whole, resumed))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert whole.best.train_loss == resumed.best.train_loss
    _check_the_record(whole.files, taught)
    Path(cut.out, "metrics.json").unlink()
    changed = taught.path.read_bytes()
    try:
        save_model(load_model(taught.plain), taught.path)
        with pytest.raises(ValueError, match=r"teacher\.safetensors is not what .* was when"):
            train(replace(cut, epochs=2, resume=True))
    finally:
        taught.path.write_bytes(changed)


def _check_the_record(files: RunFiles, taught: SimpleNamespace) -> None:
    record = json.loads(files.metrics.read_text())
    assert [each["model"] for each in record["teachers"]] == [str(taught.path), str(taught.scores)]
    assert all(len(each["sha256"]) == 64 for each in record["teachers"])
    partner = load_model(files.partner)
    assert partner.spec.name == record["partner"]["model"] == "tsn_test_resnet"
    scored = evaluate_model(
        files.partner, record["data"], settings=EvaluationSettings(workers=0, device="cpu")
    )
    assert scored.accuracy.top1 == pytest.approx(record["partner"]["top1"])
    about = read_metadata(files.model)
    assert about["notes"]["teachers"] == record["teachers"]
    card = str(make_model_card(load_model(files.model).spec, about["notes"]))
    assert "teacher.safetensors, scores.safetensors" in card
    assert str(taught.path.parent) not in card


def test_features_are_learned_through_a_layer_that_no_file_has(
    tiny_settings: MakeSettings, taught: SimpleNamespace
) -> None:
    recipe = {"teacher": str(taught.path), "modality": "rgb", "epochs": 1}
    plain = train(tiny_settings("plain", **recipe))
    result = train(tiny_settings("features", teacher_features=3.0, **recipe))
    one, other = (load_file(run.files.model) for run in (plain, result))
    assert one.keys() == other.keys()
    assert any(not torch.equal(one[key], other[key]) for key in one)
    state = torch.load(result.files.checkpoint, weights_only=True)["state_dict"]
    assert [key for key in state if not key.startswith("model.")] == [
        "projections.0.weight",
        "projections.0.bias",
    ]
    assert result.epochs[0].train_loss > plain.epochs[0].train_loss + 0.5
    torch.manual_seed(0)  # the layer begins by the seed of the run, and has learned
    weight = torch.nn.Linear(*reversed(state["projections.0.weight"].shape)).weight.detach()
    change = (state["projections.0.weight"] - weight).abs().max()
    assert 1e-4 < float(change) < 0.1


def test_a_teacher_draws_the_student_towards_it(
    tiny_settings: MakeSettings, classes: tuple[str, ...]
) -> None:
    """With the whole weight on a teacher that says one class, that class is learned."""

    def always(clips: Tensor) -> Tensor:
        assert clips.dtype == torch.uint8 and clips.shape[1:] == (4, 3, 32, 32)
        return torch.tensor([[9.0, 0, 0, 0]]).expand(len(clips), -1)

    settings = tiny_settings(teacher_weight=1.0, temperature=1.0, epochs=4, lr=0.02, val_every=4)
    result = mixtconv.train(settings, teacher=always)
    found = result.recognizer(device="cpu").model
    clips = torch.randint(0, 256, (4, 4, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        assert found(found.normalize(clips)).argmax(1).tolist() == [0] * 4
    record = json.loads(result.files.metrics.read_text())
    assert record["teachers"][0]["sha256"] is None
    assert "always" in record["teachers"][0]["model"]


def test_frames_with_labels_learn_from_the_scores_of_frames(
    tiny_recordings: Path, tiny_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = tiny_settings(
        data=str(tiny_recordings), frame_labels=True, num_frames=4, epochs=1, modality="rgb"
    )
    teacher = train(settings)
    student = train(
        replace(settings, out=str(tmp_path / "student"), teacher=str(teacher.files.model))
    )
    assert student.best.train_loss != teacher.best.train_loss
    for own, wrong in (
        (create_model("tsn_test_resnet", classes=["a"], num_frames=4), "does not know"),
        (lambda clips: clips, "scores clips"),
    ):
        with pytest.raises(ValueError, match=wrong):
            train(replace(settings, out=str(tmp_path / "refused")), teacher=own)


def test_teachers_that_do_not_fit_are_refused_in_one_line(
    tiny_settings: MakeSettings,
    taught: SimpleNamespace,
    classes: tuple[str, ...],
    tmp_path: Path,
) -> None:
    few = create_model("tsn_test_resnet", classes=classes[:3])
    several = create_model("tsn_test_resnet", classes=classes)
    several.spec = replace(several.spec, label_thresholds=(0.5,) * 4)
    scores = load_scores(taught.scores)
    lacking = replace(
        scores, keys=scores.keys[2:], labels=scores.labels[2:], scores=scores.scores[2:]
    )
    save_scores(lacking, tmp_path / "lacking.safetensors")
    refused: list[tuple[Any, dict[str, Any], str]] = [
        (few, {}, rf"has 3 classes and does not know '?{classes[3]}"),
        (several, {}, "gives a video several labels, and these have one label"),
        (5, {}, "teacher is 5; give the name of a model"),
        ([], {}, r"teacher is \[\]; give the name of a model .* or leave it out"),
        ([None], {}, "teacher is None; give the name"),
        (torch.zeros(40, 40), {}, r"teacher is tensor\(.*\.\.\.; give the name"),
        (mixtconv.Recognizer, {}, "teacher is <class .*; give the name"),
        (lambda clips: torch.zeros(1, 2), {}, "gave logits of shape"),
        (lambda clips: None, {}, r"gave None; give logits of shape \(4, 4\)"),
        (lambda clips: np.full((len(clips), 4), np.nan), {}, "gave logits that are not finite"),
        ("runs/none", {}, "the teacher runs/none cannot be used: there is no model file"),
        (str(tmp_path / "none.onnx"), {}, r"the teacher .*none\.onnx cannot be used: "),
        (str(tmp_path / "lacking.safetensors"), {}, "has no scores of 2 training videos"),
        (str(tmp_path / "none.safetensors"), {}, "none.safetensors"),
        (scores, {"teacher_features": 1.0}, "gives scores alone"),
        (None, {"temperature": 3.0}, "--temperature is for a --teacher"),
        (None, {"mutual": "tsn_test_resnet", "teacher_features": 1.0}, "--teacher-features is for"),
        (few, {"train": "head"}, "train='head'"),
        (None, {"mutual": "trn_twostream_bninception"}, "sees pictures and optical flow"),
    ]
    for number, (teacher, values, wrong) in enumerate(refused):
        with pytest.raises(ValueError, match=wrong) as error:
            train(tiny_settings(f"refused{number}", **values), teacher=teacher)
        assert "\n" not in str(error.value)
