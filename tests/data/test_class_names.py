"""Names of classes that YAML or a spreadsheet takes for something else stay names everywhere."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from mixtconv.cli.arguments import parse_command
from mixtconv.cli.train import train
from mixtconv.data.datasets.catalog import load_catalog, load_labelled_videos
from mixtconv.data.datasets.classes import read_classes
from mixtconv.data.labels import choose_pairs, read_pairs
from mixtconv.inference.engines.base import Description
from mixtconv.models import create_model, load_model, save_model
from mixtconv.models.model_card import make_model_card
from mixtconv.models.spec import ModelSpec
from mixtconv.training.run_folder import RunFiles, begin_run, load_settings
from mixtconv.training.settings import TrainingSettings

NAMES = ("yes", "no", "on", "010", "1e3", "null", "~", "1_000", "2020-01-01", "0x10", "1.0", "=")
PAIRS = [list(pair) for pair in zip(NAMES[::2], NAMES[1::2], strict=True)]
INLINE = f"[{','.join(f'[{a}, {b}]' for a, b in PAIRS)}]"


def test_in_folders_lists_and_scores(tmp_path: Path, sources: ModuleType) -> None:
    videos = [f"{name}/{number}.mp4" for name in NAMES for number in (1, 2)]
    sources.touch(tmp_path / "clips", *videos)
    folder = load_catalog(tmp_path / "clips", val_fraction=0)
    rows = [(f"clips/{video}", video.partition("/")[0]) for video in videos]
    table = sources.write_csv(tmp_path, "path,label", *map(",".join, rows))
    lines = [json.dumps(dict(zip(("path", "label"), row, strict=True))) for row in rows]
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    for data in (table, tmp_path / "list.jsonl"):
        catalog = load_catalog(data, val_fraction=0)
        assert catalog.classes == folder.classes == tuple(sorted(NAMES))
        for sample in load_labelled_videos(data, classes=NAMES):
            assert NAMES[sample.label] == sample.path.parent.name


def test_in_pairs_of_a_flip(tmp_path: Path) -> None:
    file = tmp_path / "pairs.yaml"
    file.write_text("".join(f"- [{first}, {second}]\n" for first, second in PAIRS))
    assert read_pairs(str(file)) == read_pairs(INLINE) == PAIRS
    target = tuple(label ^ 1 for label in range(len(NAMES)))
    assert choose_pairs(NAMES, INLINE).target == target


def test_in_settings(tmp_path: Path) -> None:
    """On the command line, in a file of settings, and in the one that a run writes."""
    config = tmp_path / "config.yaml"
    config.write_text(f"flip_pairs: {INLINE}\n")

    def parsed(*words: str) -> TrainingSettings:
        return parse_command(train, ["clips", *words], program="mixtconv train")["settings"]

    given: list[Any] = [
        parsed("--config", str(config)).flip_pairs,
        parsed("--flip-pairs", INLINE).flip_pairs,
        parsed("--flip-pairs", json.dumps(PAIRS)).flip_pairs,
    ]
    assert [read_pairs(pairs) for pairs in given] == [PAIRS] * 3
    files = RunFiles(tmp_path / "run")
    begin_run(TrainingSettings(data="clips", flip_pairs=PAIRS), files)
    assert load_settings(files.config).flip_pairs == PAIRS
    assert parsed("--config", str(files.config)).flip_pairs == PAIRS


@pytest.mark.parametrize("name", [*NAMES, "a: b", "# c", "`d`"])
def test_as_data_of_a_model_card(name: str) -> None:
    """The front matter of a card is YAML that others read."""
    card = make_model_card(ModelSpec("tsm_resnet50", NAMES), {"data": name, "top1": 50.0})
    front = yaml.safe_load(str(card).split("---\n")[1])
    assert front["model-index"][0]["results"][0]["dataset"]["name"] == name


def test_in_model_files_and_exports(tmp_path: Path) -> None:
    model = create_model("mstnet_test_resnet", classes=NAMES, num_frames=4, image_size=32)
    save_model(model, tmp_path / "model.safetensors")
    assert load_model(tmp_path / "model.safetensors").spec.classes == NAMES
    about = Description(model.spec, "1.0")
    assert Description.from_json(about.to_json(), "a file").spec.classes == NAMES
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    assert read_classes(str(tmp_path / "classes.txt")) == NAMES
