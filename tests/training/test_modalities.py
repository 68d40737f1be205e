"""Training on differences and on flow, from the videos to labels; what is said of wrong data."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.data.preparation.run import prepare
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import create_model, load_model, save_model
from mixtconv.training import plan
from mixtconv.training.fit import train
from mixtconv.training.initial_weights import make_initial_model
from mixtconv.training.run_folder import load_settings
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]


@pytest.fixture(scope="module")
def videos(two_stream: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two") / "rgb"
    two_stream.make_two_stream_dataset(folder, videos_per_class=3, seed=0)
    return folder


@pytest.fixture(scope="module")
def flow(videos: Path) -> Path:
    form = PreparedForm(short_side=48, flow="dis")
    return prepare(videos, out=videos.parent / "flow", form=form).data


@pytest.mark.parametrize("modality", ["rgbdiff", "motion", "flow"])
def test_a_run_from_videos_to_labels(
    modality: str, videos: Path, flow: Path, tiny_settings: MakeSettings, capsys
) -> None:
    data = flow if modality == "flow" else videos
    changes = {"rand_augment": 2, "random_erasing": 0.5, "repeated_augmentation": 2}
    changes = {} if modality == "flow" else changes
    settings = tiny_settings(modality, data=str(data), modality=modality, epochs=1, **changes)
    result = train(settings)
    model = load_model(result.files.model)
    assert model.spec.modality == modality
    command = ["evaluate", str(result.files.model), str(data), "--workers", "0", "--format", "json"]
    assert main(command) == 0
    assert '"num_videos": 4' in capsys.readouterr().out
    video = next(path for path in sorted((data / "val" / "red_left").iterdir()))
    assert len(Recognizer(model, device="cpu").predict(video)) == 4


def test_data_of_another_modality_are_refused_in_one_line(
    videos: Path, flow: Path, tiny_settings: MakeSettings
) -> None:
    with pytest.raises(ValueError, match=r"12 of 12.*prepare DATA --out DIR --flow") as one:
        train(tiny_settings("a", data=str(videos), modality="flow"))
    with pytest.raises(ValueError, match=r"12 of 12.*holds optical flow.*--modality flow") as two:
        train(tiny_settings("b", data=str(flow)))
    for error in (one, two):
        assert "\n" not in str(error.value) and len(str(error.value)) < 600


def test_an_rgb_recognizer_is_fine_tuned_to_flow(
    tiny_settings: MakeSettings, tmp_path: Path
) -> None:
    rgb = create_model("mstnet_test_resnet", classes=["a", "b"], num_frames=4, image_size=32)
    save_model(rgb, tmp_path / "rgb.safetensors")
    settings = tiny_settings(
        model="mstnet_test_resnet", weights=str(tmp_path / "rgb.safetensors"), modality="flow"
    )
    initial = make_initial_model(settings, ("a", "b"))
    state_dict, state = initial.model.state_dict(), rgb.state_dict()
    (first,) = (key for key in state_dict if state_dict[key].shape != state[key].shape)
    mean = sum(state[first][:, c] for c in range(3)) / 3
    for channel in range(10):
        torch.testing.assert_close(state_dict[first][:, channel], mean)
    assert all(torch.equal(state_dict[key], state[key]) for key in state_dict if key != first)
    save_model(initial.model, tmp_path / "flow.safetensors")
    back = tiny_settings(model="mstnet_test_resnet", weights=str(tmp_path / "flow.safetensors"))
    with pytest.raises(ValueError, match="of modality flow, whose weights do not fit"):
        make_initial_model(back, ("a", "b"))


@pytest.fixture
def still_or_moving(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], list[int]]:
    """Lets the camera of all videos stand still or move; returns how many were looked at."""

    def make(still: bool) -> list[int]:
        looked: list[int] = []

        def stands_still(videos: list[Path]) -> bool:
            looked.append(len(videos))
            return still

        monkeypatch.setattr(plan, "camera_stands_still", stands_still)
        return looked

    return make


@pytest.mark.parametrize(
    ("changes", "modality"),
    [
        ({}, "motion"),
        ({"weights": "auto"}, "motion"),
        ({"modality": "rgb"}, "rgb"),
        ({"modality": "rgbdiff"}, "rgbdiff"),
        ({"recipe": "tsm_resnet50_kinetics_8f"}, None),  # as published
        ({"model": "eco_8"}, None),
        ({"num_frames": 1}, None),  # nothing moves in one frame
        ({"protocol": "25x10"}, None),  # views of a frame each
        ({"weights": "hf:owner/name"}, None),  # a recognizer has its own
    ],
)
def test_a_still_camera_gives_motion_where_nothing_is_said(
    changes: dict[str, Any],
    modality: str | None,
    tiny_settings: MakeSettings,
    still_or_moving: Callable[[bool], list[int]],
) -> None:
    settings = tiny_settings(**changes)
    looked = still_or_moving(True)
    assert plan.plan_run(settings).settings.modality == modality
    assert looked == ([12] if modality == "motion" else [])  # the training videos alone
    still_or_moving(False)
    assert plan.plan_run(settings).settings.modality == settings.modality


def test_a_resumed_run_keeps_its_modality(
    tiny_settings: MakeSettings, still_or_moving: Callable[[bool], list[int]]
) -> None:
    still_or_moving(True)
    first = train(tiny_settings(epochs=2, minutes=1e-9))
    assert load_model(first.files.model).spec.modality == "motion"
    assert load_settings(first.files.config).modality == "motion"  # so that it repeats the run
    still_or_moving(False)
    again = train(tiny_settings(epochs=2, minutes=10.0, resume=True))
    assert load_model(again.files.model).spec.modality == "motion"
