"""The labels that a mirror exchanges, from the settings of a run to the clips that it trains on."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.labels import mirror_labels
from mixtconv.models.spec import ModelSpec
from mixtconv.training import fit
from mixtconv.training.data import VideoDataModule
from mixtconv.training.fit import train
from mixtconv.training.plan import plan_run
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]
EPOCHS = 8


def _labels_seen(settings: TrainingSettings) -> dict[int, set[int]]:
    """Of each true label, the labels that its clips train with over a few epochs."""
    catalog = load_catalog(settings)
    spec = ModelSpec("x", catalog.classes, num_frames=2, image_size=32)
    data = VideoDataModule(plan_run(settings), spec)
    trained_as: dict[int, set[int]] = {label: set() for label in range(len(catalog.classes))}
    for epoch in range(EPOCHS):
        data.trainer = SimpleNamespace(global_rank=0, world_size=1, current_epoch=epoch)  # type: ignore[assignment]
        for batch in data.train_dataloader():
            for index, label in zip(batch.indices.tolist(), batch.labels.tolist(), strict=True):
                trained_as[catalog.train[index].label].add(label)
    return trained_as


def test_clips_train_with_the_labels_of_the_pairs_in_use(tiny_settings: MakeSettings) -> None:
    catalog = load_catalog(tiny_settings())
    mirroring = mirror_labels(catalog.classes)
    assert mirroring.pairs, "the classes of this test name sides"
    auto = _labels_seen(tiny_settings())
    assert auto == {label: {label, mirroring.target[label]} for label in auto}
    assert _labels_seen(tiny_settings(flip_pairs="none")) == {label: {label} for label in auto}
    unsided = [label for label in auto if mirroring.target[label] == label]
    a, b = unsided[:2]
    names = [[catalog.classes[a], catalog.classes[b]]]
    given = _labels_seen(tiny_settings(flip_pairs=names))
    assert given[a] == given[b] == {a, b}
    assert all(given[label] == {label} for label in given if label not in (a, b))


def test_the_pairs_in_use_are_said_before_training(
    tiny_settings: MakeSettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "make_trainer", lambda *_: pytest.fail("training begins"))
    first, second, third, fourth = load_catalog(tiny_settings()).classes
    says = {
        "none": "mirrored clips keep their labels",
        "auto": f"exchanges {mirror_labels((first, second, third, fourth)).pairs[0][0]!r}",
        (first, third): f"exchanges {first!r} and {third!r}",
    }
    for pairs, expected in says.items():
        caplog.clear()
        settings = tiny_settings(flip_pairs=pairs if isinstance(pairs, str) else [list(pairs)])
        with caplog.at_level(logging.INFO), pytest.raises(pytest.fail.Exception):
            train(settings)
        assert expected in caplog.text
        assert caplog.text.count("exchanges") == (0 if pairs == "none" else 1)


def test_a_wrong_name_is_said_before_a_video_is_opened(
    tiny_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: Any, **__: Any) -> None:
        pytest.fail("videos are opened")

    monkeypatch.setattr(fit, "check_videos", opened)
    name = load_catalog(tiny_settings()).classes[0]
    path = tmp_path / "pairs.yaml"
    path.write_text(yaml.safe_dump([[name, name[:-1]]]))
    with pytest.raises(ValueError, match=f"did you mean '{name}'"):
        train(tiny_settings(flip_pairs=str(path)))
    assert not Path(tiny_settings().out).exists()
