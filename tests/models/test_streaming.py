"""A recognizer on streams says at every frame what it says of a clip of all frames."""

import copy

import pytest
import torch
from torch import Tensor, nn

from mixtconv.models import create_model, optimize_for_inference
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.streaming import StreamingClassifier, StreamState
from mixtconv.ops import cpu_stream_filter
from mixtconv.ops.stream_filter import StreamFilter

NAMES = [
    "mstnet_resnet18",
    "mstnet_resnet50",
    "mstnet_mobilenetv2_100",
    "mstnet_repvgg_a0",
    "ks3_resnet18",
    "ks357dilated_resnet18",
    "conv1d_resnet18",
    "tsm_resnet18",
    "tsn_resnet18",
]


def _trained(name: str, **options: object) -> VideoClassifier:
    """A causal recognizer whose taps have moved from where they start."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=7, num_frames=4, causal=True, **options).eval()
    for module in model.modules():
        for weight in getattr(module, "weights", []):
            nn.init.normal_(weight, mean=1 / weight.shape[1], std=0.2)
    return model


def _in_one_clip(model: VideoClassifier, video: Tensor) -> Tensor:
    """Logits of every frame (B, T, K) of clips of any length."""
    model.set_num_frames(video.shape[1])
    with torch.inference_mode():
        return model.forward_frames(video)


def _frame_by_frame(streaming: StreamingClassifier, video: Tensor) -> Tensor:
    state = StreamState(len(video))
    return torch.stack([streaming(frame, state) for frame in video.unbind(1)], dim=1)


def _difference(one: Tensor, other: Tensor) -> float:
    return ((one - other).abs().max() / other.abs().max()).item()


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_has_the_logits_of_the_clip(name: str) -> None:
    model, video = _trained(name, image_size=32), torch.randn(1, 14, 3, 32, 32)
    expected = _in_one_clip(model, video)
    assert expected.std(dim=1).max() > 1e-3, "the frames do not differ"
    for optimize in (True, False):
        got = _frame_by_frame(StreamingClassifier(model, optimize=optimize), video)
        assert _difference(got, expected) < 1e-5


def test_a_thousand_frames_drift_nowhere_and_need_no_more_memory() -> None:
    model = _trained("mstnet_test_resnet", image_size=16)
    video = torch.randn(1, 1000, 3, 16, 16)
    streaming, state = StreamingClassifier(model), StreamState(1)
    expected, sizes = _in_one_clip(model, video), set()
    for t in range(1000):
        logits = streaming(video[:, t], state)
        assert _difference(logits, expected[:, t]) < 1e-5
        sizes.add(state.num_bytes)
    assert len(sizes) == 1


def test_streams_start_and_end_by_themselves_in_one_pool() -> None:
    model = _trained("mstnet_test_resnet", image_size=32)
    videos = torch.randn(3, 8, 3, 32, 32)
    expected = _in_one_clip(model, videos)
    streaming, state = StreamingClassifier(model), StreamState(2)
    # place 0: video 0 and then, from its frame 5 on, video 2; place 1: video 1, three frames late
    for t in range(8):
        if t == 5:
            state.forget(0)
        places = [1, 0] if t >= 3 else [0]
        shown = {0: (0, t) if t < 5 else (2, t - 5), 1: (1, t - 3)}
        frames = torch.stack([videos[shown[place]] for place in places])
        logits = streaming(frames, state, places)
        for place, own in zip(places, logits, strict=True):
            assert _difference(own, expected[shown[place]]) < 1e-5


def test_a_recognizer_optimised_already_serves_as_well() -> None:
    model = _trained("mstnet_test_resnet", image_size=32)
    video = torch.randn(1, 6, 3, 32, 32)
    fast = optimize_for_inference(model)
    got = _frame_by_frame(StreamingClassifier(fast), video)
    assert _difference(got, _in_one_clip(model, video)) < 1e-5
    assert _difference(_in_one_clip(fast, video), got) < 1e-5, "the recognizer was changed"


@pytest.mark.parametrize("name", ["mstnet_test_resnet", "tsm_test_resnet", "conv1d_test_resnet"])
def test_a_centred_recognizer_is_refused_with_what_to_do(name: str) -> None:
    model = create_model(name, num_classes=2)
    for each in (model, optimize_for_inference(model)):
        with pytest.raises(ValueError, match=r"centred.*--causal.*mixtconv convert"):
            StreamingClassifier(each)


@pytest.mark.skipif(cpu_stream_filter.most_lags() == 0, reason="the loop is not there")
def test_from_the_second_frame_on_the_call_is_only_repeated(monkeypatch) -> None:
    model = _trained("mstnet_resnet18", image_size=32)
    streaming, video = StreamingClassifier(model), torch.randn(2, 6, 3, 32, 32)
    expected, state, whole = _in_one_clip(model, video), StreamState(2), []
    call = StreamFilter.__call__
    monkeypatch.setattr(
        StreamFilter,
        "__call__",
        lambda self, *args, **named: whole.append(1) or call(self, *args, **named),
    )
    counts = []
    for t in range(4):
        assert _difference(streaming(video[:, t], state), expected[:, t]) < 1e-5
        counts.append(len(whole))
    assert counts == [8, 8, 8, 8]  # 8 blocks, each once
    for t in (4, 5):  # one stream of the two
        logits = streaming(video[1:, t], state, places=[1])
        assert _difference(logits, expected[1:, t]) < 1e-5
    assert len(whole) == 16


def test_two_recognizers_may_take_turns_with_one_state() -> None:
    first, second = _trained("mstnet_test_resnet"), _trained("mstnet_test_resnet")
    for weight in second.backbone.parameters():
        nn.init.normal_(weight, std=0.1)
    video = torch.randn(1, 3, 3, 32, 32)
    for optimize in (True, False):
        networks = [StreamingClassifier(each, optimize=optimize) for each in (first, second)]
        alone = [_frame_by_frame(network, video[:, :1])[:, 0] for network in networks]
        state = StreamState(1)
        for number in (0, 1, 0, 1):
            state.forget(0)
            assert _difference(networks[number](video[:, 0], state), alone[number]) < 1e-5


def test_a_streaming_network_can_be_copied_after_it_was_used() -> None:
    streaming, video = (
        StreamingClassifier(_trained("mstnet_test_resnet")),
        torch.randn(1, 4, 3, 32, 32),
    )
    expected, state = _frame_by_frame(streaming, video), StreamState(1)
    for t in range(2):
        streaming(video[:, t], state)
    copied = copy.deepcopy(state)
    copy.deepcopy(streaming.model)
    streaming(torch.randn(1, 3, 32, 32), state)  # the original goes elsewhere
    for t in (2, 3):
        assert _difference(streaming(video[:, t], copied), expected[:, t]) < 1e-5


def test_frames_that_do_not_fit_are_refused() -> None:
    streaming = StreamingClassifier(_trained("mstnet_test_resnet", image_size=32))
    state, frame = StreamState(2), torch.zeros(1, 3, 32, 32)
    pair = frame.repeat(2, 1, 1, 1)
    for frames, places in ((frame, [2]), (frame, None), (pair, [1, 1]), (frame[:0], [])):
        with pytest.raises(ValueError, match="which are 0 to 1"):
            streaming(frames, state, places)
    streaming(frame, state, [0])
    with pytest.raises(ValueError, match="one of its size"):
        streaming(torch.zeros(1, 3, 64, 64), state, [0])
    with pytest.raises(ValueError, match="0 streams"):
        StreamState(0)
