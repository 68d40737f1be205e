"""Recognition on streams: numbers of prediction, labels averaged over the last frames, places."""

from pathlib import Path

import numpy as np
import pytest
import torch

import mixtconv
from mixtconv.inference.streams import recognize_stream, sampling_note
from mixtconv.inference.torch_recognizers import StreamingRecognizer
from mixtconv.models import create_model, save_model
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.spec import ModelSpec
from mixtconv.video.sources import open_source


@pytest.fixture(scope="module")
def model() -> VideoClassifier:
    torch.manual_seed(0)
    model = create_model(
        "mstnet_test_resnet", classes=["a", "b", "c"], num_frames=4, image_size=32, causal=True
    ).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


def test_four_frames_give_what_prediction_gives_of_them(
    model: VideoClassifier, tmp_path: Path, media
) -> None:
    save_model(model, tmp_path / "model.safetensors")
    path = media.encode(tmp_path / "clip.mkv", media.moving_frames(4))
    expected = mixtconv.Recognizer(tmp_path / "model.safetensors", device="cpu").predict(path)
    recognizer = mixtconv.StreamingRecognizer(tmp_path / "model.safetensors", device="cpu")
    with open_source(str(path)) as source:
        *_, last = recognize_stream(recognizer, source)
    assert (last.number, last.num_dropped) == (3, 0)
    assert last.seconds == pytest.approx(3 / 25)
    for got, wanted in zip(last.labels.predictions, expected, strict=True):
        assert got.label == wanted.label
        assert got.score == pytest.approx(wanted.score, abs=1e-5)


def test_frames_less_their_median_give_what_prediction_gives_of_them(tmp_path: Path, media) -> None:
    torch.manual_seed(0)
    options = {"num_frames": 4, "image_size": 32, "causal": True, "modality": "motion"}
    model = create_model("mstnet_test_resnet", classes=["a", "b", "c"], **options).eval()
    torch.nn.init.normal_(model.head.weight)
    path = media.encode(tmp_path / "clip.mkv", media.moving_frames(4))
    expected = mixtconv.Recognizer(model, device="cpu").predict(path)
    assert expected[0].score > expected[2].score + 0.01
    with open_source(str(path)) as source:
        recognizer = mixtconv.StreamingRecognizer(model, device="cpu")
        *_, last = recognize_stream(recognizer, source)
    scores = {each.label: each.score for each in last.labels.predictions}
    assert scores == pytest.approx({each.label: each.score for each in expected}, abs=1e-5)


def test_the_label_is_that_of_the_last_frames_average(model: VideoClassifier, media) -> None:
    recognizer = StreamingRecognizer(model, device="cpu")
    with recognizer.start() as stream:
        seen = [stream.push(frame, top_k=3) for frame in media.moving_frames(9)]
    logits = torch.stack([each.logits for each in seen])
    for t, each in enumerate(seen):
        average = logits[max(0, t - 3) : t + 1].mean(dim=0).softmax(dim=0)
        scores = {item.label: item.score for item in each.predictions}
        assert [scores[name] for name in "abc"] == pytest.approx(average.tolist(), abs=1e-6)


def test_streams_of_any_size_share_one_model_and_begin_and_end_by_themselves(
    model: VideoClassifier, media
) -> None:
    sizes = [(64, 96), (80, 48), (64, 96)]
    videos = [media.moving_frames(6, height=h, width=w, seed=n) for n, (h, w) in enumerate(sizes)]
    alone = []
    for video in videos:
        with StreamingRecognizer(model, device="cpu").start() as stream:
            alone.append([stream.push(frame).logits for frame in video])
    recognizer = StreamingRecognizer(model, max_streams=2, device="cpu")
    first, second = recognizer.start(), recognizer.start()
    for t in range(4):
        both = recognizer.push({second: videos[1][t], first: videos[0][t]})
        torch.testing.assert_close(both[first].logits, alone[0][t], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(both[second].logits, alone[1][t], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="all 2 streams are in use"):
        recognizer.start()
    first.end()
    third = recognizer.start()  # in the place of the first
    for t in range(2):
        both = recognizer.push({third: videos[2][t], second: videos[1][4 + t]})
        torch.testing.assert_close(both[third].logits, alone[2][t], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(both[second].logits, alone[1][4 + t], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="was ended"):
        first.push(videos[0][4])
    first.end()  # once more does no harm: its place is another's now
    assert recognizer.push({}) == {}
    torch.testing.assert_close(third.push(videos[2][2]).logits, alone[2][2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "frame", [np.zeros((8, 8, 3)), np.zeros((3, 8, 8), np.uint8), np.zeros((8, 8), np.uint8)]
)
def test_what_is_no_frame_is_refused(model: VideoClassifier, frame: np.ndarray) -> None:
    with (
        StreamingRecognizer(model, device="cpu").start() as stream,
        pytest.raises(ValueError, match=r"frames are uint8 RGB of shape \(H, W, 3\)"),
    ):
        stream.push(frame)


def test_models_that_take_other_than_single_pictures_are_refused() -> None:
    model = create_model("tsn_test_resnet", num_classes=2, modality="rgbdiff")
    with pytest.raises(ValueError, match="rgbdiff"):
        StreamingRecognizer(model)


def test_a_rate_must_be_above_zero(model: VideoClassifier, tmp_path: Path, media) -> None:
    path = media.encode(tmp_path / "clip.mkv", media.moving_frames(4))
    with open_source(str(path)) as source, pytest.raises(ValueError, match="--fps is 0"):
        recognize_stream(StreamingRecognizer(model), source, frames_per_second=0.0)


def test_the_note_names_the_rate_of_training() -> None:
    spec = ModelSpec("mstnet_resnet18", ("a",), sampling="dense", frame_stride=4)
    assert "--fps 7.5" in sampling_note(spec, 30.0)
    assert "--fps 8 / (seconds" in sampling_note(ModelSpec("mstnet_resnet18", ("a",)), 30.0)
