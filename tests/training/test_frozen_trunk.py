"""Runs on a frozen trunk: what is trained, what stays, the model file, and resuming."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mixtconv.cli.main import main
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models import create_model, load_model, read_metadata
from mixtconv.training import fit
from mixtconv.training.ablation import ablate
from mixtconv.training.fit import train
from mixtconv.training.initial_weights import make_initial_model
from mixtconv.training.settings import AblationAxes, TrainingSettings

MakeSettings = Callable[..., TrainingSettings]


@pytest.fixture
def settings(tiny_settings: MakeSettings, tmp_path: Path) -> MakeSettings:
    """Settings of a run on the frozen trunk of a file, of two epochs."""
    torch.manual_seed(1)
    network = create_model("tsn_test_resnet", 2, image_size=32).backbone
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
            module.num_batches_tracked.fill_(7)
    torch.save(network.state_dict(), tmp_path / "2d.pth")

    def make(out: str = "run", **changes: object) -> TrainingSettings:
        values = {"train": "temporal", "weights": str(tmp_path / "2d.pth"), "lr": 0.05}
        return tiny_settings(out, **values | changes)

    return make


def _weights(model: Path) -> dict[str, torch.Tensor]:
    return load_model(model).state_dict()


@pytest.mark.parametrize("changes", [{}, {"ema": 0.8}, {"precision": "bf16"}], ids=str)
def test_the_trunk_stays_to_the_last_bit_and_all_else_is_trained(
    settings: MakeSettings, changes: dict
) -> None:
    run = settings(optimizer="sgd", weight_decay=0.1, **changes)
    torch.manual_seed(run.seed)
    before = make_initial_model(run, ("0", "1", "2", "3")).model.state_dict()
    files = train(run).files
    after, held = _weights(files.model), load_file(files.model)
    trained = {name for name in before if ".temporal." in name or name.startswith("head.")}
    assert held.keys() == trained and len(trained) > 2
    for name, value in before.items():
        assert torch.equal(after[name], value) == (name not in trained), name
    assert all(value.dtype == torch.float32 for value in held.values())

    state = torch.load(files.checkpoint, weights_only=True)
    keys = {"state_dict", "current_model_state"} & state.keys()
    assert len(keys) == (2 if run.ema else 1)
    for key in keys:
        assert state[key].keys() == {f"model.{name}" for name in trained}
    (optimizer,) = state["optimizer_states"]
    sizes = [each["momentum_buffer"].numel() for each in optimizer["state"].values()]
    assert sorted(sizes) == sorted(value.numel() for value in held.values())


def test_the_record_and_the_model_say_what_the_trunk_is(
    settings: MakeSettings, tmp_path: Path
) -> None:
    result = train(settings(epochs=1))
    about = read_metadata(result.files.model)["trunk"]
    record = json.loads(result.files.metrics.read_text())
    assert record["trunk"] == about and about["file"] == str(tmp_path / "2d.pth")
    scored = evaluate_model(
        result.files.model, settings().data, settings=EvaluationSettings(workers=0)
    )
    assert scored.accuracy.top1 == result.best.top1
    whole = train(settings("whole", epochs=1, whole_file=True)).files.model
    assert read_metadata(whole)["trunk"] is None
    (tmp_path / "2d.pth").unlink()
    one, other = _weights(whole), load_file(result.files.model)
    assert all(torch.equal(one[name], value) for name, value in other.items())


def test_the_trunk_is_in_evaluation_mode_in_every_step(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a validation; the dropout before the last layer and the parts put in are not."""
    seen = []
    loss = fit.ClassifierModule.training_step

    def watch(module: fit.ClassifierModule, *args: object) -> object:
        model = module.model
        frozen = [
            each.training
            for name, each in model.backbone.named_modules()
            if "temporal" not in name and name
        ]
        trained = [each.training for name, each in model.named_modules() if "temporal" in name]
        seen.append((any(frozen), all(trained), model.dropout.training, model.training))
        return loss(module, *args)

    monkeypatch.setattr(fit.ClassifierModule, "training_step", watch)
    train(settings())
    assert len(seen) == 6 and set(seen) == {(False, True, True, True)}


@pytest.mark.parametrize(
    "changes",
    [{}, {"ema": 0.8, "workers": 1, "precision": "bf16"}, {"weights": "none"}],
    ids=["published", "average-half", "random"],
)
def test_resumed_equals_unbroken(settings: MakeSettings, changes: dict) -> None:
    unbroken = train(settings("unbroken", epochs=3, **changes))
    begun = settings("begun", epochs=3, minutes=1e-6, **changes)
    train(begun)
    resumed = train(replace(begun, minutes=None, resume=True))
    assert len(resumed.epochs) == 3
    one, other = _weights(unbroken.files.model), _weights(resumed.files.model)
    assert all(torch.equal(one[name], other[name]) for name in one)
    for row, again in zip(unbroken.epochs, resumed.epochs, strict=True):
        assert (row.train_loss, row.val_loss) == (again.train_loss, again.val_loss)
    is_random = changes.get("weights") == "none"
    assert (read_metadata(resumed.files.model)["trunk"] is None) == is_random


def test_a_run_is_not_resumed_on_another_trunk(settings: MakeSettings, tmp_path: Path) -> None:
    run = settings()
    train(run)
    torch.manual_seed(5)
    torch.save(create_model("tsn_test_resnet", 2).backbone.state_dict(), tmp_path / "2d.pth")
    with pytest.raises(ValueError, match="frozen backbone are not those that the run was begun"):
        train(replace(run, resume=True))


def test_a_run_goes_on_from_a_file_of_the_trained_part(settings: MakeSettings) -> None:
    first = train(settings(epochs=1)).files.model
    second = train(settings("second", epochs=1, weights=str(first))).files.model
    one, other = read_metadata(first)["trunk"], read_metadata(second)["trunk"]
    assert one == other  # the trunk of both is the file's
    everything = train(settings("third", epochs=1, weights=str(first), train="all")).files.model
    assert read_metadata(everything)["trunk"] is None
    third = train(settings("fourth", epochs=1, weights=str(everything))).files.model
    assert read_metadata(third)["trunk"]["file"] == str(everything)
    expected = _weights(everything)
    held = load_file(third)
    assert all(
        name in held or torch.equal(expected[name], value)
        for name, value in _weights(third).items()
    )


def test_a_head_on_features_is_a_file_of_the_trained_part(settings: MakeSettings) -> None:
    run = settings(train="head", feature_head="blocks", less_mean=True, lr=0.01, weight_decay=0.1)
    files = train(replace(run, cache=str(Path(run.out).parent / "cache"))).files
    assert all(name.startswith(("backbone.head.", "head.")) for name in load_file(files.model))
    assert read_metadata(files.model)["trunk"] is not None
    assert load_model(files.model).spec.feature_head == "blocks"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "tsn_test_resnet"}, "tsn_test_resnet has no parameters there"),
        ({"model": "tsm_test_resnet"}, "tsm_test_resnet has no parameters there"),
        ({"first_layer_lr_factor": 5.0}, "--first-layer-lr-factor is for the first convolution"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_one_line(
    settings: MakeSettings, changes: dict, says: str
) -> None:
    with pytest.raises(ValueError, match=says) as error:
        train(settings(**changes))
    assert "\n" not in str(error.value)


def test_an_ablation_refuses_it_before_anything_is_trained(
    settings: MakeSettings, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="tsm_test_resnet has no parameters there"):
        ablate(settings("ablation"), AblationAxes(operations=["mstnet", "tsm"], seeds=1))
    assert not (tmp_path / "ablation" / "runs").exists()


def test_commands_find_the_trunk_by_the_variable(
    settings: MakeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = str(train(settings(epochs=1)).files.model)
    (tmp_path / "2d.pth").rename(tmp_path / "moved.pth")
    out = str(tmp_path / "causal.safetensors")
    assert main(["convert", model, "--causal", "--out", out]) == 2
    assert "were not found" in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setenv("MIXTCONV_TRUNK", str(tmp_path / "moved.pth"))
    assert main(["convert", model, "--causal", "--out", out]) == 0
    assert load_model(out).spec.causal
