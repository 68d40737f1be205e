"""Clips of pictures and optical flow together, as two-stream models take them."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from mixtconv.data.modality import join_snippets, probe_for, read_model_clip
from mixtconv.data.transforms import mirror
from mixtconv.data.views import Protocol, TensorViewReader
from mixtconv.inference.recognizer import Recognizer
from mixtconv.models import load_model
from mixtconv.models.spec import ModelSpec
from mixtconv.training.fit import train
from mixtconv.training.settings import TrainingSettings
from mixtconv.video.pictures import UnreadableVideoError

SPEC = ModelSpec("two", ("a", "b"), num_frames=2, image_size=32, modality="rgbflow")


def _folder(folder: Path, *, num_frames: int, size: tuple[int, int] = (56, 40)) -> np.ndarray:
    """Write noise as pictures and flow, one field fewer; returns it, (T, H, W, 5)."""
    folder.mkdir(parents=True)
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, 40, 56, 5), dtype=np.uint8)
    for number, frame in enumerate(frames, 1):
        picture = Image.fromarray(np.ascontiguousarray(frame[..., :3])).resize(size)
        picture.save(folder / f"img_{number:05d}.png")
        for channel, name in enumerate("xy", start=3):
            if number < num_frames:
                field = Image.fromarray(np.ascontiguousarray(frame[..., channel]))
                field.save(folder / f"flow_{name}_{number:05d}.png")
    return frames


@pytest.mark.parametrize("num_frames", [4, 6, 14])
def test_each_place_has_its_first_picture_and_five_fields(num_frames: int, tmp_path: Path) -> None:
    frames = _folder(tmp_path / "a", num_frames=num_frames)
    fields = num_frames - 1
    clip = read_model_clip(tmp_path / "a", lambda places: [places - 1, 0], SPEC)
    assert clip.frames.shape == (2, 5, 5, 40, 56)
    for snippet, start in zip(clip.frames.numpy(), (max(fields - 5, 0), 0), strict=True):
        shown = [start + (i if fields >= 5 else i * fields // 5) for i in range(5)]
        for i, frame in enumerate(shown):
            expected = frames[frame][..., 3:].transpose(2, 0, 1)
            assert np.array_equal(snippet[i, 3:], expected)
        assert np.array_equal(snippet[0, :3], frames[start][..., :3].transpose(2, 0, 1))
    joined = join_snippets(clip.frames, SPEC)
    assert joined.shape == (2, SPEC.snippet.channels, 40, 56)
    views = TensorViewReader(SPEC, Protocol(2, 3)).read(tmp_path / "a").frames
    assert views.shape[:3] == (6, 2, 25)


def test_a_mirror_turns_x_alone() -> None:
    clip = torch.randint(0, 256, (2, 5, 5, 4, 6), dtype=torch.uint8)
    expected = clip.flip(-1)
    expected[:, :, 3] = 255 - expected[:, :, 3]
    assert torch.equal(mirror(clip, "rgbflow"), expected)


def test_what_is_not_both_is_refused(tmp_path: Path, media: ModuleType) -> None:
    _folder(tmp_path / "other", num_frames=7, size=(28, 20))
    with pytest.raises(UnreadableVideoError, match="pictures are 28x20 and flow 56x40"):
        read_model_clip(tmp_path / "other", lambda places: [0, 0], SPEC)
    _folder(tmp_path / "flow", num_frames=7)
    for path in (tmp_path / "flow").glob("img_*"):
        path.unlink()
    with pytest.raises(UnreadableVideoError, match="holds optical flow, not pictures"):
        probe_for(tmp_path / "flow", "rgbflow")
    _folder(tmp_path / "pictures", num_frames=7)
    assert probe_for(tmp_path / "pictures", "rgbflow").num_frames == 6
    for path in (tmp_path / "pictures").glob("flow_*"):
        path.unlink()
    with pytest.raises(UnreadableVideoError, match="no pictures of optical flow in it"):
        probe_for(tmp_path / "pictures", "rgbflow")


def test_two_streams_are_trained_and_predict(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for label in ("one", "two"):
            _folder(tmp_path / "data" / split / label / "x", num_frames=7)
    settings = TrainingSettings(
        str(tmp_path / "data"),
        out=str(tmp_path / "run"),
        model="trn_twostream_test_resnet",
        weights="none",
        num_frames=2,
        image_size=32,
        epochs=1,
        batch_size=2,
        workers=0,
        device="cpu",
    )
    model = load_model(train(settings).files.model)
    assert (model.spec.modality, model.spec.dropout) == ("rgbflow", 0.8)
    video = tmp_path / "data" / "val" / "one" / "x"
    assert len(Recognizer(model, device="cpu").predict(video)) == 2
