"""What a recognizer shares with timm's models: features, maps of stages, a new last layer."""

import pytest
import timm
import torch

from mixtconv.inference.predicting import ranked
from mixtconv.models import (
    ModelSpec,
    StreamingClassifier,
    StreamState,
    create_model,
    load_model,
    optimize_for_inference,
    save_model,
)

SMALL = {"num_frames": 4, "image_size": 32}


def clips(num_frames=4, size=32, channels=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, num_frames, channels, size, size, generator=generator)


@torch.no_grad()
def test_without_classes_it_gives_the_average_of_the_features():
    with_classes = create_model("mstnet_test_resnet", 3, **SMALL).eval()
    model = create_model("mstnet_test_resnet", 0, **SMALL).eval()
    model.load_state_dict(with_classes.state_dict(), strict=False)
    features = with_classes.forward_features(clips())  # (2, 4, D)
    assert model(clips()).shape == (2, model.num_features) == (2, features.shape[2])
    torch.testing.assert_close(model(clips()), features.mean(1))
    torch.testing.assert_close(with_classes.forward_head(features), with_classes(clips()))
    torch.testing.assert_close(
        with_classes.forward_head(features, pre_logits=True), features.mean(1)
    )
    torch.testing.assert_close(optimize_for_inference(model)(clips()), model(clips()))


@pytest.mark.parametrize("name", ["i3d_resnet50", "i3d_nl_gcn_resnet50", "eco_8"])
@torch.no_grad()
def test_systems_give_the_feature_of_a_clip(name):
    with torch.device("meta"):
        model = create_model(name, 0, image_size=64).eval()
        given = model(torch.zeros(2, model.num_frames, 3, 64, 64))
    assert given.shape == (2, model.num_features)


@torch.no_grad()
def test_an_ensemble_gives_the_features_of_all_members():
    with torch.device("meta"):
        model = create_model("eco_en_lite_92", 0, image_size=64).eval()
        assert model(torch.zeros(1, 92, 3, 64, 64)).shape == (1, 4 * 512)
        model.reset_classifier(5)
        assert model(torch.zeros(1, 92, 3, 64, 64)).shape == (1, 5)
    assert [layer.out_features for layer in model.get_classifier()] == [5] * 4
    assert model.num_features == 4 * 512
    with pytest.raises(ValueError, match="each with a last layer of its own"):
        model.forward_head(torch.zeros(1, 1, 4 * 512))


@torch.no_grad()
def test_a_new_last_layer_is_for_the_new_classes():
    model = create_model("mstnet_test_resnet", 3, **SMALL).eval()
    model.notes = {"top1": 0.5}
    features = model.forward_features(clips())
    model.reset_classifier(classes=["wave", "jump"])
    assert model.spec.classes == ("wave", "jump")
    assert model.num_classes == model.get_classifier().out_features == 2
    assert model.get_classifier() is model.head
    assert not model.head.training
    assert model.notes == {}  # the score was that of other classes
    assert model(clips()).shape == (2, 2)
    assert model.head.weight.std().item() < 0.002
    torch.testing.assert_close(model.forward_features(clips()), features)
    model.double().reset_classifier(7)
    assert model.head.weight.dtype == torch.float64
    model.reset_classifier(0)
    assert model(clips().double()).shape == (2, model.num_features)
    with pytest.raises(ValueError, match="named twice: a"):
        model.reset_classifier(classes=["a", "a"])
    with pytest.raises(ValueError, match="give the number of classes"):
        model.reset_classifier()


@torch.no_grad()
def test_a_reset_model_is_saved_with_its_new_classes(tmp_path):
    model = create_model("mstnet_test_resnet", 3, **SMALL).eval()
    model.reset_classifier(classes=["wave", "jump"])
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.spec.classes == ("wave", "jump")
    torch.testing.assert_close(loaded(clips()), model(clips()))


@torch.no_grad()
def test_relations_get_a_new_head_and_have_no_features():
    model = create_model("trn_test_resnet", 3, **SMALL).eval()
    model.reset_classifier(5)
    assert model(clips()).shape == (2, 5)
    features = model.forward_features(clips())
    torch.testing.assert_close(model.forward_head(features), model(clips()))
    for call in (lambda: model.reset_classifier(0), lambda: create_model("trn_test_resnet", 0)):
        with pytest.raises(ValueError, match=r"has no features of a clip .* the family tsn"):
            call()


def test_files_and_rankings_need_classes(tmp_path):
    model = create_model("tsn_test_resnet", 0, **SMALL)
    with pytest.raises(ValueError, match=r"0 classes and gives features; .*reset_classifier"):
        save_model(model, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="0 classes and gives features"):
        ModelSpec.from_dict({"name": "tsn_test_resnet", "classes": []})
    with pytest.raises(ValueError, match="0 classes and gives features"):
        ranked([0.5, 0.1], (), top_k=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": -1}, "num_classes is -1; give 1 or more, or 0 for features"),
        ({"classes": []}, "classes is empty; give at least 1, or num_classes=0 for features"),
        ({"classes": ["a"], "num_classes": 1}, "give the number of classes"),
    ],
)
def test_classes_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_model("tsn_test_resnet", **arguments)


@torch.no_grad()
def test_a_stream_of_features():
    model = create_model("mstnet_test_resnet", 0, causal=True, **SMALL).eval()
    streaming = StreamingClassifier(model)
    state, video = StreamState(num_streams=2), clips()
    expected = model.forward_features(video)  # (2, 4, D)
    for t in range(4):
        torch.testing.assert_close(
            streaming(video[:, t], state), expected[:, t], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "lcnet_035"])
@torch.no_grad()
def test_maps_of_the_stages_are_those_of_timm(name):
    """Of the 2D network, and of the operation between: the last map is that of the features."""
    flat = timm.create_model(name, num_classes=0).eval()
    model = create_model(f"tsn_{name}", 3, **SMALL).eval()
    model.backbone.load_state_dict(flat.state_dict())
    maps = model.forward_intermediates(clips())
    expected = [flat.forward_intermediates(clips()[:, t])[1] for t in range(4)]
    for stage, of_stage in enumerate(maps):
        stacked = torch.stack([frame[stage] for frame in expected], dim=1)
        torch.testing.assert_close(of_stage, stacked)
    (last,) = model.forward_intermediates(clips(), indices=1)
    assert torch.equal(last, maps[-1])
    first, third = model.forward_intermediates(clips(), indices=[0, 2])
    assert torch.equal(first, maps[0]) and torch.equal(third, maps[2])


@torch.no_grad()
def test_maps_see_the_temporal_operation():
    model = create_model("mstnet_test_resnet", 3, **SMALL).eval()
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.weight.uniform_(0.5, 1.5)
    *_, last = model.forward_intermediates(clips())
    *_, reverse = model.forward_intermediates(clips().flip(1))
    assert not torch.allclose(last, reverse.flip(1), rtol=1e-3)
    pooled = last.mean(dim=(3, 4))  # (2, 4, C)
    torch.testing.assert_close(pooled, model.forward_features(clips()), rtol=1e-4, atol=1e-5)


def test_maps_that_cannot_be_given_are_refused():
    with torch.device("meta"):
        model = create_model("eco_8", 2, image_size=32)
        with pytest.raises(ValueError, match="eco_8 does not give the feature maps"):
            model.forward_intermediates(torch.zeros(1, 8, 3, 32, 32))
        model = create_model("tsn_test_resnet", 2, **SMALL)
        with pytest.raises(ValueError, match=r"indices are \[9\], of tsn_test_resnet"):
            model.forward_intermediates(torch.zeros(1, 4, 3, 32, 32), indices=[9])


def test_lists_are_settings_as_tuples_are():
    model = create_model("mstnet_test_resnet", 5, stages=[1], mean=[0.1, 0.2, 0.3], **SMALL)
    assert (model.spec.stages, model.spec.mean) == ((1,), (0.1, 0.2, 0.3))
    with pytest.raises(ValueError, match=r"stages is .* allowed are lists of whole numbers"):
        create_model("mstnet_test_resnet", 5, stages=[0.5], **SMALL)
