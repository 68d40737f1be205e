"""The named recognizers: one contract for all families, names, costs of the published table."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import timm
import torch

from mixtconv.evaluation.complexity import abstract_model, complexity
from mixtconv.models import FAMILIES, ModelSpec, create_model, list_models, load_model, save_model
from mixtconv.models.backbone import create_backbone
from mixtconv.models.checkpoint_file import read_checkpoint
from mixtconv.models.device import resolve_device, resolve_precision
from mixtconv.models.systems.factory import can_be_made, split_name
from mixtconv.models.systems.registry import SYSTEMS
from mixtconv.models.wrappers.key_value import KeyValueOperation
from mixtconv.models.wrappers.temporal_wrapper import temporal_wrappers

BACKBONES = ["test_resnet", "test_convnext", "mobilenetv3_small_050"]
TRANSFORMERS = ["test_vit", "test_vit3"]
OF_TOKENS = ("mstvit", "adapter", "stadapter", "zeroi2v", "aim")
IN_BACKBONES = [
    (family, backbone)
    for family in FAMILIES
    for backbone in (*BACKBONES, *TRANSFORMERS)
    if can_be_made(family, backbone) and (backbone in BACKBONES or family in OF_TOKENS)
]


def _clips(*, num_clips: int = 2, num_frames: int = 4, size: int = 32) -> torch.Tensor:
    return torch.randn(
        num_clips, num_frames, 3, size, size, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize(("family", "backbone"), IN_BACKBONES)
def test_every_recognizer_meets_the_contract(family: str, backbone: str, tmp_path) -> None:
    """Shapes, consensus, gradients, a step of training, save and load, memory format."""
    name = f"{family}_{backbone}"
    model = create_model(name, classes=["a", "b", "c"], num_frames=4, image_size=32)
    assert name in list_models(f"{family}_*")
    assert bool(list(temporal_wrappers(model))) == (family not in ("tsn", "aim"))
    clips = _clips()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = torch.nn.functional.cross_entropy(model(clips), torch.tensor([0, 2]))
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    optimizer.step()

    model.eval()
    with torch.no_grad():
        logits = model(clips)
        assert logits.shape == (2, 3)
        assert model.forward_frames(clips).shape == (2, 4, 3)
        torch.testing.assert_close(model.forward_frames(clips).mean(1), logits)
        features = model.forward_features(clips)
        torch.testing.assert_close(model.head(features).mean(1), logits)
        torch.testing.assert_close(model(clips[1:])[0], logits[1], atol=1e-5, rtol=1e-4)

        save_model(model, tmp_path / "model.safetensors")
        loaded = load_model(tmp_path / "model.safetensors")
        assert torch.equal(loaded(clips), logits)
        assert loaded.spec == model.spec

        model.to(memory_format=torch.channels_last)
        torch.testing.assert_close(model(clips), logits, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        *list_models("*_test_resnet"),
        *(f"{family}_test_vit" for family in OF_TOKENS),
        *("i3d_resnet50", "eco_8"),
    ],
)
def test_a_spec_is_temporal_where_the_order_of_frames_changes_the_logits(name: str) -> None:
    """No norm is left at zero, where it would hide the branch with the operation."""
    torch.manual_seed(0)
    num_frames = 8 if name == "eco_8" else 4
    model = create_model(name, 3, num_frames=num_frames, image_size=32).eval()
    clips = torch.randn(2, num_frames, model.spec.snippet.in_channels, 32, 32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5)
            elif not parameter.any():  # where adapters begin
                parameter.normal_(std=0.05)
        logits, reverse = model(clips), model(clips.flip(1))
    changes = not torch.allclose(logits, reverse, rtol=1e-5, atol=0)
    assert model.spec.is_temporal == changes


@pytest.mark.parametrize("name", [*list_models("*_resnet18"), *SYSTEMS])
def test_a_spec_is_temporal_where_its_family_has_a_temporal_operation(name: str) -> None:
    family = name.removesuffix("_resnet18")
    is_more_than_an_operation = family not in FAMILIES  # TRN, non-local blocks, systems
    has_operation = is_more_than_an_operation or FAMILIES[family] is not None
    assert ModelSpec(name, ("a",)).is_temporal == has_operation


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mstnet_test_resnet", {}),
        ("tsn_test_resnet", {"modality": "rgbflow"}),
        ("trn_test_resnet", {}),
        ("mstnet_test_resnet", {"feature_head": "blocks"}),
        ("adapter_test_vit", {"image_size": 160, "average_before_norm": True}),
        ("eco_en_lite_92", {"image_size": 64, "num_frames": 92}),
    ],
)
def test_scaled_logits_are_the_logits_times_the_factor(name: str, settings: dict) -> None:
    """With 256 classes, as wide as the hidden layer of TRN."""
    torch.manual_seed(0)
    values = {"num_frames": 4, "image_size": 32} | settings
    model = create_model(name, 256, **values).eval()
    frames, size = model.num_frames, model.spec.image_size
    channels = model.spec.snippet.num_frames * model.spec.snippet.frame_channels
    clips = model.normalize(
        torch.randint(256, (1, frames, channels, size, size), dtype=torch.uint8)
    )
    with torch.inference_mode():
        before = model(clips)
        model.scale_logits(0.25)
        torch.testing.assert_close(model(clips), before * 0.25)


def test_normalize_is_what_the_backbone_was_trained_with() -> None:
    model = create_model("tsn_resnet18", 2)
    config = timm.get_pretrained_cfg("resnet18")
    frames = torch.randint(0, 256, (1, 1, 3, 2, 2), dtype=torch.uint8)
    got = model.normalize(frames)
    for channel in range(3):
        value = frames[0, 0, channel, 0, 0].item() / 255
        expected = (value - config.mean[channel]) / config.std[channel]
        assert got[0, 0, channel, 0, 0].item() == pytest.approx(expected, abs=1e-5)


def test_dropout_acts_in_training_alone() -> None:
    model = create_model("tsn_test_resnet", 3, num_frames=4, image_size=32, dropout=0.9)
    with torch.no_grad():
        model.head.weight.normal_()
        frames = model.eval().forward_frames(_clips())
        assert torch.equal(model.forward_frames(_clips()), frames)
        model.dropout.train()  # and nothing else, so that norms stay as they are
        dropped = model.forward_frames(_clips())
        assert not torch.allclose(dropped, frames)
        assert not torch.equal(model.forward_frames(_clips()), dropped)


def test_another_number_of_frames_is_refused_until_it_is_set() -> None:
    model = create_model("mstnet_test_resnet", 3, num_frames=4, image_size=32).eval()
    with pytest.raises(ValueError, match="clips of 8 frames, the model takes 4"):
        model(_clips(num_frames=8))
    model.set_num_frames(8)
    assert model(_clips(num_frames=8)).shape == (2, 3)
    assert model.num_frames == model.spec.num_frames == 8  # so that it is saved and sampled


# The table of the paper's ablation: ResNet-50, 8 frames of 224 x 224, parameters at 400 classes.
# More MACs than TSN in G; parameters in M from counting kernels: 13120 input channels in all.
ABLATION = {
    "tsn": (0.0, 24.3276),
    "tsm": (0.0, 24.3276),
    "ks3": (0.13, 24.3670),
    "ks5": (0.23, 24.3932),
    "ks7": (0.32, 24.4195),
    "ks13": (0.09, 24.3539),
    "ks135": (0.13, 24.3670),
    "ks1357": (0.18, 24.3801),
    "mstnet": (0.18, 24.3801),
    "ks357dilated": (0.13, 24.3670),
}


def test_costs_are_those_of_the_published_ablation() -> None:
    base = complexity(abstract_model("tsn_resnet50", 400))
    assert base.macs == pytest.approx(32.70e9, rel=1e-3)
    for family, (more_gmacs, mparams) in ABLATION.items():
        cost = complexity(abstract_model(f"{family}_resnet50", 400))
        assert (cost.macs - base.macs) / 1e9 == pytest.approx(more_gmacs, abs=0.006), family
        assert cost.params / 1e6 == pytest.approx(mparams, abs=1e-4), family


def test_complexity_leaves_the_model_as_it_was() -> None:
    model = create_model("mstnet_test_resnet", 3, num_frames=4, image_size=32)
    complexity(model)
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}
    assert not any(module._forward_hooks for module in model.modules())
    assert model.training


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("mstnet_resnet5O", "mstnet_resnet50"),
        ("mstent_resnet50", "mstnet_resnet50"),
        ("", "unknown model"),
    ],
)
def test_an_unknown_name_lists_near_ones(name: str, near: str) -> None:
    with pytest.raises(ValueError, match="unknown model") as error:
        create_model(name, 2)
    assert near in str(error.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("resnet50", "a backbone alone; give a family in front of it, such as 'mstnet_resnet50'"),
        ("vit_small_patch16_224", "'mstnet_vit_small_patch16_224' (families: "),
        ("mixer_s32_224", "a backbone alone; give a family in front of it, such as 'tsn_mixer_s"),
        ("mstnet", "a family alone; give a backbone behind it, such as 'mstnet_resnet18'"),
        ("aim", "a family alone; give a backbone behind it, such as 'aim_vit_tiny_patch16_224'"),
    ],
)
def test_half_of_a_name_is_told_what_is_missing(name: str, says: str) -> None:
    with pytest.raises(ValueError, match="unknown model") as error:
        create_model(name, 2)
    assert says in str(error.value)
    example = str(error.value).partition("such as '")[2].partition("'")[0]
    assert can_be_made(*split_name(example))


def test_names_with_tags_of_weights() -> None:
    assert split_name("mstnet_resnet50.a1_in1k") == ("mstnet", "resnet50.a1_in1k")


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(ValueError, match="found no residual branch in MlpMixer"):
        create_model("mstnet_mixer_s32_224", 2)
    with pytest.raises(ValueError, match="unknown setting of a model 'num_frame'"):
        create_model("tsn_test_resnet", 2, num_frame=4)
    with pytest.raises(ValueError, match="num_classes"):
        create_model("tsn_test_resnet")
    with pytest.raises(ValueError, match="named twice: a"):
        create_model("tsn_test_resnet", classes=["a", "b", "a"])
    with pytest.raises(ValueError, match="num_frames is 0"):
        create_model("tsn_test_resnet", 2, num_frames=0)


def test_a_spec_survives_json() -> None:
    import json

    spec = ModelSpec("tsn_resnet18", ("a", "b"), stages=(1, 2), causal=True)
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    with pytest.raises(ValueError, match="written by another version"):
        ModelSpec.from_dict({"name": "x", "classes": ["a"], "from_the_future": 1})


def test_weights_from_files(tmp_path) -> None:
    backbone = timm.create_model("test_resnet")  # with its own last layer, as published files have
    torch.save(backbone.state_dict(), tmp_path / "weights.pth")
    loaded = create_backbone("test_resnet", pretrained=tmp_path / "weights.pth")
    assert torch.equal(loaded.conv1[0].weight, backbone.conv1[0].weight)
    with pytest.raises(ValueError, match="does not hold weights of test_convnext"):
        create_backbone("test_convnext", pretrained=tmp_path / "weights.pth")
    junk = {name: value for name, value in backbone.state_dict().items() if "layer4" not in name}
    torch.save(junk, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"holds \d+ of the \d+ weights of test_resnet \(layer4"):
        create_backbone("test_resnet", pretrained=tmp_path / "part.pth")
    torch.save({"nothing": torch.zeros(1)}, tmp_path / "junk.pth")
    with pytest.raises(ValueError, match="holds 0 of the"):
        create_backbone("test_resnet", pretrained=tmp_path / "junk.pth")
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match="holds no dictionary of tensors"):
        create_backbone("test_resnet", pretrained=tmp_path / "empty.pth")
    with pytest.raises(ValueError, match="there is no file"):
        read_checkpoint(tmp_path / "none.pth")


class Evil:
    """What a pickle could do if it were opened."""

    def __reduce__(self):
        return (print, ("this must not run",))


def test_nothing_is_unpickled(tmp_path, capsys) -> None:
    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_checkpoint(tmp_path / "evil.pth")
    (tmp_path / "evil.pth").rename(tmp_path / "evil.safetensors")
    with pytest.raises(ValueError, match="zip archive, such as a torch checkpoint"):
        load_model(tmp_path / "evil.safetensors")
    assert "must not run" not in capsys.readouterr().out


def test_devices_and_precisions() -> None:
    assert resolve_device("cpu").type == "cpu"
    assert resolve_precision("auto", torch.device("cpu")) == "32"
    assert resolve_precision("bf16", torch.device("cpu")) == "bf16"
    with pytest.raises(ValueError, match="'gpu' cannot be used here"):
        resolve_device("gpu")


@pytest.mark.parametrize(("major", "expected"), [(7, "32"), (8, "bf16"), (9, "bf16")])
def test_a_gpu_that_emulates_bfloat16_gets_float32(
    monkeypatch: pytest.MonkeyPatch, major: int, expected: str
) -> None:
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=major)
    )
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)
    assert resolve_precision("auto", torch.device("cuda")) == expected


def test_from_random_weights_every_residual_branch_gives_something() -> None:
    """A branch that begins at zero would hide the temporal operation inside it."""
    plain = timm.create_model("test_resnet", num_classes=0)
    norms = [module for module in plain.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert any(not norm.weight.any() for norm in norms)  # timm begins at zero
    model = create_model("mstnet_test_resnet", 2)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.weight.all()


def test_over_pretrained_features_the_last_layer_begins_small(tmp_path) -> None:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "weights.pth")
    model = create_model("tsn_test_resnet", 50, pretrained=tmp_path / "weights.pth")
    assert model.head.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert create_model("tsn_test_resnet", 50).head.weight.std().item() > 0.01


def test_drop_path_leaves_branches_out_in_training_alone() -> None:
    torch.manual_seed(0)
    settings = {"num_frames": 2, "image_size": 32, "dropout": 0.0}
    model = create_model("mstnet_test_convnext", 3, drop_path_rate=0.9, **settings)
    rates = [m.drop_prob for m in model.modules() if isinstance(m, timm.layers.DropPath)]
    assert max(rates) == pytest.approx(0.9)
    assert rates == sorted(rates)  # the last branch is left out most often
    clips = _clips(num_frames=2)
    with torch.no_grad():
        assert not torch.equal(model(clips), model(clips))
        assert torch.equal(model.eval()(clips), model(clips))
    assert not hasattr(model.spec, "drop_path_rate")  # it says how to train, not what it is


@pytest.mark.parametrize(
    ("name", "rate", "message"),
    [
        ("tsn_vgg11", 0.1, "vgg11 has no drop path"),  # timm does not take it
        ("tsn_densenet121", 0.1, "densenet121 has no drop path"),
        ("i3d_resnet50", 0.1, "i3d_resnet50 has no drop path"),
        ("tsn_test_resnet", 1.0, "drop_path_rate is 1.0; give 0 to below 1"),
        ("eco_8", float("nan"), "has no drop path"),
    ],
)
def test_a_drop_path_that_cannot_be_is_refused(name: str, rate: float, message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        create_model(name, 2, drop_path_rate=rate)


@pytest.mark.parametrize(
    "backbone",
    [
        *("test_vit", "vit_tiny_patch16_dinov3_qkvb", "eva02_tiny_patch14_224"),
        *("beit_base_patch16_224", "swin_tiny_patch4_window7_224", "hiera_tiny_224", "levit_128s"),
        *("mobilevitv2_050", "vit_base_patch16_xp_224"),
    ],
)
def test_transformers_are_made_by_name_for_their_size(backbone: str) -> None:
    with torch.device("meta"):
        model = create_model(f"mstvit_{backbone}", num_classes=2)
    assert model.spec.position == "kv"
    operations = [module for module in model.modules() if isinstance(module, KeyValueOperation)]
    assert len(operations) >= 5


@pytest.mark.parametrize(
    ("backbone", "size", "reason"),
    [
        ("crossvit_tiny_240", 224, "do.* not run on images of 224 pixels: .* takes, such as 240"),
        ("nest_tiny", 100, "do.* not run on images of 100 pixels: .* evenly.* takes, such as 224"),
        ("test_vit", 100, "100 pixels: .*divisible by patch size.* takes, such as 160"),
        ("halonet_h1", 100, "100 pixels: AssertionError; .* takes, such as 256"),
        ("swiftformer_xs", 224, "found no attention in SwiftFormer .* use position 'head'"),
        ("qwen3_vit_88m_enc", 224, r"gives \(1, 49, 1024\) .* pool them first"),
    ],
)
def test_a_transformer_that_cannot_be_made_says_why_in_one_line(
    backbone: str, size: int, reason: str
) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=f"^.*{reason}.*$"):
        create_model(f"mstvit_{backbone}", num_classes=2, image_size=size)
