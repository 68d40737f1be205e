"""Published adapters on CLIP give the logits of the network that they were published for."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from mixtconv.cli.main import main
from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.models import (
    StreamingClassifier,
    VideoClassifier,
    load_model,
    optimize_for_inference,
    read_metadata,
    save_model,
)
from mixtconv.models import published_weights as weights
from mixtconv.models.importing.convert import import_weights

pytestmark = pytest.mark.usefixtures("small_clips")

FRAMES = 4
CLIP = "vit_base_patch16_clip_quickgelu_224"
SIZE = {"image_size": 48}


@dataclass(frozen=True)
class Case:
    """A published network, what is given, and what its file says."""

    name: str
    make: Callable[[ModuleType], nn.Module]
    given: dict[str, Any]
    inferred: dict[str, Any]
    prefix: str = ""


def _st(places: str, **options: Any) -> Callable[[ModuleType], nn.Module]:
    return lambda published: published.ST(5, places, **options)


def _aim(**options: Any) -> Callable[[ModuleType], nn.Module]:
    return lambda published: published.AIM(5, FRAMES, **options)


OF_ST = {"average_before_norm": True, "image_size": 48, "block_step": 1, "adapter_width": 0.5}
OF_AIM = {"num_frames": FRAMES, "image_size": 48, "block_step": 1, "adapter_width": 0.25}
ST_FRAMES = {"num_frames": FRAMES}

CASES = {
    "ST-Adapter, before both": Case(
        f"stadapter_{CLIP}", _st("both"), ST_FRAMES, OF_ST | {"adapter_places": "both"}
    ),
    "ST-Adapter, before the MLP": Case(
        f"stadapter_{CLIP}",
        _st("mlp", width=24),
        ST_FRAMES,
        OF_ST | {"adapter_places": "mlp", "adapter_width": 24 / 128},
        "module.",
    ),
    "ST-Adapter, before the attention": Case(
        f"stadapter_{CLIP}", _st("attention"), ST_FRAMES, OF_ST | {"adapter_places": "attention"}
    ),
    "AIM": Case(
        f"aim_{CLIP}",
        _aim(scale=0.5, num_adapters=1),
        {"adapter_scale": 0.5},
        OF_AIM | {"time_adapters": 1},
    ),
    "AIM, with two adapters of time": Case(
        f"aim_{CLIP}",
        _aim(scale=1.0, num_adapters=2),
        {"adapter_scale": 1},
        OF_AIM | {"time_adapters": 2},
        "module.",
    ),
}


def _randomised(case: Case, published: ModuleType) -> nn.Module:
    return published.randomised(case.make(published))


def _clips() -> Tensor:
    return torch.randn(2, FRAMES, 3, 48, 48, generator=torch.Generator().manual_seed(5))


def _save(state: dict[str, Tensor], path: Path, *, prefix: str = "", entry: str = "model") -> Path:
    torch.save({"next_epoch": 3, entry: {f"{prefix}{key}": state[key] for key in state}}, path)
    return path


@torch.no_grad()
def _assert_same(model: nn.Module, original: nn.Module, clips: Tensor) -> None:
    """Equal up to rounding; and clips are told apart, or equality would say little."""
    expected = original(clips)
    assert _difference(model(clips), expected) < 1e-5
    exact = original.double()(clips.double())
    # Weights that were folded are rounded to float32 once.
    assert _difference(model.double()(clips.double()), exact) < 1e-6
    assert (expected[0] - expected[1]).abs().max() > 1e-2 * expected.abs().max()
    original.float()
    model.float()


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_logits_are_those_of_the_original(
    case: Case, clip_adapters: ModuleType, tmp_path: Path
) -> None:
    original = _randomised(case, clip_adapters)
    path = _save(original.state_dict(), tmp_path / "a.pth", prefix=case.prefix, entry="state_dict")
    imported = import_weights(path, case.name, **case.given)
    spec = imported.model.spec
    assert {name: getattr(spec, name) for name in case.inferred} == case.inferred
    assert case.inferred.keys() <= set(imported.inferred)
    assert imported.num_keys == len(original.state_dict()) and imported.trunk is None
    assert imported.unused == imported.not_in_file == ()
    assert (spec.name, spec.num_classes, spec.num_frames) == (case.name, 5, FRAMES)
    _assert_same(imported.model, original, _clips())
    # And from its file, and optimised.
    save_model(imported.model, tmp_path / "model.safetensors")
    assert read_metadata(tmp_path / "model.safetensors")["trunk"] is None
    loaded = load_model(tmp_path / "model.safetensors")
    with torch.no_grad():
        expected = original(_clips())
        assert _difference(loaded(_clips()), expected) < 1e-5
        assert _difference(optimize_for_inference(loaded)(_clips()), expected) < 1e-4
    with pytest.raises(ValueError, match="looks at all frames of a clip at once"):
        StreamingClassifier(loaded)


def test_pixels_are_normalised_as_clip_does(clip_adapters: ModuleType, tmp_path: Path) -> None:
    original = _randomised(CASES["AIM"], clip_adapters)
    path = _save(original.state_dict(), tmp_path / "a.pth")
    model = import_weights(path, f"aim_{CLIP}", adapter_scale=1).model
    pixels = torch.randint(0, 256, (1, FRAMES, 3, 8, 8), dtype=torch.uint8)
    # As AIM's configuration has them, of 0 to 255.
    mean = torch.tensor([122.769, 116.74, 104.04]).view(3, 1, 1)
    std = torch.tensor([68.493, 66.63, 70.321]).view(3, 1, 1)
    expected = (pixels - mean) / std
    torch.testing.assert_close(model.normalize(pixels), expected, rtol=1e-3, atol=1e-3)


def test_a_trunk_in_half_precision_is_computed_with_in_full(
    clip_adapters: ModuleType, tmp_path: Path
) -> None:
    """As ST-Adapter holds it."""
    original = _randomised(CASES["ST-Adapter, before both"], clip_adapters)
    trained = clip_adapters.trained_part(original)
    state = {
        key: value if key in trained else value.half()
        for key, value in original.state_dict().items()
    }
    original.load_state_dict(state)  # rounded
    path = _save(state, tmp_path / "a.pth")
    model = import_weights(path, f"stadapter_{CLIP}", num_frames=FRAMES).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    _assert_same(model, original, _clips())


@pytest.mark.parametrize("whose", ["open", "own"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_trained_part_alone_takes_a_trunk(
    case: Case, whose: str, clip_adapters: ModuleType, tmp_path: Path
) -> None:
    original = _randomised(case, clip_adapters)
    path = _save(clip_adapters.trained_part(original), tmp_path / "a.pth", prefix=case.prefix)
    state = clip_adapters.image_part(original)
    if case.name.startswith("aim"):  # its own was trained on
        state = {key: value + 1 if "ln_post" in key else value for key, value in state.items()}
    state = {**state, "proj": torch.zeros(clip_adapters.WIDTH, 8)}
    if whose == "open":  # as OpenCLIP has it, the whole CLIP
        state = {f"visual.{key}": value for key, value in state.items()}
        state["logit_scale"] = torch.zeros(())
    (tmp_path / "trunk").mkdir()
    trunk = tmp_path / "trunk" / "clip.pth"
    torch.save(state, trunk)
    imported = import_weights(path, case.name, trunk=trunk, **{**SIZE, **case.given})
    assert imported.trunk is not None and imported.trunk.file == str(trunk)
    assert imported.not_in_file == ()
    _assert_same(imported.model, original, _clips())
    # The model file is the trained part alone, too, unless part of the trunk was trained.
    save_model(imported.model, tmp_path / "model.safetensors")
    is_part = read_metadata(tmp_path / "model.safetensors")["trunk"] is not None
    assert is_part == case.name.startswith("stadapter")
    loaded: VideoClassifier = load_model(tmp_path / "model.safetensors")
    with torch.no_grad():
        assert _difference(loaded(_clips()), original(_clips())) < 1e-5


def test_the_trunk_is_openais_clip_by_default(
    clip_adapters: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """timm's default of this name is another training of the same network."""
    original = _randomised(CASES["ST-Adapter, before both"], clip_adapters)
    path = _save(clip_adapters.trained_part(original), tmp_path / "a.pth")
    trunk = tmp_path / "clip.pth"
    torch.save(clip_adapters.image_part(original), trunk)
    asked = []

    def cached(repository: str, file: str, revision: str | None = None) -> str:
        asked.append(repository)
        return str(trunk)

    monkeypatch.setattr(weights.huggingface_hub, "try_to_load_from_cache", cached)
    imported = import_weights(path, f"stadapter_{CLIP}", num_frames=FRAMES, **SIZE)
    assert set(asked) == {"timm/vit_base_patch16_clip_224.openai"}
    assert imported.model.spec.name == f"stadapter_{CLIP}.openai"
    assert str(imported.trunk).startswith(f"{CLIP}.openai of timm/")
    _assert_same(imported.model, original, _clips())


Change = Callable[[dict[str, Tensor]], object]
ATTENTION = "transformer.resblocks.1.adapter_pre_attn."


def _put(key: str, *shape: int) -> Change:
    return lambda state: state.update({key: torch.zeros(shape)})


def _without(*parts: str) -> Change:
    def change(state: dict[str, Tensor]) -> None:
        for key in [key for key in state if any(part in key for part in parts)]:
            del state[key]

    return change


def _cut_filters(state: dict[str, Tensor]) -> None:
    for key in [key for key in state if key.endswith("conv.weight")]:
        state[key] = state[key].transpose(2, 3)


FAULTS: dict[str, tuple[str, str, dict[str, Any], Change | None, str]] = {
    "no factor": ("AIM", f"aim_{CLIP}", {}, None, "says the factor .* give --adapter-scale"),
    "a factor of none": (
        "ST",
        f"stadapter_{CLIP}",
        {"adapter_scale": 0.5},
        None,
        "adapter_scale is 0.5, and files of ST-Adapter have no such factor; leave it out",
    ),
    "another family": (
        "ST",
        f"adapter_{CLIP}",
        {},
        None,
        f"holds the adapters of ST-Adapter, so it is no adapter_{CLIP}: give --model stadapter_",
    ),
    "the other family": ("ST", f"aim_{CLIP}", {}, None, f"give --model stadapter_{CLIP}"),
    "another activation": (
        "ST",
        "stadapter_vit_base_patch16_clip_224",
        {},
        None,
        "is of a CLIP with QuickGELU, and vit_base_patch16_clip_224 has another activation",
    ),
    "another backbone": (
        "224",
        "stadapter_vit_large_patch14_clip_quickgelu_224",
        {},
        None,
        f"holds weights of {CLIP}, not of .* give --model stadapter_{CLIP}",
    ),
    "no transformer": (
        "ST",
        "stadapter_resnet18",
        {},
        None,
        "does not hold the weights of resnet18",
    ),
    "other frames": (
        "AIM",
        f"aim_{CLIP}",
        {"adapter_scale": 1, "num_frames": 8},
        None,
        "num_frames is 8, but .* has 4; leave it out",
    ),
    "another size": (
        "ST",
        f"stadapter_{CLIP}",
        {"image_size": 64},
        None,
        "image_size is 64, but .* has 48; leave it out",
    ),
    "a trunk too many": (
        "ST",
        f"stadapter_{CLIP}",
        {"trunk": "clip.pth"},
        None,
        "holds all of its weights: leave out trunk, clip.pth",
    ),
    "a missing key of the backbone": (
        "ST",
        f"stadapter_{CLIP}",
        {},
        _without("resblocks.2.attn.in_proj_bias"),
        "lacks blocks.2.attn.qkv.bias",
    ),
    "a missing key of an adapter": (
        "ST",
        f"stadapter_{CLIP}",
        {},
        _without(f"{ATTENTION}fc1.bias"),
        "lacks backbone.blocks.1.adapter_attention.down.bias",
    ),
    "a bias without the layer behind it": (
        "ST",
        f"stadapter_{CLIP}",
        {},
        _without(f"{ATTENTION}fc2.weight"),
        f"adapter_attention.up.weight; it has {ATTENTION}conv.bias too many",
    ),
    "a missing adapter of time": (
        "AIM",
        f"aim_{CLIP}",
        {"adapter_scale": 1},
        _without("resblocks.0.T_Adapter."),
        "lacks backbone.blocks.0.adapter.down.weight and 3 more keys",
    ),
    "no vectors of frames": (
        "AIM",
        f"aim_{CLIP}",
        {"adapter_scale": 1},
        _without("temporal_embedding"),
        "lacks backbone.norm_pre.frames",
    ),
    "a missing last layer": (
        "AIM",
        f"aim_{CLIP}",
        {"adapter_scale": 1},
        _without("cls_head"),
        "has no last layer",
    ),
    "a key too many": (
        "ST",
        f"stadapter_{CLIP}",
        {},
        _put("transformer.resblocks.0.adapter_pre_mlp.norm.weight", 4),
        "has transformer.resblocks.0.adapter_pre_mlp.norm.weight too many",
    ),
    "filters over places": (
        "ST",
        f"stadapter_{CLIP}",
        {},
        _cut_filters,
        r"64 x 1 x 1 x 3 x 1; the temporal filter of an ST-Adapter is \(C, 1, 3, 1, 1\)",
    ),
    "blocks here and there": (
        "ST",
        f"stadapter_{CLIP}",
        {},
        _without("resblocks.0.adapter"),
        r"adapters in 2 of 3 blocks \(blocks.1, blocks.2, ...\), which is not every n-th",
    ),
    "a missing normalisation of the trained part": (
        "AIM, trained",
        f"aim_{CLIP}",
        {"adapter_scale": 1, "trunk": "clip.pth"},
        _without("ln_post.bias"),
        "lacks backbone.norm.bias",
    ),
    "another trunk": (
        "ST, trained",
        "stadapter_vit_large_patch14_clip_quickgelu_224",
        {"trunk": "clip.pth"},
        None,
        r"holds 42 of the 43 weights of vit_large_\w+ \(patch_embed.proj.weight is missing",
    ),
    "no trunk of that name": (
        "ST, trained",
        "stadapter_vit_huge_patch14_clip_quickgelu_224",
        {},
        None,
        "needs the weights of its trunk, and vit_huge_patch14_clip_quickgelu_224.openai has none: "
        "give their file with --trunk",
    ),
    "no such trunk": (
        "ST, trained",
        f"stadapter_{CLIP}",
        {"trunk": "nowhere.pth"},
        None,
        "there is no file .*nowhere.pth",
    ),
    "no connection": (
        "ST, trained",
        f"stadapter_{CLIP}",
        {},
        None,
        f"holds the trained part alone and needs the weights of its trunk: .* of {CLIP}.openai "
        r".*download timm/.*openai/model.safetensors elsewhere and give it with --trunk",
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_what_does_not_fit_is_said_in_one_line(
    fault: tuple[str, str, dict[str, Any], Change | None, str],
    clip_adapters: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*args: Any, **kwargs: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(weights, "is_hub_reachable", lambda: True)
    monkeypatch.setattr(weights.huggingface_hub, "hf_hub_download", offline)
    monkeypatch.setattr(weights.huggingface_hub, "try_to_load_from_cache", lambda *a, **k: None)
    monkeypatch.chdir(tmp_path)
    what, name, given, change, says = fault
    size = 224 if what == "224" else 48
    if what.startswith("AIM"):
        original = clip_adapters.AIM(5, FRAMES, scale=1.0, num_adapters=1, size=size)
    else:
        original = clip_adapters.ST(5, "both", size=size)
    torch.save(clip_adapters.image_part(original), "clip.pth")
    is_part = what.endswith("trained")
    state = clip_adapters.trained_part(original) if is_part else original.state_dict()
    if change is not None:
        change(state)
    path = _save(state, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=says) as error:
        import_weights(path, name, **({**SIZE, **given} if is_part else given))
    assert "\n" not in str(error.value)


def test_adapters_in_every_second_block(clip_adapters: ModuleType, tmp_path: Path) -> None:
    original = _randomised(CASES["ST-Adapter, before both"], clip_adapters)
    middle = original.transformer.resblocks[1]
    middle.adapter_pre_attn = middle.adapter_pre_mlp = None
    path = _save(original.state_dict(), tmp_path / "a.pth")
    model = import_weights(path, f"stadapter_{CLIP}", num_frames=FRAMES).model
    assert model.spec.block_step == 2
    _assert_same(model, original, _clips())


def test_image_weights_begin_with_what_any_family_puts_in(tmp_path: Path) -> None:
    original = timm.create_model("test_vit", num_classes=3, img_size=48)
    torch.save(original.state_dict(), tmp_path / "a.pth")
    for family in ("adapter", "aim", "mstvit"):
        imported = import_weights(
            tmp_path / "a.pth", f"{family}_test_vit", num_frames=FRAMES, **SIZE
        )
        assert imported.not_in_file
        assert imported.model.backbone.blocks[0].norm1.weight.equal(original.blocks[0].norm1.weight)
        assert all(
            "adapter" in key or "temporal" in key or "frames" in key for key in imported.not_in_file
        )


@pytest.mark.parametrize(
    "case", [CASES["ST-Adapter, before both"], CASES["AIM"]], ids=["ST", "AIM"]
)
def test_from_the_command_to_predictions(
    case: Case,
    clip_adapters: ModuleType,
    media: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    original = _randomised(case, clip_adapters)
    _save(clip_adapters.trained_part(original), Path("a.pth"))
    torch.save(clip_adapters.image_part(original), "clip.pth")
    Path("names.txt").write_text("wave\npoint\nnod\nclap\njump\n")
    words = ["import", "a.pth", "--model", case.name, "--out", "m.safetensors"]
    words += ["--trunk", "clip.pth", "--image-size", "48", "--classes", "names.txt"]
    for name, value in case.given.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    assert main([*words, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_frames"] == FRAMES and report["adapter_width"] in (0.5, 0.25)
    assert report["trunk"].startswith(CLIP) and report["not_in_file"] == []
    assert report["keys"] == report["keys_used"] == len(clip_adapters.trained_part(original))
    assert main(words) == 0
    table = capsys.readouterr().out
    assert "block_step" in table and "clip.pth" in table
    model = load_model("m.safetensors")
    reader = TensorViewReader(model.spec, Protocol.parse("1x1"))
    video = media.encode("clip.mp4", media.moving_frames(12), pixel_format="yuv444p")
    frames = reader.read(video).frames  # (1, T, 3, H, W)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    with torch.no_grad():
        expected = original((frames / 255 - mean) / std).softmax(dim=1)[0]
    assert main(["predict", "m.safetensors", str(video), "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    scores = {each["label"]: each["score"] for each in found["predictions"]}
    names = Path("names.txt").read_text().split()
    assert scores == pytest.approx(dict(zip(names, expected.tolist(), strict=True)), abs=1e-4)
    # All of it in one file, which needs no trunk.
    assert main([*words, "--whole-file"]) == 0
    Path("clip.pth").unlink()
    with torch.no_grad():
        assert _difference(load_model("m.safetensors")(_clips()), original(_clips())) < 1e-5
