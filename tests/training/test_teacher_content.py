"""A teacher is known by its content: moved it is the same, and another in its place is not."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from mixtconv.evaluation.scores_file import SavedScores
from mixtconv.models import ModelSpec, VideoClassifier, create_model, save_model
from mixtconv.models.file import write_notes
from mixtconv.training import ablation
from mixtconv.training.ablation import ablate
from mixtconv.training.fit import TrainingResult, train
from mixtconv.training.open_teachers import content_of_teacher
from mixtconv.training.settings import AblationAxes, TrainingSettings
from mixtconv.training.teacher_content import content_of_model, content_of_scores

MakeSettings = Callable[..., TrainingSettings]


@dataclass(frozen=True, kw_only=True)
class LaterSpec(ModelSpec):
    """The description of a model in a later version."""

    invented: float | None = 0.5


def _model(seed: int = 0, **options: Any) -> VideoClassifier:
    torch.manual_seed(seed)
    values: dict[str, Any] = {"classes": ["a", "b"], "num_frames": 4, "image_size": 32}
    return create_model("tsn_test_resnet", **(values | options))


def _tell_apart(models: list[VideoClassifier]) -> int:
    return len({content_of_model(model) for model in models})


def test_the_content_of_a_model_is_what_its_scores_depend_on() -> None:
    same = [_model() for _ in range(4)]
    same[1].spec = LaterSpec(**same[1].spec.to_dict())
    same[2].spec = replace(same[2].spec, rejection_thresholds=(0.5, 0.5))
    same[3].to(memory_format=torch.channels_last)
    same[3].notes = {"top1": 3.0}
    assert _tell_apart(same) == 1
    others = [_model(), _model(1), _model(num_frames=8), _model(classes=["b", "a"]), _model()]
    others[-1].spec = LaterSpec(**others[-1].spec.to_dict(), invented=0.1)
    assert _tell_apart(others) == len(others)


def test_a_hash_is_the_same_in_every_version_of_python_and_of_this() -> None:
    spec = ModelSpec("tsn_resnet18", ("a", "ü"), mean=(0.1, 0.25, 0.5))
    model = SimpleNamespace(spec=spec, state_dict=lambda: {"weight": torch.arange(3.0)})
    assert content_of_model(cast("VideoClassifier", model))[:12] == "8f00b7d6622f"
    labels, values = torch.zeros(1, dtype=torch.int64), torch.tensor([[1.5, -0.25]])
    scores = SavedScores(("a", "ü"), ("x/1",), labels, values, "logits", sources=())
    assert content_of_scores(scores)[:12] == "4a285a40ca9e"
    assert content_of_scores(replace(scores, scores=values + 1)) != content_of_scores(scores)


def test_a_file_is_known_by_its_model_wherever_it_lies(tmp_path: Path) -> None:
    one, two = tmp_path / "run" / "model.safetensors", tmp_path / "noted.safetensors"
    one.parent.mkdir()
    save_model(_model(), one)
    write_notes(one, {"top1": 1.0}, out=two)
    found = {content_of_teacher(str(each)) for each in (one, one.parent, two)}
    assert found == {content_of_model(_model())}


@pytest.fixture
def teacher(tiny_dataset: Path, tmp_path: Path) -> Path:
    classes = sorted(path.name for path in (tiny_dataset / "train").iterdir())
    path = tmp_path / "teachers" / "model.safetensors"
    path.parent.mkdir()
    save_model(_model(classes=classes), path)
    return path


def test_a_run_goes_on_with_its_teacher_wherever_that_lies_and_with_no_other(
    tiny_settings: MakeSettings, teacher: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(teacher=str(teacher), modality="rgb", epochs=1)
    train(settings)
    again = replace(settings, epochs=1, resume=True)
    moved = teacher.parent.rename(tmp_path / "moved")
    train(replace(again, teacher=str(moved)))
    assert train(replace(again, teacher=str(moved / teacher.name))).files.model.is_file()
    refused: list[tuple[dict[str, Any], str]] = [
        (
            {"teacher": None},
            r"begun with the teacher .*\.safetensors, which is not given now",
        ),
        ({"teacher": [str(moved), str(moved / teacher.name)]}, "begun without the teacher .*moved"),
    ]
    for changes, wrong in refused:
        with pytest.raises(ValueError, match=wrong) as error:
            train(replace(again, **changes))
        assert "\n" not in str(error.value)
    classes = sorted(path.name for path in (Path(settings.data) / "train").iterdir())
    save_model(_model(1, classes=classes), moved / teacher.name)
    with pytest.raises(ValueError, match=r"the teacher .*moved is not what .* was when the run in"):
        train(replace(again, teacher=str(moved)))


def test_an_ablation_trains_again_with_another_teacher_and_not_with_a_moved_one(
    tiny_settings: MakeSettings,
    teacher: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained: list[str] = []

    def note(settings: TrainingSettings) -> TrainingResult:
        trained.append(settings.out)
        return train(settings)

    monkeypatch.setattr(ablation, "train", note)
    axes = AblationAxes(operations=["tsn"], seeds=1)
    settings = tiny_settings(teacher=str(teacher), modality="rgb", epochs=1)
    ablate(settings, axes)
    copied = shutil.copy(teacher, tmp_path / "copied.safetensors")
    ablate(replace(settings, teacher=str(copied)), axes)
    assert len(trained) == 1
    classes = sorted(path.name for path in (Path(settings.data) / "train").iterdir())
    save_model(_model(1, classes=classes), teacher)
    ablate(settings, axes)
    assert len(set(trained)) == 2
    ablate(replace(settings, teacher=None), axes)
    assert len(set(trained)) == 3
