"""Recipes: what they say, how flags change them, and that each of them trains."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import timm
import torch
import yaml
from lightning.pytorch import Trainer

from mixtconv.cli.arguments import parse_command
from mixtconv.cli.main import main
from mixtconv.cli.train import train as train_command
from mixtconv.models import create_model, save_model
from mixtconv.models.frozen_trunk import freeze_trunk
from mixtconv.training.data import VideoDataModule
from mixtconv.training.fit import train
from mixtconv.training.initial_weights import make_initial_model
from mixtconv.training.module import ClassifierModule
from mixtconv.training.optimizer import make_optimizer
from mixtconv.training.plan import plan_run
from mixtconv.training.recipes import FOLDER, list_recipes, load_recipe
from mixtconv.training.run_folder import load_settings
from mixtconv.training.settings import TrainingSettings

DATASETS = ("something_v1", "something_v2", "jester", "kinetics400", "ucf101", "hmdb51")
NAMES = list_recipes()
CLIP = "vit_base_patch16_clip_quickgelu_224"
TRANSFORMERS = list_recipes(f"*_{CLIP}_*")
CONVOLUTIONS = list_recipes("*_resnet50_*")


def _parse(*words: str) -> TrainingSettings:
    return parse_command(train_command, words, program="mixtconv train")["settings"]


def _split(name: str) -> tuple[str, str, str, int]:
    """Family, backbone, dataset and frames of a recipe's name."""
    model, dataset, frames = re.fullmatch(rf"(.+)_({'|'.join(DATASETS)})_(\d+)f", name).groups()
    family, _, backbone = model.partition("_")
    return family, backbone, dataset, int(frames)


def test_there_is_a_recipe_for_each_row() -> None:
    rows = {
        f"{family}_resnet50_{dataset}_{frames}f"
        for dataset in DATASETS
        for family, frames in (("tsn", 8), ("tsm", 8), ("tsm", 16), ("mstnet", 8), ("mstnet", 16))
    }
    ablation = ("ks3", "ks5", "ks7", "ks13", "ks135", "ks1357", "ks357dilated", "conv1d")
    transformers = {
        f"{family}_{CLIP}_{dataset}_8f"
        for family in ("stadapter", "aim", "zeroi2v", "adapter", "mstvit")
        for dataset in ("something_v2", "kinetics400")
    }
    assert set(CONVOLUTIONS) == rows | {f"{name}_resnet50_something_v1_8f" for name in ablation}
    assert set(TRANSFORMERS) == transformers
    assert set(NAMES) == set(CONVOLUTIONS) | set(TRANSFORMERS)
    assert list_recipes("*_ucf101_*") == sorted(name for name in rows if "ucf101" in name)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_what_its_name_says_and_opens_with_its_launch_line(name: str) -> None:
    family, backbone, dataset, frames = _split(name)
    recipe = load_recipe(name)
    settings = recipe.settings(root="/data", weights="none")
    assert (settings.recipe, settings.data, settings.num_frames) == (name, dataset, frames)
    assert settings.model.partition(".")[0] == f"{family}_{backbone}"
    first = recipe.path.read_text().splitlines()[0]
    assert first.startswith(f"# mixtconv train --recipe {name} --root ROOT")
    assert ("--weights" in first) == bool(recipe.starts_from) == (dataset in ("ucf101", "hmdb51"))
    assert not recipe.starts_from or _split(recipe.starts_from) == (
        family,
        backbone,
        "kinetics400",
        frames,
    )
    assert recipe.title and recipe.source and recipe.published
    assert not recipe.published[0].isdigit() or "(" in recipe.published, "a score has its source"


# Dataset -> rate of the whole step, its clips, weight decay, epochs, steps, partial BN.
PUBLISHED = {
    "something_v1": (0.01, 64, 5e-4, 50, [30, 40, 45], False),
    "something_v2": (0.01, 64, 5e-4, 50, [30, 40, 45], False),
    "jester": (0.01, 64, 5e-4, 50, [30, 40, 45], False),
    "kinetics400": (0.02, 128, 1e-4, 50, [20, 40], False),
    "ucf101": (0.001, 64, 5e-4, 25, [10, 20], True),
    "hmdb51": (0.001, 64, 5e-4, 25, [10, 20], True),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_recipe_of_a_resnet_trains_as_published(name: str) -> None:
    """The rates that the optimiser really gets, for the step that the recipe asks for."""
    settings = load_recipe(name).settings(root="/data", weights="none")
    lr, clips, decay, epochs, steps, partial_bn = PUBLISHED[settings.data]
    assert settings.clips_per_step == clips
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 4, 3)
    )
    model.append(torch.nn.Linear(4, 2))
    optimizer = make_optimizer(model, settings)
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    expected = {
        "0.weight": (lr, decay),
        "0.bias": (2 * lr, 0.0),
        "1.weight": (lr, 0.0),
        "1.bias": (lr, 0.0),
        "2.weight": (lr, decay),
        "2.bias": (2 * lr, 0.0),
        "3.weight": (5 * lr, decay),
        "3.bias": (10 * lr, 0.0),
    }
    for key, parameter in model.named_parameters():
        assert found[id(parameter)] == pytest.approx(expected[key]), key
    assert isinstance(optimizer, torch.optim.SGD)
    assert (settings.epochs, settings.milestones, settings.warmup_epochs) == (epochs, steps, 0)
    assert (settings.clip_gradient, settings.momentum) == (20, 0.9)
    assert settings.partial_bn == partial_bn
    assert 0.5 <= settings.dropout <= 0.8


def test_kinetics_has_windows_and_other_datasets_are_sampled_by_segments() -> None:
    """Windows of 64 frames for CNNs, and of 8 frames at a stride of 16 for transformers."""
    for name in NAMES:
        settings = load_recipe(name).settings(root="/data", weights="none")
        dense = settings.data == "kinetics400"
        assert settings.sampling == ("dense" if dense else "segment")
        window = 8 * 16 if name in TRANSFORMERS else 64
        assert not dense or settings.num_frames * settings.frame_stride == window


# the command line


def test_flags_win_over_the_recipe_and_the_recipe_over_defaults() -> None:
    name = "mstnet_resnet50_something_v1_8f"
    settings = _parse("--recipe", name, "--root", "/data", "--epochs", "3", "--lr=0.5")
    assert settings == load_recipe(name).settings(root="/data", epochs=3, lr=0.5)
    assert settings.dropout == 0.8 != TrainingSettings("x").dropout
    assert settings.data == "something_v1"
    assert _parse("clips", f"--recipe={name}").data == "clips"


def test_a_config_file_stands_between_recipe_and_flags(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("epochs: 7\nlr: 1e-3\nbatch_size: 16\n")
    words = ("--recipe", "tsm_resnet50_jester_8f", "--batch-size", "4", "--config", str(config))
    settings = _parse(*words)
    assert (settings.epochs, settings.lr, settings.batch_size) == (7, 0.001, 4)
    assert settings.milestones == [30, 40, 45]
    config.write_text("recipe: tsm_resnet50_jester_8f\nepochs: 7\n")
    settings = _parse("--config", str(config))
    assert (settings.recipe, settings.epochs) == ("tsm_resnet50_jester_8f", 7)
    assert settings.milestones == [30, 40, 45]


@pytest.mark.parametrize("words", [["--partial-bn", "false"], ["--partial-bn=false"]])
def test_what_a_recipe_turns_on_can_be_turned_off(words: list[str]) -> None:
    recipe = ("--recipe", "mstnet_resnet50_ucf101_8f")
    assert _parse(*recipe).partial_bn
    assert not _parse(*recipe, *words).partial_bn
    assert not _parse(*words, *recipe).partial_bn
    assert _parse("clips", "--partial-bn", "true").partial_bn
    assert _parse("--partial-bn", "clips").data == "clips"


def test_a_recipe_of_ones_own_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("data: clips\nepochs: 3\nprecision: 32\nlr: 1e-2\nstages: [1]\nwandb: null\n")
    settings = _parse("--recipe", str(path))
    expected = TrainingSettings("clips", epochs=3, precision="32", lr=0.01, stages=[1])
    assert settings == replace(expected, recipe=str(path))
    assert load_recipe(path).settings() == settings


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epochs: 3\nmilestone: [1]\n", "line 2: unknown setting 'milestone'; did you mean 'mile"),
        ("lr: fast\n", "line 1: lr is 'fast'; give a number"),
        ("\nepochs: 2.5\n", "line 2: epochs is '2.5'; give a whole number"),
        ("milestones: 30\n", "milestones is '30'; give a list of numbers or null"),
        ("milestones: [a]\n", "milestones is a list; give a list of numbers or null"),
        ("flip: maybe\n", "flip is 'maybe'; give true or false"),
        ("optimizer: adam\n", "optimizer is 'adam'; give adamw or sgd"),
        ("model:\n", "model is empty; give text"),
        ("model: {a: b}\n", "model is several settings; give text"),
        ("epochs: 1\nepochs: 2\n", "line 2: epochs is set a second time"),
        ("recipe: other\n", "unknown setting 'recipe'"),
        ("- epochs\n", "holds no settings"),
        ("a: b: c\n", "line 1: not YAML"),
        ("epochs: 0\n", "--epochs is 0; give 1 or more"),
    ],
)
def test_a_fault_in_a_recipe_is_said_by_file_and_line(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert main(["train", "clips", "--recipe", str(path)]) == 2
    said = capsys.readouterr().err
    assert says in said and len(said.splitlines()) == 1
    assert str(path) in said or "--epochs" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--recipe", "mstnet_resnet50_jester_8f"], "trains on jester: give its folder with"),
        (["--recipe", "mstnet_resnet50_jester_9f"], "did you mean 'mstnet_resnet50_jester_8f'"),
        (["--recipe", "../x"], "unknown recipe '../x'"),
        (["--recipe", "nowhere.yaml"], "no settings file nowhere.yaml"),
        (
            ["--recipe", "tsm_resnet50_ucf101_8f", "--root", "."],
            "fine-tunes a model trained with tsm_resnet50_kinetics400_8f: give its "
            "model.safetensors as --weights FILE",
        ),
        (["--recip", "x", "clips"], "--recip"),
    ],
)
def test_what_a_recipe_needs_is_said_in_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jester").mkdir()  # of the same name by chance
    assert main(["train", *words]) == 2
    said = capsys.readouterr().err
    assert says in said and len(said.splitlines()) == 1


def test_a_run_notes_its_recipe_and_is_repeated_from_its_config(
    tiny_settings: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    small = tiny_settings("run")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("optimizer: sgd\nepochs: 1\nhead_lr_factor: 5\n")
    words = ["--weights", "none", "--num-frames", "4", "--image-size", "32", "--workers", "0"]
    words += ["--device", "cpu", "--model", small.model, "--out", small.out]
    assert main(["train", small.data, "--recipe", str(recipe), *words]) == 0
    noted = load_settings(Path(small.out) / "config.yaml")
    assert (noted.recipe, noted.optimizer, noted.epochs) == (str(recipe), "sgd", 1)
    assert _parse("--config", str(Path(small.out) / "config.yaml")) == noted
    resumed = train(replace(noted, recipe="moved.yaml", resume=True))  # its name changes nothing
    assert len(resumed.epochs) == 1


# each recipe trains


@pytest.fixture(scope="module")
def kinetics_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[TrainingSettings], Path]:
    """Model files of other classes, as those that the recipes of small datasets start from."""
    folder = tmp_path_factory.mktemp("kinetics")

    def make(settings: TrainingSettings) -> Path:
        path = folder / f"{settings.model}_{settings.num_frames}.safetensors"
        if not path.exists():
            spec = {"num_frames": settings.num_frames, "image_size": settings.image_size}
            save_model(create_model(settings.model, 5, **spec), path)
        return path

    return make


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory, miniature: ModuleType) -> dict[str, Path]:
    """A miniature copy of each dataset."""
    folder = tmp_path_factory.mktemp("roots")
    return {name: miniature.make_miniature(name, folder / name, num_frames=8) for name in DATASETS}


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_takes_a_step_on_its_dataset(
    name: str,
    roots: dict[str, Path],
    kinetics_models: Callable[[TrainingSettings], Path],
    tmp_path: Path,
) -> None:
    """As it is, but for a small backbone, few pixels and few clips."""
    family, _, dataset, _ = _split(name)
    tiny = "test_vit" if name in TRANSFORMERS else "test_resnet"
    settings = load_recipe(name).settings(
        root=str(roots[dataset]),
        model=f"{family}_{tiny}",
        weights="none",
        image_size=32,
        batch_size=2,
        workers=0,
        device="cpu",
        out=str(tmp_path),
    )
    if load_recipe(name).starts_from:
        settings = replace(settings, weights=str(kinetics_models(settings)))
    before, after = _weights_around_a_step(settings)
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert {"head.weight", "head.bias"} <= moved
    assert all(torch.isfinite(value).all() for value in after.values())
    frozen = {key for key in before if "bn" in key} - moved
    assert bool(frozen) == settings.partial_bn
    if name in TRANSFORMERS:
        image_model = timm.create_model("test_vit", num_classes=0).state_dict()
        in_timm = {re.sub(r"\.module\b", "", key.removeprefix("backbone.")) for key in moved}
        assert not in_timm & image_model.keys()
        assert in_timm - {"head.weight", "head.bias"}, "what is put in learns in the first step"


def _weights_around_a_step(settings: TrainingSettings) -> tuple[dict, dict]:
    plan = plan_run(settings)
    torch.manual_seed(0)
    model = make_initial_model(settings, plan.catalog.classes).model
    if settings.train == "temporal":
        freeze_trunk(model)
    module = ClassifierModule(model, plan)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trainer = Trainer(
        accelerator="cpu",
        max_steps=1,
        limit_val_batches=0,
        gradient_clip_val=settings.clip_gradient,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=VideoDataModule(plan, model.spec))
    return before, model.state_dict()


def test_the_package_ships_its_recipes() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    (line,) = re.findall(r"^mixtconv = (\[.*\])$", project.read_text(), flags=re.MULTILINE)
    shipped = {path for pattern in yaml.safe_load(line) for path in FOLDER.parent.glob(pattern)}
    assert NAMES and set(FOLDER.iterdir()) <= shipped


def test_the_page_of_recipes_lists_them_all_with_their_scores() -> None:
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("| `")
    ]
    recipes = {row[0].strip("`"): row[1:] for row in rows}
    assert set(recipes) == set(NAMES) and len(rows) == len(NAMES)
    for name, (dataset, frames, published, source) in recipes.items():
        recipe = load_recipe(name)
        assert recipe.title.endswith(f"{frames} frames, on {dataset}")
        assert (published, source) == (recipe.published, recipe.source)
