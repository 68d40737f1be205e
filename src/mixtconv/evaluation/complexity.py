"""Parameters and multiply-accumulates of a recognizer, as the field's tables count them.

Counted: convolutions, linear layers and matrix products, those of attention and of graphs among
them, and every tap of a temporal operation. Not counted: normalisation, activations, pooling,
additions. Many published figures leave out the products of attention, which are also given apart.
"""

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mixtconv.models import VideoClassifier, create_model
from mixtconv.models.wrappers.temporal_wrapper import temporal_wrappers
from mixtconv.ops import MixTConv


@dataclass(frozen=True)
class Complexity:
    """The cost of one clip."""

    params: int
    """All learnable parameters."""
    macs: int
    """Multiply-accumulates of one clip, one view."""
    attention_macs: int = 0
    """Those of products of activations with activations, not with weights."""
    temporal_params: int = 0
    """Learnable parameters of the temporal operations, those that the 2D network does not have."""

    @property
    def macs_without_attention(self) -> int:
        """Multiply-accumulates as counters of layers alone give them."""
        return self.macs - self.attention_macs


@dataclass(frozen=True)
class StageCost:
    """The cost of one part of a recognizer."""

    name: str
    """A child of a network, such as a stage of the backbone."""
    params: int
    """Learnable parameters."""
    macs: int
    """Multiply-accumulates of one clip."""


def complexity(model: VideoClassifier) -> Complexity:
    """Count the cost of one clip of the model's own size, on the meta device.

    >>> from mixtconv import create_model
    >>> complexity(create_model("mstnet_resnet18", num_classes=400))
    Complexity(params=11387600, macs=14539833344, attention_macs=0, temporal_params=5888)
    """
    params, macs, attention = _count(model)
    operations = [wrapper.temporal for wrapper in temporal_wrappers(model)]
    temporal = sum(p.numel() for each in operations for p in each.parameters() if p.requires_grad)
    return Complexity(sum(params.values()), sum(macs.values()), attention, temporal)


def complexity_by_stage(model: VideoClassifier) -> list[StageCost]:
    """Divide the cost of one clip among the children of the model's networks, in their order.

    >>> from mixtconv import create_model
    >>> [stage.name for stage in complexity_by_stage(create_model("tsn_resnet18", num_classes=5))]
    ['conv1', 'bn1', 'layer1', 'layer2', 'layer3', 'layer4', 'head']
    """
    params_by_module, macs_by_module, _ = _count(model)
    stages = _Stages(model)
    params, macs = Counter[str](), Counter[str]()
    for name, _ in model.named_modules():
        params[stages.of(name)] += params_by_module[name]
        macs[stages.of(name)] += macs_by_module[name]
    return [
        StageCost(stage, params[stage], macs[stage])
        for stage in params
        if params[stage] or macs[stage]
    ]


def abstract_model(name: str, num_classes: int, **settings: Any) -> VideoClassifier:
    """A recognizer on the meta device: without weights, fast to make, for counting.

    >>> complexity(abstract_model("tsn_bninception", 400)).params
    10680240
    """
    with torch.device("meta"):
        return create_model(name, num_classes, **settings)


def _count(model: VideoClassifier) -> tuple[Counter[str], Counter[str], int]:
    """Parameters and multiply-accumulates by the path of a module without its children, and the
    multiply-accumulates of attention."""
    abstract = copy.deepcopy(model).to("meta").eval()
    spec = model.spec
    channels, size = spec.snippet.in_channels, spec.image_size
    clip = torch.empty(1, model.num_frames, channels, size, size, device="meta")
    macs = Counter[str]()
    # The taps of a temporal operation are no operator of PyTorch, so hooks count them.
    names = {
        layer: name
        for name, layer in abstract.named_modules()
        if hasattr(layer, "depthwise_taps") and any(True for _ in _mixed_convolutions(layer))
    }

    def count_taps(layer: nn.Module, args: Any, result: torch.Tensor) -> None:
        positions = result.numel() // result.shape[2]  # B * T * H * W
        weights = (weight for mixed in _mixed_convolutions(layer) for weight in mixed.weights)
        macs[names[layer]] += positions * sum(weight.numel() for weight in weights)

    for layer in names:
        layer.register_forward_hook(count_taps)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        abstract(clip)
    counts = counter.get_flop_counts()
    root = type(abstract).__name__
    # The counter adds the cost of a module to every module that calls it: subtract it again from
    # the nearest one above. Containers that are not called, such as ModuleList, have no count.
    for path, flops in counts.items():
        if path == "Global":
            continue
        name = path.removeprefix(root).removeprefix(".")
        macs[name] += sum(flops.values()) // 2  # a multiply-accumulate is two operations
        parent = name
        while parent:
            parent = parent.rpartition(".")[0]
            if f"{root}.{parent}".rstrip(".") in counts:
                macs[parent] -= sum(flops.values()) // 2
                break
    params = Counter(
        {
            name: sum(p.numel() for p in module.parameters(recurse=False) if p.requires_grad)
            for name, module in model.named_modules()
        }
    )
    attention = sum(
        flops // 2
        for operation, flops in counts["Global"].items()
        if operation in _BATCHED_PRODUCTS
    )
    return params, macs, attention


def _mixed_convolutions(operation: nn.Module) -> Iterator[MixTConv]:
    """Those that an operation is or, as that of keys and values, is put together from."""
    return (module for module in operation.modules() if isinstance(module, MixTConv))


_BATCHED_PRODUCTS = {torch.ops.aten.bmm, torch.ops.aten.baddbmm} | {
    getattr(torch.ops.aten, name)
    for name in dir(torch.ops.aten)
    if name.startswith("_scaled_dot_product")
}
"""Operators that multiply activations with activations: attention, and graphs."""


class _Stages:
    """Maps modules to stages: children of one of the model's networks, or of the model itself."""

    def __init__(self, model: VideoClassifier) -> None:
        self.networks: dict[str, nn.Module] = {}
        paths = {module: name for name, module in model.named_modules()}
        for owner, attribute in model.networks():
            network = owner.get_submodule(attribute)
            while len(children := list(network.children())) == 1:  # a wrapper is no stage
                network = children[0]
            self.networks[paths[network]] = network

    def of(self, name: str) -> str:
        for path, network in self.networks.items():
            if name.startswith(path + "."):
                child = name.removeprefix(path + ".").split(".")[0]
                # A network without containers for its stages declares them.
                if (declared := getattr(network, "temporal_stages", None)) is not None:
                    by_name = child.partition("_")[0]
                    child = next((stage for stage in declared if child.startswith(stage)), by_name)
                prefix = ".".join(part for part in path.split(".") if part not in _NOT_SHOWN)
                return f"{prefix}.{child}" if prefix else child
        shown = [part for part in name.split(".") if part not in _NOT_SHOWN]
        if name and not shown:  # a network's own, as the class token and the places of a picture
            return name
        return ".".join(shown[: 2 if name.startswith("backbone.") else 1])


_NOT_SHOWN = ("backbone", "network")
