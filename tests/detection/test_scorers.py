"""Scores over time against the network on the same frames, computed in one go."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mixtconv.data.transforms import center_crop
from mixtconv.detection.scorers import ClipScorer, FrameScorer, WindowScorer, load_scorer
from mixtconv.detection.settings import ScoreTimes
from mixtconv.inference.timeline import predict_windows
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import create_model, load_model, save_model
from mixtconv.video.windows import WindowPlan

CLASSES = ["jump", "run", "background"]
LENGTH = 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for kind in ("causal", "frames", "windows", "segments"):
        torch.manual_seed(0)
        model = create_model(
            "mstnet_test_resnet",
            classes=CLASSES,
            num_frames=LENGTH,
            image_size=32,
            causal=kind == "causal",
            sampling="segment" if kind == "segments" else "dense",
            frame_stride=5,
        )
        torch.nn.init.normal_(model.head.weight)
        paths[kind] = folder / f"{kind}.safetensors"
        save_model(model, paths[kind], notes={"frame_labels": kind == "frames"})
    return paths


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, media) -> Path:
    return media.encode(tmp_path_factory.mktemp("video") / "day.mp4", media.moving_frames(73))


def _every_fifth(video: Path, media) -> torch.Tensor:
    """Every fifth picture as the network takes it, uint8 (T, 3, 32, 32)."""
    pictures = np.stack(media.decode_all(video)[::5]).transpose(0, 3, 1, 2)
    return center_crop(torch.from_numpy(np.ascontiguousarray(pictures)), 32)[0]


def _softmax(logits: torch.Tensor) -> np.ndarray:
    return logits.double().softmax(dim=-1).numpy()


def test_a_causal_model_scores_each_frame_as_in_one_long_clip(models, video, media) -> None:
    scorer = load_scorer(models["causal"])
    assert isinstance(scorer, FrameScorer)
    steps = list(scorer.steps(video))
    frames = _every_fifth(video, media)
    model = load_model(models["causal"]).eval()
    model.set_num_frames(len(frames))
    with torch.inference_mode():
        expected = _softmax(model.forward_frames(model.normalize(frames[None]))[0])
    np.testing.assert_allclose([step.scores for step in steps], expected, atol=1e-4)
    np.testing.assert_allclose([step.start for step in steps], np.arange(15) / 5, atol=1e-6)
    ends = np.minimum((1 + np.arange(15)) / 5, 73 / 25)  # where the recording ends
    np.testing.assert_allclose([step.end for step in steps], ends, atol=1e-6)


@pytest.mark.parametrize("num_frames", [1, 3, 4, 5, 6, 7, 8, 15])
def test_a_model_of_frames_averages_the_clips_that_a_frame_is_in(
    models, tmp_path, media, num_frames
) -> None:
    path = media.encode(tmp_path / "day.mp4", media.moving_frames(5 * num_frames - 2))
    scorer = load_scorer(models["frames"])
    assert isinstance(scorer, ClipScorer)
    scores = [step.scores for step in scorer.steps(path)]
    frames = _every_fifth(path, media)
    model = load_model(models["frames"]).eval()
    starts = list(range(0, max(1, num_frames - LENGTH + 1), LENGTH // 2))
    said = 0
    if starts[-1] + LENGTH < num_frames:
        said = starts[-1] + LENGTH // 2
        starts.append(num_frames - LENGTH)
    totals, weights = np.zeros((num_frames, len(CLASSES))), np.zeros(num_frames)
    for start in starts:
        inside = [min(start + n, num_frames - 1) for n in range(LENGTH)]
        with torch.inference_mode():
            logits = model.forward_frames(model.normalize(frames[inside][None]))[0].numpy()
        for place in range(min(LENGTH, num_frames)):
            weight = min(place + 1, LENGTH - place)
            is_said = start + place < said and start == starts[-1]
            if is_said:  # half a clip after each one its frames are certain
                continue
            totals[start + place] += weight * logits[place]
            weights[start + place] += weight
    expected = _softmax(torch.from_numpy(totals / weights[:, None]))
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_other_models_score_the_windows_of_a_timeline(models, video) -> None:
    scorer = load_scorer(models["windows"], ScoreTimes(window="1s", stride="0.5s"))
    assert isinstance(scorer, WindowScorer)
    recognizer = Recognizer(models["windows"])
    windows = predict_windows(recognizer, video, WindowPlan.parse("1s", "0.5s"), top_k=3)
    for step, window in zip(scorer.steps(video), windows, strict=True):
        scores = {each.label: each.score for each in window.predictions}
        assert (step.start, step.end) == (window.start, window.end)
        np.testing.assert_allclose(step.scores, [scores[name] for name in CLASSES], atol=1e-6)


def test_windows_are_as_long_as_a_clip_of_dense_sampling_by_default(models, video) -> None:
    first, second, *_ = load_scorer(models["windows"]).steps(video)
    assert first.end - first.start == pytest.approx(LENGTH * 5 / 25)
    assert second.start - first.start == pytest.approx(LENGTH * 5 / 25 / 4)


@pytest.mark.parametrize(
    ("kind", "times", "message"),
    [
        ("windows", {"fps": 5}, "--fps is 5, and the model scores windows: give --window"),
        ("causal", {"window": "1s"}, "a causal model scores each frame: give --fps"),
        ("frames", {"stride": "1s"}, "a model of --frame-labels scores each frame: give --fps"),
        ("segments", {}, "give --window, or run mixtconv tune-events"),
    ],
)
def test_times_that_do_not_fit_a_model_are_refused(models, video, kind, times, message) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        list(load_scorer(models[kind], ScoreTimes(**times)).steps(video))


def test_pictures_without_times_are_refused(models, tmp_path) -> None:
    with pytest.raises(ValueError, match="have no times"):
        list(load_scorer(models["causal"]).steps(tmp_path))
