"""Imported weights give the logits of the network that they were published for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mixtconv.cli.main import main
from mixtconv.models import VideoClassifier, load_model, optimize_for_inference
from mixtconv.models.importing.convert import import_weights

FRAMES = 4
Make = Callable[[ModuleType], nn.Module]


@dataclass(frozen=True)
class Case:
    """A published network and the name of ours."""

    name: str
    make: Make
    suffix: str = ".pth.tar"
    prefix: str = "module."
    channels: int = 3
    placement: tuple[tuple[int, ...] | None, int] = (None, 1)
    size: int = 64


def _wrapped(depth: int, wrapper: str, step: int = 1, **options: Any) -> Make:
    def make(published: ModuleType) -> nn.Module:
        network = published.wrap(
            published.resnet(depth, **options), getattr(published, wrapper), FRAMES, step
        )
        return published.TSN(network, 7)

    return make


def _non_local(published: ModuleType) -> nn.Module:
    network = published.wrap(published.resnet(50), published.Shift, FRAMES)
    return published.TSN(published.with_non_local(network, FRAMES), 7)


CASES = {
    "TSN, ResNet-18": Case("tsn_resnet18", lambda p: p.TSN(p.resnet(18), 7)),
    "TSN without dropout": Case(
        "tsn_resnet18", lambda p: p.TSN(p.resnet(18), 7, dropout=0), prefix=""
    ),
    "TSM, ResNet-18": Case("tsm_resnet18", _wrapped(18, "Shift")),
    "TSM, ResNet-50": Case("tsm_resnet50", _wrapped(50, "Shift"), suffix=".pth"),
    "TSM, ResNet-101": Case("tsm_resnet101", _wrapped(101, "Shift", 2), placement=(None, 2)),
    "TSM of flow": Case("tsm_resnet18", _wrapped(18, "Shift", in_channels=10), channels=10),
    "TSM with non-local blocks": Case("tsm_nl_resnet50", _non_local, size=112),
    "MixTConv, ResNet-18": Case("mstnet_resnet18", _wrapped(18, "Mixed")),
    "MixTConv, ResNet-50": Case("ks1357_resnet50", _wrapped(50, "Mixed"), suffix=".pth"),
    "mmaction2 TSN": Case("tsn_resnet50", lambda p: p.MMRecognizer(7, None), ".pth", ""),
    "mmaction2 TSM": Case("tsm_resnet50", lambda p: p.MMRecognizer(7, FRAMES), ".pth", ""),
}


def _clips(channels: int = 3, size: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, FRAMES, channels, size, size, generator=generator)


def _assert_same(model: nn.Module, original: nn.Module, clips: Tensor) -> None:
    """Equal up to rounding; and clips are told apart, or equality would say little."""
    with torch.no_grad():
        expected = original(clips)
        torch.testing.assert_close(model(clips), expected, rtol=1e-5, atol=1e-5 * _size(expected))
        expected = original.double()(clips.double())
        exact = model.double()(clips.double())
        torch.testing.assert_close(exact, expected, rtol=1e-9, atol=1e-9 * _size(expected))
        assert (expected[0] - expected[1]).abs().max() > 1e-4 * _size(expected)
    original.float()
    model.float()


def _size(values: Tensor) -> float:
    return values.abs().max().item()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_logits_are_those_of_the_original(
    case: Case, published: ModuleType, tmp_path: Path
) -> None:
    original = published.randomised(case.make(published))
    path = published.save(
        original,
        tmp_path / f"anything{case.suffix}",
        prefix=case.prefix,
        epoch=3,
        best_prec1=np.float64(45.5),
    )
    imported = import_weights(path, case.name, num_frames=FRAMES, image_size=64)
    spec = imported.model.spec
    assert (spec.stages, spec.block_step) == case.placement
    assert spec.num_classes == 7 and spec.snippet.in_channels == case.channels
    assert imported.num_keys == len(original.state_dict())
    assert imported.unused == imported.not_in_file == ()
    _assert_same(imported.model, original, _clips(case.channels, case.size))


def test_the_shift_of_resnet101_in_every_block_is_another_network(
    published: ModuleType, tmp_path: Path
) -> None:
    original = published.randomised(_wrapped(101, "Shift", 2)(published))
    path = published.save(original, tmp_path / "a.pth.tar")
    with pytest.raises(ValueError, match=r"block_step is 1, but .* has 2"):
        import_weights(path, "tsm_resnet101", num_frames=FRAMES, image_size=64, block_step=1)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_imagenet_weights_give_the_mean_over_the_frames(
    library: str, suffix: str, published: ModuleType, tmp_path: Path
) -> None:
    make = timm.create_model if library == "timm" else lambda name: published.resnet(18)
    original = published.randomised(make("resnet18"))
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(original.state_dict(), path)
    imported = import_weights(path, "tsn_resnet18", num_frames=FRAMES, image_size=64)
    clips = _clips()
    with torch.no_grad():
        expected = torch.stack([original(clip).mean(dim=0) for clip in clips])
        torch.testing.assert_close(imported.model(clips), expected, rtol=1e-5, atol=1e-5)
    assert imported.model.spec.num_classes == 1000


def test_imagenet_weights_of_another_family_begin_with_its_operation(
    published: ModuleType, tmp_path: Path
) -> None:
    original = published.randomised(published.resnet(18))
    torch.save(original.state_dict(), tmp_path / "weights.pth")
    imported = import_weights(
        tmp_path / "weights.pth", "mstnet_resnet18", num_frames=FRAMES, image_size=64
    )
    assert len(imported.not_in_file) == 8 * 4
    assert all(".temporal.weights." in key for key in imported.not_in_file)
    assert torch.equal(imported.model.backbone.conv1.weight, original.conv1.weight)


@pytest.mark.parametrize("family", ["tsn", "tsm"])
def test_bn_inception(family: str, published: ModuleType, tmp_path: Path) -> None:
    """The published code shifts the input of every block but the first, by no module of its own."""
    network = timm.create_model("bninception", num_classes=7)
    original = published.randomised(published.TSN(network, 7))
    path = published.save(original, tmp_path / "a.pth.tar")
    model = import_weights(path, f"{family}_bninception", num_frames=FRAMES, image_size=64).model
    if family == "tsm":
        places = ["conv2_input", *(f"inception_{block}_input" for block in _BLOCKS)]
        for place in places:
            module = original.base_model.get_submodule(place)
            module.register_forward_hook(lambda module, args, x: published.shifted(x, FRAMES))
    _assert_same(model, original, _clips())
    pixels = torch.randint(0, 256, (1, FRAMES, 3, 8, 8), dtype=torch.uint8)
    mean_bgr = torch.tensor([104.0, 117.0, 128.0]).view(3, 1, 1)
    expected = pixels.flip(2).float() - mean_bgr
    torch.testing.assert_close(model.normalize(pixels), expected, rtol=0, atol=1e-4)


_BLOCKS = ("3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b")


def test_bn_inception_of_imagenet_with_its_old_shapes(
    published: ModuleType, tmp_path: Path
) -> None:
    original = published.randomised(timm.create_model("bninception"))
    state = {
        key.replace("fc.", "last_linear."): value[None] if "_bn." in key and value.ndim else value
        for key, value in original.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    torch.save(state, tmp_path / "weights.pth")
    imported = import_weights(
        tmp_path / "weights.pth", "tsn_bninception", num_frames=FRAMES, image_size=64
    )
    assert all(key.endswith("num_batches_tracked") for key in imported.not_in_file)
    clips = _clips()
    with torch.no_grad():
        expected = torch.stack([original(clip).mean(dim=0) for clip in clips])
        torch.testing.assert_close(imported.model(clips), expected, rtol=1e-5, atol=1e-5)


def test_pixels_are_normalised_as_the_original_does(published: ModuleType, tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (1, FRAMES, 3, 8, 8), dtype=torch.uint8)
    flow = torch.randint(0, 256, (1, FRAMES, 10, 8, 8), dtype=torch.uint8)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    cases: list[tuple[nn.Module, str, Tensor, Tensor]] = [
        (published.TSN(published.resnet(18), 2), "module.", pixels, (pixels / 255 - mean) / std),
        (
            published.TSN(published.resnet(18, in_channels=10), 2),
            "module.",
            flow,
            (flow / 255 - 0.5) / std.mean(),
        ),
        (published.MMRecognizer(2, None, 10), "", flow, (flow.float() - 128) / 128),
    ]
    for index, (original, prefix, clip, expected) in enumerate(cases):
        path = published.save(original, tmp_path / f"{index}.pth", prefix=prefix)
        name = "tsn_resnet50" if prefix == "" else "tsn_resnet18"
        model = import_weights(path, name, num_frames=FRAMES, image_size=64).model
        torch.testing.assert_close(model.normalize(clip), expected, rtol=1e-5, atol=1e-5)


def test_a_kernel_of_size_one_is_a_learned_scale_that_optimising_keeps(
    published: ModuleType, tmp_path: Path
) -> None:
    original = published.randomised(_wrapped(18, "Mixed")(published))
    path = published.save(original, tmp_path / "a.pth")
    model = import_weights(path, "mstnet_resnet18", num_frames=FRAMES, image_size=64).model
    scale = original.base_model.layer1[0].conv1.conv11d.weight.flatten()
    learned = dict(model.named_parameters())["backbone.layer1.0.conv1.temporal.weights.0"]
    assert torch.equal(learned.flatten(), scale) and scale.std() > 0.1
    clips = _clips()
    with torch.no_grad():
        fast = optimize_for_inference(model)(clips)
        torch.testing.assert_close(fast, original(clips), rtol=1e-4, atol=1e-4 * _size(fast))


def test_from_the_command_to_a_real_clip(
    published: ModuleType, tmp_path: Path, shared_videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mixtconv.data.views import Protocol, TensorViewReader

    original = published.randomised(_wrapped(18, "Shift")(published))
    path = published.save(original, tmp_path / "a.pth.tar")
    out = tmp_path / "model.safetensors"
    words = ["import", str(path), "--model", "tsm_resnet18", "--out", str(out)]
    assert main([*words, "--num-frames", str(FRAMES), "--image-size", "64"]) == 0
    model: VideoClassifier = load_model(out)
    for video in sorted(shared_videos.glob("*.mp4"))[:2]:
        reader = TensorViewReader(model.spec, Protocol.parse("1x1"))
        frames = reader.read(video).frames  # (V, T, 3, H, W)
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        with torch.no_grad():
            expected = original((frames / 255 - mean) / std)
            found = model(model.normalize(frames))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * _size(expected))
