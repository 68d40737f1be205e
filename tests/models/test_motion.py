"""Modality motion: its medians beside NumPy's, and streams beside the clips of a causal model."""

from itertools import product
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from mixtconv.data.protocol import Protocol
from mixtconv.evaluation.scoring import view_logits
from mixtconv.models import create_model
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.motion import median_picture, running_medians, sort_pictures
from mixtconv.models.spec import ModelSpec
from mixtconv.models.streaming import StreamingClassifier, StreamState

MEAN, STD = (0.4, 0.5, 0.6), (0.1, 0.2, 0.5)


def _model(name: str = "mstnet_test_resnet", **options: object) -> VideoClassifier:
    torch.manual_seed(0)
    settings = {"num_frames": 4, "image_size": 32, "modality": "motion", "mean": MEAN, "std": STD}
    model = create_model(name, 3, **{**settings, **options}).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


def _frames(*shape: int, seed: int = 0) -> Tensor:
    """Random uint8 frames, few of whose values differ, so that there are ties."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 7, shape, dtype=torch.uint8, generator=random) * 40


def _less_running_median(video: Tensor, length: int) -> Tensor:
    """Frames (B, T, 3, H, W) of 0 to 255 as the definition has them for streams, by NumPy."""
    values = video.numpy().astype(np.float64) / 255
    std = np.array(STD).reshape(3, 1, 1)
    less = [
        (values[:, t] - np.median(values[:, max(0, t - length + 1) : t + 1], axis=1)) / std
        for t in range(values.shape[1])
    ]
    return torch.from_numpy(np.stack(less, axis=1)).float()


@pytest.mark.parametrize("count", range(1, 12))
def test_the_network_sorts(count: int) -> None:
    """What sorts all sequences of zeros and ones sorts all sequences (Knuth 5.3.4, theorem Z)."""
    columns = np.array(list(product([0, 1], repeat=count))).T  # (count, 2 ** count)
    np.testing.assert_array_equal(sort_pictures(columns, np), np.sort(columns, axis=0))


@pytest.mark.parametrize("library", [np, torch], ids=["numpy", "torch"])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 13, 16, 31, 32, 92])
def test_medians_are_those_of_numpy(count: int, library: ModuleType) -> None:
    pictures = np.random.default_rng(count).integers(0, 9, (count, 3, 5, 6)).astype(np.float32)
    given = list(torch.from_numpy(pictures) if library is torch else pictures)
    np.testing.assert_array_equal(median_picture(given, library), np.median(pictures, axis=0))
    for t, median in enumerate(running_medians(given, 5, library)):
        expected = np.median(pictures[max(0, t - 4) : t + 1], axis=0)
        np.testing.assert_array_equal(median, expected)


@pytest.mark.parametrize("num_frames", [2, 5, 8])
@pytest.mark.parametrize("channel_order", ["rgb", "bgr"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_clips_are_less_their_median_over_the_deviation(
    num_frames: int, channel_order: str, dtype: torch.dtype
) -> None:
    model = _model(num_frames=num_frames, channel_order=channel_order)
    views = _frames(2, 3, num_frames, 3, 6, 7)  # two videos of three views
    values = views.numpy() / 255
    median = np.median(values, axis=2, keepdims=True)
    expected = (values - median) / np.array(STD).reshape(3, 1, 1)
    if channel_order == "bgr":
        expected = expected[..., ::-1, :, :]
    got = model.normalize(views.to(dtype))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert got.dtype == torch.float32


def test_what_stands_still_is_gone() -> None:
    """Behind a spot that is at each place in less than half of the frames."""
    video = _frames(1, 1, 3, 32, 32).expand(-1, 8, -1, -1, -1).clone()
    for t in range(8):
        video[:, t, :, 4 * t : 4 * t + 4] = 255
    moving = _model(num_frames=8).normalize(video)[0].abs().sum(dim=1) > 0  # (T, H, W)
    for t in range(8):
        assert not moving[t, : 4 * t].any() and not moving[t, 4 * t + 4 :].any()
        assert moving[t].any()


@pytest.mark.parametrize("length", [3, 4, 11])
def test_clips_of_a_causal_model_are_less_the_median_so_far(length: int) -> None:
    model, video = _model(causal=True), _frames(2, length, 3, 6, 7)
    expected = _less_running_median(video, length=4)
    torch.testing.assert_close(model.normalize(video), expected, atol=1e-5, rtol=1e-5)


def _stream(streaming: StreamingClassifier, state: StreamState, frames: Tensor, places) -> Tensor:
    return streaming(streaming.normalize(frames, state, places), state, places)


@pytest.mark.parametrize("name", ["mstnet_test_resnet", "tsm_test_resnet", "tsn_test_resnet"])
def test_a_stream_is_the_clip_of_a_causal_model(name: str) -> None:
    model, video = _model(name, causal=True), _frames(2, 4, 3, 32, 32)
    with torch.inference_mode():
        batch = model.forward_frames(model.normalize(video))  # (B, T, K)
    assert batch.std(dim=1).max() > 1e-2, "the frames do not differ"
    streaming, state = StreamingClassifier(model), StreamState(2)
    for t in range(4):
        logits = _stream(streaming, state, video[:, t], None)
        torch.testing.assert_close(logits, batch[:, t], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "causal"), [("mstnet_test_resnet", True), ("tsn_test_resnet", False)]
)
def test_streams_of_one_pool_have_medians_of_their_own_last_frames(name: str, causal: bool) -> None:
    """Also those of a model without temporal operations that was trained on whole clips."""
    model, videos = _model(name, causal=causal), _frames(3, 9, 3, 32, 32)
    long = _model(name, causal=causal, num_frames=9)
    with torch.inference_mode():
        expected = long.forward_frames(_less_running_median(videos, length=4))
    streaming, state = StreamingClassifier(model), StreamState(2)
    # place 0: video 0 and then, from its frame 5 on, video 2; place 1: video 1, three frames late
    sizes = set()
    for t in range(12):
        if t == 5:
            state.forget(0)
        shown = {0: (0, t) if t < 5 else (2, t - 5), 1: (1, t - 3)}
        places = [place for place in (1, 0) if 0 <= shown[place][1] < 9]
        frames = torch.stack([videos[shown[place]] for place in places])
        logits = _stream(streaming, state, frames, places)
        for place, own in zip(places, logits, strict=True):
            torch.testing.assert_close(own, expected[shown[place]], atol=1e-4, rtol=1e-4)
        sizes.add(state.num_bytes)
    assert max(sizes) == state.num_bytes, "memory grew and was freed again"
    assert state.num_bytes - 2 * 4 * 3 * 32 * 32 * 4 == _bytes_without_pictures(state)


def _bytes_without_pictures(state: StreamState) -> int:
    rings = [ring for past in state.past.values() for ring in past.rings if ring is not None]
    return sum(ring.nbytes for ring in rings)


def test_frames_without_their_clip_are_refused() -> None:
    model, causal = _model(), _model(causal=True)
    for each, shape in ((model, (2, 3, 32, 32)), (causal, (3, 32, 32)), (causal, (4, 3, 32, 32))):
        with pytest.raises(ValueError, match=r"got shape .*give whole clips \(B, T, C, H, W\) of"):
            each.normalize(_frames(*shape))
    with pytest.raises(ValueError, match="got clips of 1 frame; modality motion takes the median"):
        model.normalize(_frames(2, 1, 3, 32, 32))
    with pytest.raises(ValueError, match="got clips of 7 channels, of modality motion"):
        StreamingClassifier(causal).normalize(_frames(1, 7, 32, 32), StreamState(1))
    with pytest.raises(ValueError, match=r"frames of streams \(5,\)"):
        StreamingClassifier(causal).normalize(_frames(1, 3, 32, 32), StreamState(1), [5])


def test_single_snippets_have_no_median() -> None:
    spec = ModelSpec("tsn_resnet18", ("a", "b"), modality="motion")
    with pytest.raises(ValueError, match="25x10 scores single snippets, and modality motion"):
        Protocol(25, 10).check_model(spec)
    Protocol(10, 3).check_model(spec)
    with pytest.raises(ValueError, match="num_frames is 1; give at least 2"):
        ModelSpec("tsn_resnet18", ("a", "b"), modality="motion", num_frames=1)


def test_every_view_has_its_own_median() -> None:
    model, views = _model(), _frames(2, 3, 4, 3, 32, 32)
    values = views.numpy() / 255
    less = (values - np.median(values, axis=2, keepdims=True)) / np.array(STD).reshape(3, 1, 1)
    with torch.inference_mode():
        expected = torch.stack([model(torch.from_numpy(each).float()) for each in less]).mean(dim=1)
        got = view_logits(model, views, Protocol(3, 1), batch_size=4)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
