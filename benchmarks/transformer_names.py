"""How many of timm's transformers can be made recognizers, and why not the others?

    python benchmarks/transformer_names.py [--family mstvit] [--match "*dinov3*"] [--format json]

A transformer is a network with a module that is called an attention (not one of channels, pictures
or pools only, see `OTHER_ATTENTIONS`) or that has layers of keys and values. Each is made by name
without memory for its weights, for images of 224 pixels, and of the published size if it does not
take those. Prints for every module of timm the names made and those refused, with the reasons. All
of timm takes some 20 minutes on one core.
"""

import argparse
import fnmatch
import json
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass

import timm
import torch
from torch import nn

from mixtconv import create_model
from mixtconv.models.structure.attention_sites import find_layers

OTHER_ATTENTIONS = (
    *("BatNonLocalAttn", "BilinearAttnTransform", "ChannelAttn", "CoordAttn", "EfficientLocalAttn"),
    *("LightChannelAttn", "LightSpatialAttn", "NonLocalAttn", "SelectiveKernelAttn", "SpatialAttn"),
    *("SimpleCoordAttn", "SpatialAttention", "SpatialTransformerBlock", "SplitAttn", "StripAttn"),
)
"""Modules called attentions that only weigh channels or places."""


@dataclass(frozen=True)
class Outcome:
    """What became of a name."""

    name: str
    module: str
    """The file of timm that has the network."""
    image_size: int | None
    """Pixels of the images that it was made for; None if it was not made."""
    reason: str
    """Why it was refused."""


def is_transformer(network: nn.Module) -> bool:
    """Whether a network has attention among places with layers of its own.

    >>> is_transformer(timm.create_model("test_vit")), is_transformer(timm.create_model("resnet18"))
    (True, False)
    """
    return any(
        next(find_layers(module), None) is not None or _is_called_attention(type(module).__name__)
        for module in network.modules()
    )


def _is_called_attention(kind: str) -> bool:
    words = ("Attention", "Attn", "SHMA")
    return kind not in OTHER_ATTENTIONS and any(word in kind for word in words)


def outcome(family: str, name: str) -> Outcome | None:
    """Make a recognizer without memory for its weights; None for what is no transformer."""
    module = timm.models.model_entrypoint(name).__module__.rpartition(".")[2]
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=0)
        if not is_transformer(network):
            return None
        reason = ""
        for size in dict.fromkeys((224, network.default_cfg["input_size"][-1])):
            try:
                create_model(f"{family}_{name}", num_classes=2, image_size=size)
            except ValueError as error:
                reason = reason or str(error)
            else:
                return Outcome(name, module, size, reason)
    return Outcome(name, module, None, reason)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="mstvit", help="family of the recognizers")
    parser.add_argument("--match", default="*", help="shell-style pattern of timm's names")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    args = parser.parse_args()
    outcomes = []
    for name in fnmatch.filter(timm.list_models(), args.match):
        result = outcome(args.family, name)
        if result is not None:
            outcomes.append(result)
            print(f"{len(outcomes)} {name}", end="   \r", file=sys.stderr)
    if args.format == "json":
        print(json.dumps([asdict(each) for each in outcomes], indent=2))
        return
    by_module = defaultdict(list)
    for each in outcomes:
        by_module[each.module].append(each)
    print("| module of timm | made for 224 pixels | for others | refused |\n|---|---|---|---|")
    for module, group in sorted({**by_module, "all": outcomes}.items()):
        sizes = [each.image_size for each in group]
        others = len(sizes) - sizes.count(224) - sizes.count(None)
        print(f"| {module} | {sizes.count(224)} | {others} | {sizes.count(None)} |")
    for each in outcomes:
        if each.image_size is None:
            print(f"{each.name}: {each.reason}")


if __name__ == "__main__":
    main()
