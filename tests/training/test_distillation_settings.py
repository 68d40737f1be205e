"""Settings of distillation: how they are given, and which exclude each other."""

from collections.abc import Callable
from typing import Any

import pytest

from mixtconv.cli.arguments import parse_command
from mixtconv.cli.train import train_videos
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]


def test_one_teacher_or_several_are_given_on_the_command_line() -> None:
    def settings(*words: str) -> TrainingSettings:
        parsed = parse_command(train_videos, ["data", *words], program="mixtconv train")
        found = parsed["settings"]
        assert isinstance(found, TrainingSettings)
        return found

    assert settings("--teacher", "a.onnx").teacher_names == ["a.onnx"]
    assert settings("--teacher", "[a.onnx,runs/b]").teacher_names == ["a.onnx", "runs/b"]
    assert settings().teacher_names == []


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"temperature": 0.0}, "--temperature is 0"),
        ({"teacher_weight": 0.0}, "--teacher-weight is 0"),
        ({"teacher": []}, "--teacher names no model"),
        ({"teacher": ["a", "a"]}, "names a model twice"),
        ({"teacher": "a", "train": "head"}, "--teacher scores clips, and --train head"),
        ({"mutual": "tsn_resnet18", "train": "temporal"}, "--mutual trains two whole networks"),
        ({"mutual": "tsn_resnet18", "frame_labels": True}, "--mutual compares scores of clips"),
    ],
)
def test_settings_that_exclude_each_other_are_refused_in_one_line(
    tiny_settings: MakeSettings, values: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(ValueError, match=wrong) as refused:
        tiny_settings(**values)
    assert "\n" not in str(refused.value)
