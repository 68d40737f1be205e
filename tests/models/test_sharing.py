"""Models are shared as folders and through the hub; no test needs a network."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml
from huggingface_hub import ModelHubMixin, hub_mixin
from huggingface_hub.utils import RepositoryNotFoundError, RevisionNotFoundError

from mixtconv.cli.main import main
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import (
    ModelSpec,
    VideoClassifier,
    create_model,
    list_models,
    load_model,
    location,
    save_model,
    sharing,
)
from mixtconv.models.model_card import make_model_card
from mixtconv.models.systems.factory import FAMILIES
from mixtconv.models.systems.registry import SYSTEMS
from mixtconv.ops import OPERATIONS
from mixtconv.training.initial_weights import make_initial_model
from mixtconv.training.settings import TrainingSettings

NOTES = {
    "data": "/home/somebody/clips",
    "protocol": "2x3",
    "top1": 61.5,
    "top5": 88.25,
    "num_train": 12,
    "epoch": 7,
}
COMMIT = "c" * 40


@pytest.fixture
def model() -> VideoClassifier:
    torch.manual_seed(0)
    made = create_model("mstnet_test_resnet", classes=["a|b", "c"], num_frames=4, image_size=32)
    made.notes = dict(NOTES)
    return made.eval()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which cannot be reached."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    for module in (location, sharing):
        monkeypatch.setattr(module, "is_hub_reachable", lambda: False)
    return cache


def _put_in_cache(cache: Path, model: VideoClassifier, *, branch: str = "main") -> None:
    """What a download of me/model leaves behind."""
    repository = cache / "models--me--model"
    model.save_pretrained(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / branch).write_text(COMMIT)


def _assert_equal(one: VideoClassifier, other: VideoClassifier) -> None:
    assert one.spec == other.spec and one.notes == other.notes
    clips = torch.randn(1, 4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(one(clips), other(clips))


def test_a_folder_holds_all_of_a_model(model: VideoClassifier, tmp_path: Path) -> None:
    assert isinstance(model, ModelHubMixin)
    assert model.save_pretrained(tmp_path / "shared") is None
    assert {path.name for path in (tmp_path / "shared").iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "modeling_mixtconv.py",
        "video_preprocessor_config.json",
    }
    for loaded in (
        VideoClassifier.from_pretrained(tmp_path / "shared"),
        load_model(tmp_path / "shared"),
        load_model(tmp_path / "shared" / "model.safetensors"),
        copy.deepcopy(load_model(tmp_path / "shared")),
    ):
        assert not loaded.training
        _assert_equal(loaded, model)
    config = json.loads((tmp_path / "shared" / "config.json").read_text())
    description = json.loads(json.dumps(model.spec.to_dict()))
    assert config["recognizer"] == description == {name: config[name] for name in description}


def test_a_changed_model_is_saved_as_it_is_now(model: VideoClassifier, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("my own words")
    model.set_num_frames(6)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["num_frames"] == 6
    assert VideoClassifier.from_pretrained(tmp_path).num_frames == 6
    assert (tmp_path / "README.md").read_text() == "my own words"


def test_the_card_is_filled_from_the_run(model: VideoClassifier) -> None:
    card = make_model_card(model.spec, model.notes, license="cc-by-4.0", repo_id="me/model")
    for part in ("clips", "2x3", "61.50 %", "88.25 %", "12", "7", "cc-by-4.0", "hf:me/model"):
        assert part in card.text
    assert "/home/somebody" not in str(card)
    data = yaml.safe_load(str(card).split("---")[1])
    assert data["license"] == "cc-by-4.0" and data["library_name"] == "mixtconv"
    (entry,) = data["model-index"]
    metrics = {result["type"]: result["value"] for result in entry["results"][0]["metrics"]}
    assert metrics == {"accuracy": 61.5, "top-5-accuracy": 88.25}


PAPERS = {
    "tsn": "1608.00859",
    "tsm": "1811.08383",
    "tsm_nl": "1811.08383 1711.07971",
    "mstnet": "2001.06769",
    "trn": "1711.08496",
    "trn_twostream": "1711.08496 1406.2199",
    "i3d_resnet50": "1705.07750",
    "i3d_nl_resnet50": "1705.07750 1711.07971",
    "i3d_nl_gcn_resnet50": "1806.01810",
    "eco_8": "1804.09066",
    "eco_16": "1804.09066",
    "eco_en_lite_92": "1804.09066",
    "stadapter": "2206.13559",
    "aim": "2302.03024",
    "zeroi2v": "2310.01324",
    "adapter": "2001.06769 2206.13559",
    "mstvit": "2001.06769 2310.01324",
}
"""Of every family and system; the others are MixTConv's ablation."""
_NAMES = sorted({*list_models("*_resnet18"), *SYSTEMS, *(f"{name}_resnet18" for name in FAMILIES)})


@pytest.mark.parametrize("name", _NAMES)
def test_the_card_of_every_recognizer_names_the_papers_of_its_method(name: str) -> None:
    family = name.removesuffix("_resnet18")
    if family not in PAPERS:
        assert family in OPERATIONS, "a new family or system needs its papers"
    card = make_model_card(ModelSpec(name, ("a",)), {})
    expected = PAPERS.get(family, "2001.06769").split()
    assert re.findall(r"arxiv\.org/abs/([\d.]+\d)", card.text) == expected


def test_the_card_of_your_own_method_names_no_paper() -> None:
    card = make_model_card(ModelSpec("mine_resnet18", ("a",)), {})
    assert "arxiv" not in card.text.lower() and "Made with `mixtconv`." in card.text


def test_a_card_without_a_run_invents_nothing(model: VideoClassifier) -> None:
    card = make_model_card(model.spec, {})
    assert "None is given" in card.text and "%" not in card.text and "Scores" not in card.text
    data = yaml.safe_load(str(card).split("---")[1])
    assert "license" not in data and "model-index" not in data


class _Hub:
    """Takes the place of `HfApi` and keeps what is sent."""

    sent: dict[str, Any]

    def __init__(self, token: str | None = None) -> None:
        _Hub.sent = {"token": token}

    def create_repo(self, repo_id: str, **settings: Any) -> Any:
        _Hub.sent |= {"repo_id": repo_id, **settings}
        return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

    def upload_folder(self, *, folder_path: Path, **settings: Any) -> str:
        _Hub.sent |= settings
        _Hub.sent["files"] = {path.name: path.read_bytes() for path in folder_path.iterdir()}
        return "https://huggingface.co/me/model/commit/1"


def test_what_is_sent_is_the_model_with_its_card(
    model: VideoClassifier, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hub_mixin, "HfApi", _Hub)
    address = model.push_to_hub("me/model", license="apache-2.0", private=True)
    assert address.endswith("/commit/1")
    assert _Hub.sent["repo_id"] == "me/model" and _Hub.sent["private"] is True
    assert {"README.md", "config.json", "model.safetensors"} < set(_Hub.sent["files"])
    card = _Hub.sent["files"]["README.md"].decode()
    assert "license: apache-2.0" in card and "hf:me/model" in card
    (tmp_path / "model.safetensors").write_bytes(_Hub.sent["files"]["model.safetensors"])
    _assert_equal(load_model(tmp_path), model)
    model.save_pretrained(tmp_path / "x", push_to_hub=True, repo_id="me/model", license="mit")
    assert "license: mit" in _Hub.sent["files"]["README.md"].decode()


def test_nothing_is_sent_without_a_license(
    model: VideoClassifier, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hub_mixin, "HfApi", _Hub)
    _Hub.sent = {}
    with pytest.raises(ValueError, match="a shared model needs a license"):
        model.push_to_hub("me/model")
    with pytest.raises(ValueError, match="a shared model needs a license"):
        model.save_pretrained(tmp_path, push_to_hub=True, repo_id="me/model")
    assert _Hub.sent == {}


def test_without_a_connection_sending_fails_in_one_line(
    model: VideoClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, *args: Any, **settings: Any) -> None:
        raise ConnectionError("Name or service\nnot known")

    monkeypatch.setattr(_Hub, "create_repo", fail)
    monkeypatch.setattr(hub_mixin, "HfApi", _Hub)
    with pytest.raises(
        ValueError, match=r"cannot send the model to me/model .*Name or service not"
    ):
        model.push_to_hub("me/model", license="mit")


@pytest.mark.parametrize("branch", ["main", "v2"])
def test_a_model_in_the_cache_needs_no_connection(
    branch: str, model: VideoClassifier, hub: Path
) -> None:
    _put_in_cache(hub, model, branch=branch)
    name = "hf:me/model" if branch == "main" else f"hf:me/model@{branch}"
    _assert_equal(load_model(name), model)
    _assert_equal(load_model(f"hf:me/model@{COMMIT}"), model)
    revision = None if branch == "main" else branch
    _assert_equal(VideoClassifier.from_pretrained("me/model", revision=revision), model)


def test_every_command_takes_folders_and_models_of_the_hub(
    model: VideoClassifier, hub: Path, tiny_dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    names = [path.name for path in sorted((tiny_dataset / "train").iterdir())]
    model = create_model("mstnet_test_resnet", classes=names, num_frames=4, image_size=32)
    _put_in_cache(hub, model)
    model.save_pretrained(tmp_path / "shared")
    video = next((tiny_dataset / "val").glob("*/*"))
    outputs = []
    for source in ("hf:me/model", str(tmp_path / "shared")):
        assert main(["predict", source, str(video), "--format", "json"]) == 0
        outputs.append(json.loads(capsys.readouterr().out))
        words = ["evaluate", source, str(tiny_dataset), "--workers", "0", "--format", "json"]
        assert main(words) == 0
        assert json.loads(capsys.readouterr().out)["num_videos"] == 4
        settings = TrainingSettings(
            str(tiny_dataset), model=model.spec.name, weights=source, num_frames=4, image_size=32
        )
        initial = make_initial_model(settings, tuple(names))
        assert torch.equal(initial.model.head.weight, model.head.weight)
        assert Recognizer(source).classes == tuple(names)
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("hf:me/model", "the hub cannot be reached and the cache does not hold it"),
        ("hf:me/model@v9", "cannot fetch hf:me/model@v9: the hub cannot be reached"),
        ("hf:me/my/model", "that is no name of a repository; give hf:owner/name"),
        ("hf:", "that is no name of a repository; give hf:owner/name"),
    ],
)
def test_what_the_hub_cannot_give_is_said_in_one_line(
    source: str, says: str, hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", source, "x.mp4"]) == 2
    printed = capsys.readouterr().err
    assert says in printed and len(printed.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RepositoryNotFoundError, "the hub has no such repository, or it is private"),
        (RevisionNotFoundError, "the repository has no revision v9"),
    ],
)
def test_what_the_hub_does_not_have_is_said(
    error: type[Exception], says: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **settings: Any) -> None:
        raise error.__new__(error)

    monkeypatch.setattr(location, "is_hub_reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(ValueError, match=says):
        load_model("hf:me/model@v9")


def test_near_files_are_named(
    model: VideoClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(model, "first.safetensors")
    save_model(model, "runs/second/model.safetensors")
    Path("empty").mkdir()
    for wrong, says in {
        "frist.safetensors": "no model file frist.safetensors .did you mean first.safetensors",
        "runs/secnd": "did you mean runs/second",
        "empty": "no model file model.safetensors in the folder empty",
        "runs": "in the folder runs, but runs/second/model.safetensors: give it",
        "somebody/model": "there is no model file somebody/model; .* or hf:owner/name",
    }.items():
        with pytest.raises(ValueError, match=says):
            load_model(wrong)
    with pytest.raises(ValueError, match="is a file; give its folder"):
        VideoClassifier.from_pretrained("first.safetensors")
    with pytest.raises(ValueError, match="does not take num_classes"):
        VideoClassifier.from_pretrained("runs/second", num_classes=3)


def test_other_placement_than_the_weights_had_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained = create_model("tsm_resnet18", 2, num_frames=4, image_size=32, block_step=2)
    save_model(trained, tmp_path / "model.safetensors")
    settings = TrainingSettings(
        "x", model="tsm_resnet18", weights=str(tmp_path), num_frames=4, image_size=32
    )
    make_initial_model(settings, ("0", "1"))
    assert "has block_step 2, this run has 1" in caplog.text
