"""Heads on feature maps: the trunk's features, what a head computes, files, streams, refusals."""

from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F

from mixtconv.models import (
    StreamingClassifier,
    StreamState,
    VideoClassifier,
    create_model,
    load_model,
    make_causal,
    optimize_for_inference,
    save_model,
)
from mixtconv.models.feature_head import Trunk
from mixtconv.models.wrappers.temporal_wrapper import temporal_wrappers

HEADS = [
    ("tsn_test_resnet", {"feature_head": "average"}),
    ("tsn_test_resnet", {"feature_head": "attention", "feature_stage": 3}),
    ("tsn_test_resnet", {"feature_head": "attention", "feature_stage": 2, "less_mean": True}),
    ("mstnet_test_resnet", {"feature_head": "blocks", "feature_stage": 2}),
    ("mstnet_mobilenetv2_100", {"feature_head": "blocks", "feature_stage": 3, "less_mean": True}),
    (
        "conv1d_vit_tiny_patch16_224",
        {"feature_head": "blocks", "feature_stage": 2, "less_mean": True},
    ),
    ("tsm_test_convnext", {"feature_head": "blocks"}),
]


def _model(name: str, **settings: object) -> VideoClassifier:
    """A model none of whose layers is at a value that hides it."""
    torch.manual_seed(0)
    model = create_model(name, 3, num_frames=4, image_size=32, **settings).eval()
    with torch.no_grad():
        for parameter in model.backbone.get_submodule("head").parameters():
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5)
    return model


def _clips(num_frames: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, num_frames, 3, 32, 32, generator=generator)


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv2_100", "vit_tiny_patch16_224"])
def test_a_trunk_gives_the_features_of_the_stage_and_has_no_layers_behind_it(name: str) -> None:
    size = {"img_size": 32} if name.startswith("vit") else {}
    torch.manual_seed(0)
    whole = timm.create_model(name, **size).eval()
    torch.manual_seed(0)
    trunk = Trunk(timm.create_model(name, **size).eval(), 1)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        _, maps = whole.forward_intermediates(images)
        torch.testing.assert_close(trunk(images), maps[1])
    kept = sum(each.numel() for each in trunk.parameters())
    assert kept < 0.5 * sum(each.numel() for each in whole.parameters())


@pytest.mark.parametrize(("name", "settings"), HEADS)
def test_a_recognizer_with_a_head_is_like_others(
    name: str, settings: dict[str, object], tmp_path: Path
) -> None:
    """Its order of frames matters where it says so; saved, loaded and optimised it is the same."""
    model, clips = _model(name, **settings), _clips()
    with torch.no_grad():
        logits = model(clips)
        assert logits.shape == (2, 3)
        torch.testing.assert_close(model.forward_frames(clips).mean(1), logits)
        torch.testing.assert_close(model(clips[1:])[0], logits[1], atol=1e-5, rtol=1e-4)
        changes = not torch.allclose(model(clips.flip(1)), logits, rtol=1e-4, atol=1e-7)
        assert changes == model.spec.is_temporal
        torch.testing.assert_close(
            optimize_for_inference(model)(clips), logits, atol=1e-4, rtol=1e-3
        )
        save_model(model, tmp_path / "model.safetensors")
        loaded = load_model(tmp_path / "model.safetensors")
        assert torch.equal(loaded(clips), logits) and loaded.spec == model.spec
    operations = [type(wrapper.temporal).__name__ for wrapper in temporal_wrappers(model)]
    assert len(operations) == bool(settings.get("less_mean")) + 2 * (
        settings["feature_head"] == "blocks"
    )
    assert not list(temporal_wrappers(model.backbone.get_submodule("trunk")))


def test_the_average_is_a_linear_probe() -> None:
    model, clips = _model("tsn_test_resnet", feature_head="average", feature_stage=1), _clips()
    with torch.no_grad():
        maps = model.backbone.get_submodule("trunk")(clips.flatten(0, 1))
        pooled = maps.mean(dim=(2, 3)).unflatten(0, (2, 4)).mean(dim=1)
        expected = pooled @ model.head.weight.T + model.head.bias
        torch.testing.assert_close(model(clips), expected)


def test_attention_is_a_softmax_over_all_places_of_all_frames() -> None:
    """Place by place and head by head, against the fused form."""
    model, clips = _model("tsn_test_resnet", feature_head="attention", feature_stage=2), _clips()
    pool = model.backbone.get_submodule("head")
    with torch.no_grad():
        maps = pool.reduce(model.backbone.get_submodule("trunk")(clips.flatten(0, 1)))
        for clip in range(2):
            tokens = []
            for t in range(4):
                for place in range(maps.shape[2] * maps.shape[3]):
                    row, column = divmod(place, maps.shape[3])
                    token = maps[4 * clip + t, :, row, column]
                    token = token + pool.time[0, t, 0] + pool.place[0, 0, place]
                    token = F.layer_norm(token, (128,), pool.norm.weight, pool.norm.bias)
                    tokens.append(pool.key_value(token))
            key, value = torch.stack(tokens).chunk(2, dim=1)  # (N, 128)
            parts = []
            for part in range(4):
                rows = slice(32 * part, 32 * part + 32)
                weights = (key[:, rows] @ pool.query[0, 0, rows] / 32**0.5).softmax(0)
                parts.append(weights @ value[:, rows])
            expected = model.head(pool.out(torch.cat(parts)))
            torch.testing.assert_close(model(clips)[clip], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("less_mean", [False, True])
def test_a_causal_head_streams(less_mean: bool) -> None:
    centred = _model(
        "mstnet_test_resnet", feature_head="blocks", feature_stage=2, less_mean=less_mean
    )
    with pytest.raises(ValueError, match="is centred"):
        StreamingClassifier(centred)
    for model in (
        _model("mstnet_test_resnet", feature_head="blocks", less_mean=less_mean, causal=True),
        make_causal(centred),
    ):
        streaming, state, clips = StreamingClassifier(model), StreamState(2), _clips()
        frames = [streaming(clips[:, t], state) for t in range(4)]
        with torch.no_grad():
            expected = model.forward_frames(clips)
        torch.testing.assert_close(torch.stack(frames, dim=1), expected, atol=1e-4, rtol=1e-3)
    with pytest.raises(ValueError, match="all frames of a clip at once"):
        StreamingClassifier(_model("tsn_test_resnet", feature_head="attention"))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "mstnet_test_resnet",
            {"feature_head": "average"},
            "give tsn_test_resnet, or feature_head 'blocks'",
        ),
        (
            "tsn_test_resnet",
            {"feature_head": "average", "less_mean": True},
            "is zero: give less_mean",
        ),
        ("tsn_test_resnet", {"feature_head": "attention", "causal": True}, "cannot be causal"),
        ("tsn_test_resnet", {"feature_head": "linear"}, "allowed are 'average', 'attention' and"),
        ("tsn_test_resnet", {"less_mean": True}, "give feature_head 'average'"),
        (
            "tsn_test_resnet",
            {"feature_head": "blocks", "feature_stage": 9},
            "has the stages 0 to 4",
        ),
        ("mstnet_test_resnet", {"feature_head": "blocks", "stages": (1,)}, "stages is"),
        (
            "trn_test_resnet",
            {"feature_head": "blocks"},
            "layers of its own there: leave feature_head out",
        ),
        (
            "adapter_test_vit",
            {"feature_head": "average"},
            "layers of its own there: leave feature_head out",
        ),
        (
            "i3d_resnet50",
            {"feature_head": "blocks"},
            "layers of its own there: leave feature_head out",
        ),
        ("tsn_bninception", {"feature_head": "blocks"}, "does not give the feature maps"),
    ],
)
def test_what_means_nothing_is_refused(
    name: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        create_model(name, 3, num_frames=4, image_size=32, **settings)


def test_the_number_of_frames_is_fixed_where_weights_depend_on_it() -> None:
    for settings in ({"feature_head": "attention"}, {"feature_head": "blocks", "less_mean": True}):
        with pytest.raises(ValueError, match="takes no others"):
            _model("tsn_test_resnet", **settings).set_num_frames(8)
    _model("tsn_test_resnet", feature_head="blocks").set_num_frames(8)
    causal = _model("mstnet_test_resnet", feature_head="blocks", less_mean=True, causal=True)
    clips = _clips(9)
    with torch.no_grad():
        before = causal.forward_frames(clips[:, :4])
        causal.set_num_frames(9)
        torch.testing.assert_close(causal.forward_frames(clips)[:, :4], before)
