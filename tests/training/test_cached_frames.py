"""A run on cached frames: where they are kept, and that it resumes with the same."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mixtconv.data import frame_cache
from mixtconv.models import ModelSpec, read_metadata
from mixtconv.training.data import FRAMES_OF_VIDEOS, cache_frames, frames_in_words
from mixtconv.training.fit import train
from mixtconv.training.plan import plan_run
from mixtconv.training.run_origin import frames_of_checkpoint
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]
SPEC = ModelSpec("mstnet_test_resnet", ("a", "b"), num_frames=4, image_size=32)


def _frames(settings: TrainingSettings) -> str:
    return json.loads(Path(settings.out, "metrics.json").read_text())["frames"]


def test_a_run_keeps_frames_says_where_and_learns_nearly_the_same(
    tiny_settings: MakeSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kept = tiny_settings("kept", epochs=1, cache=str(tmp_path / "frames"))
    first = train(kept)
    assert len(list((tmp_path / "frames").rglob("*.safetensors"))) == 16
    assert "16 of 16 videos are kept as frames" in caplog.text
    assert str(tmp_path / "frames") in caplog.text and "to clear it" in caplog.text
    assert _frames(kept).startswith("cached (at most 64 frames a video")
    assert read_metadata(first.files.model)["notes"]["frames"] == _frames(kept)
    second = train(tiny_settings("read", epochs=1, cache="off"))
    assert 0 < abs(first.best.val_loss - second.best.val_loss) < 0.02  # frames are shrunk first


def test_auto_caches_small_images_where_there_is_room(
    tiny_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MIXTCONV_CACHE", str(tmp_path / "own"))
    train(settings := tiny_settings("room", epochs=1))
    assert _frames(settings).startswith("cached") and (tmp_path / "own").is_dir()
    monkeypatch.setattr(frame_cache, "free_space", lambda folder: 1000)
    train(settings := tiny_settings("full", epochs=1))
    assert _frames(settings) == "read from the videos"


def test_auto_reads_the_videos_where_nothing_can_be_written(
    tiny_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MIXTCONV_CACHE", str(tmp_path / "file"))
    plan = plan_run(tiny_settings())
    assert cache_frames(plan, SPEC, as_before=None) is None
    assert "videos are read, not cached" in caplog.text and "file" in caplog.text


def test_a_resumed_run_sees_the_frames_it_began_with(
    tiny_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_run(tiny_settings())
    begun = frames_in_words(cache_frames(plan, SPEC, as_before=None))
    assert begun.startswith("cached")
    with monkeypatch.context() as patch:
        patch.setattr(
            frame_cache, "free_space", lambda folder: 1000
        )  # by itself auto would not now
        assert cache_frames(plan, SPEC, as_before=None) is None
        assert frames_in_words(cache_frames(plan, SPEC, as_before=begun)) == begun
    assert cache_frames(plan, SPEC, as_before=FRAMES_OF_VIDEOS) is None
    train(settings := tiny_settings("cached", epochs=1))
    assert frames_of_checkpoint(Path(settings.out, "checkpoints", "last.ckpt")) == begun
    with pytest.raises(ValueError, match=r"begun with frames cached .* --cache DIR"):
        train(tiny_settings("cached", epochs=1, resume=True, cache="off"))


def test_a_modality_that_is_not_cached_is_refused_where_a_folder_is_given(
    tiny_settings: MakeSettings, tmp_path: Path
) -> None:
    spec = replace(SPEC, modality="flow")
    assert cache_frames(plan_run(tiny_settings()), spec, as_before=None) is None
    with pytest.raises(ValueError, match="modality flow, of which nothing is cached"):
        cache_frames(plan_run(tiny_settings(cache=str(tmp_path))), spec, as_before=None)
