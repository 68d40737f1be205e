"""Videos that cannot be read stop a run by name, or are left out and listed; scores count them."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import create_model
from mixtconv.training import fit
from mixtconv.training.fit import train
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]


@pytest.fixture
def damaged_dataset(tiny_dataset: Path, tmp_path: Path) -> Path:
    data = tmp_path / "damaged"
    shutil.copytree(tiny_dataset, data)
    videos = sorted((data / "train").rglob("*.mp4"))
    videos[0].write_bytes(b"")
    videos[4].write_bytes(videos[4].read_bytes()[:200])
    return data


def test_unreadable_videos_stop_a_run_before_its_first_step_by_name(
    tiny_settings: MakeSettings, damaged_dataset: Path
) -> None:
    settings = tiny_settings(data=str(damaged_dataset))
    with pytest.raises(ValueError, match=r"2 of 16 videos cannot be read: .*00000\.mp4.*--skip"):
        train(settings)
    assert not Path(settings.out).exists()  # so that the same command works once they are mended


def test_unreadable_videos_are_left_out_and_listed_on_request(
    tiny_settings: MakeSettings, damaged_dataset: Path
) -> None:
    result = train(tiny_settings(data=str(damaged_dataset), skip_unreadable=True, epochs=1))
    record = json.loads(result.files.metrics.read_text())
    videos = sorted((damaged_dataset / "train").rglob("*.mp4"))
    assert {row["path"] for row in record["unreadable"]} == {str(videos[0]), str(videos[4])}
    assert record["num_train"] == 10


def test_a_video_that_breaks_during_training_is_named(
    tiny_settings: MakeSettings, damaged_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "check_videos", lambda plan, **_: plan)
    with pytest.raises(ValueError, match=r"^[^:]*\d\.mp4: [^/]*--skip-unreadable"):
        train(tiny_settings("stops", data=str(damaged_dataset)))
    skipping = tiny_settings("goes on", data=str(damaged_dataset), skip_unreadable=True)
    assert [row.skipped for row in train(skipping).epochs] == [2, 2]


def test_an_unreadable_video_counts_as_wrong_in_every_score(
    tiny_settings: MakeSettings, damaged_dataset: Path
) -> None:
    video = sorted((damaged_dataset / "val").rglob("*.mp4"))[0]
    model = train(tiny_settings("whole", epochs=1)).files.model
    whole = evaluate_model(model, damaged_dataset, settings=EvaluationSettings(workers=0))
    video.write_text("no video")
    broken = evaluate_model(
        model, damaged_dataset, settings=EvaluationSettings(workers=0, batch_size=1)
    )
    assert whole.num_videos == broken.num_videos == 4
    assert [item.path for item in broken.unreadable] == [video]
    recognizer = Recognizer(model)
    hits = [
        sample.path != video
        and recognizer.predict(sample.path)[0].label == recognizer.classes[sample.label]
        for sample in load_catalog(damaged_dataset).val
    ]
    assert broken.accuracy.top1 == 100 * sum(hits) / 4


def test_a_batch_of_which_nothing_can_be_read_is_left_out(
    tiny_settings: MakeSettings, damaged_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "check_videos", lambda plan, **_: plan)
    settings = tiny_settings(
        data=str(damaged_dataset), skip_unreadable=True, batch_size=1, epochs=1
    )
    result = train(settings)
    assert result.epochs[0].skipped == 2
    assert math.isfinite(result.epochs[0].train_loss)
    weights = load_file(result.files.model).values()
    assert all(weight.isfinite().all() for weight in weights)


@pytest.fixture
def pictures_and_flow(tmp_path: Path) -> Path:
    """Folders of pictures with their optical flow beside them: 6 to train on, 2 to validate on."""
    rng, data = np.random.default_rng(0), tmp_path / "both"
    for part, count in (("train", 3), ("val", 1)):
        for name in ("jump", "run"):
            for number in range(count):
                folder = data / part / name / str(number)
                folder.mkdir(parents=True)
                for frame in range(8):
                    pixels = rng.integers(0, 256, (36, 48, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / f"img_{frame + 1:05}.jpg")
                    for side, channel in (("x", 0), ("y", 1)):
                        flow = Image.fromarray(pixels[..., channel])
                        flow.save(folder / f"flow_{side}_{frame + 1:05}.jpg")
    return data


def test_what_a_teacher_cannot_read_is_named_before_the_first_step(
    tiny_settings: MakeSettings, pictures_and_flow: Path, tiny_dataset: Path
) -> None:
    def teacher(classes: tuple[str, ...]) -> Recognizer:
        options = {"num_frames": 4, "image_size": 32, "modality": "flow"}
        model = create_model("tsn_test_resnet", classes=classes, **options)
        return Recognizer(model, device="cpu")

    videos = teacher(load_catalog(tiny_dataset).classes)
    settings = tiny_settings("videos", modality="rgb")
    says = r"^12 of 16 videos .*: the teacher tsn_test_resnet takes flow: .* not a folder of flow"
    with pytest.raises(ValueError, match=says):
        train(settings, teacher=videos)
    assert not Path(settings.out).exists()

    both = teacher(("jump", "run"))
    settings = tiny_settings(data=str(pictures_and_flow), modality="rgb", epochs=1, batch_size=2)
    for part in ("train", "val"):  # that of the video to validate on is not read
        (pictures_and_flow / part / "run" / "0" / "flow_y_00003.jpg").unlink()
    with pytest.raises(ValueError, match=r"^1 of 8 videos .*train/run/0: the teacher .* has no y"):
        train(settings, teacher=both)
    result = train(replace(settings, skip_unreadable=True), teacher=both)
    record = json.loads(result.files.metrics.read_text())
    assert record["num_train"] == 5 and record["frames"].startswith("cached")
    assert [row["path"] for row in record["unreadable"]] == [
        str(pictures_and_flow / "train" / "run" / "0")
    ]
    assert result.epochs[0].skipped == 0 and result.epochs[0].top1 >= 0
