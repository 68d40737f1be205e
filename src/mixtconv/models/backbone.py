"""The 2D backbones of recognizers: timm's networks, their weights, and facts about them.

Weights are timm's for ImageNet, those of an installed package or of a file, read so that nothing in
them can run (see `checkpoint_file.py`). A backbone that takes other channels than R, G, B starts
from RGB weights too: those of the first layer are averaged over R, G and B and repeated for every
channel ("Temporal Segment Networks", arXiv 1608.00859). timm does it differently: it repeats R, G,
B and scales by 3 / C.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import DropPath
from torch import Tensor, nn

import mixtconv.models.small_resnet  # noqa: F401, timm knows its networks from here on
from mixtconv._names import first_line, require
from mixtconv.models.checkpoint_file import StateDict, read_checkpoint
from mixtconv.models.frozen_trunk import mark_origin
from mixtconv.models.published_weights import find_imagenet_weights, weights_origin
from mixtconv.models.spec import ModelArgs, ModelSpec
from mixtconv.models.structure.network_trace import clip_length, evaluating


def create_backbone(
    name: str,
    *,
    pretrained: bool | str | Path = False,
    image_size: int = 224,
    in_channels: int = 3,
    drop_path_rate: float = 0.0,
) -> nn.Module:
    """Make a backbone of timm with pooled features: images (N, C, H, W) -> (N, D).

    Args:
        name: timm's name, with a tag to choose a set of weights.
        pretrained: True for ImageNet weights, see `find_imagenet_weights`; or a file of weights for
            this backbone, of timm, torchvision or EfficientNet-PyTorch (the last layer is not
            used).
        image_size: for backbones that are built for one size.
        in_channels: C.
        drop_path_rate: probability of leaving out the last residual branch for an image in
            training; those before it are left out less often ("Deep Networks with Stochastic
            Depth", arXiv 1603.09382). It is timm's, and frames are images to it.

    Raises:
        ValueError: weights that are unavailable, cannot be read or do not fit, a backbone that
            takes three channels or other sizes only, or one without drop path.
    """
    require(
        0 <= drop_path_rate < 1,
        f"drop_path_rate is {drop_path_rate}; give 0 to below 1, such as 0.1",
    )
    config = timm.get_pretrained_cfg(name)
    settings: dict[str, Any] = {"num_classes": 0}
    if drop_path_rate:
        settings["drop_path_rate"] = drop_path_rate
    if config is not None and config.fixed_input_size:
        settings["img_size"] = image_size
    if not pretrained:
        with refusing_size(image_size, name):
            backbone = _create(name, settings, in_channels)
        reset_zero_init_norms(backbone)
        return backbone
    path = find_imagenet_weights(name) if pretrained is True else Path(pretrained)
    tensors = read_checkpoint(path).tensors
    state = {key.removeprefix("module."): value for key, value in tensors.items()}
    overlay = {"state_dict": _in_timm_names(state, path=path, name=name)}
    with refusing_size(image_size, name):
        try:
            backbone = _create(
                name, {"pretrained": True, "pretrained_cfg_overlay": overlay, **settings}, 3
            )
        except (RuntimeError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{path} does not hold weights of {name}: {reason[:200]}") from error
    _check_filled(backbone, overlay["state_dict"], path=path, name=name)
    if in_channels != 3:
        adapted = _create(name, settings, in_channels)
        adapted.load_state_dict(average_first_layer(backbone.state_dict(), adapted))
        backbone = adapted
    mark_origin(backbone, weights_origin(name, path, is_published=pretrained is True))
    return backbone


def backbone_for(args: ModelArgs, spec: ModelSpec, name: str) -> nn.Module:
    """A timm backbone with pooled features, for what the spec says the network sees."""
    return create_backbone(
        name,
        pretrained=args.pretrained,
        image_size=spec.image_size,
        in_channels=spec.snippet.in_channels,
        drop_path_rate=args.drop_path_rate,
    )


def pixel_facts(backbone: nn.Module) -> dict[str, Any]:
    """How the backbone's published weights expect pixels, as fields of `ModelSpec`.

    >>> import timm
    >>> pixel_facts(timm.create_model("resnet18"))["mean"]
    (0.485, 0.456, 0.406)
    """
    config = getattr(backbone, "default_cfg", None) or {}
    facts: dict[str, Any] = {
        name: tuple(config[name]) for name in ("mean", "std") if config.get(name) is not None
    }
    for name in ("channel_order", "flow_mean"):
        if hasattr(backbone, name):
            facts[name] = getattr(backbone, name)
    return facts


@contextmanager
def refusing_size(size: int, network: nn.Module | str) -> Iterator[None]:
    """What a backbone raises within the block on images of this size, as one line for the user.

    Args:
        size: height and width of the images.
        network: the backbone, or its name in timm; the size of its published weights is named.
    """
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        *_, published = _published_size(network) or (size,)
        example = "" if published == size else f", such as {published}"
        raise ValueError(
            f"the backbone does not run on images of {size} pixels: {first_line(error)}; give an "
            f"image_size that it takes{example}"
        ) from error


def _published_size(network: nn.Module | str) -> tuple[int, int, int] | None:
    """Channels, height and width of the images that a backbone's published weights take."""
    if isinstance(network, str):
        return getattr(timm.get_pretrained_cfg(network), "input_size", None)
    return (getattr(network, "default_cfg", None) or {}).get("input_size")


def count_features(backbone: nn.Module, spec: ModelSpec) -> int:
    """D of the backbone's features, by running it: timm's attributes differ by family.

    Raises:
        ValueError: a backbone that does not run on the spec's images, or whose features are not
            pooled.
    """
    size, channels = spec.image_size, spec.snippet.in_channels
    images = torch.zeros(clip_length(backbone), channels, size, size)
    with refusing_size(size, backbone), evaluating(backbone), torch.no_grad():
        shape = backbone(images.to(next(backbone.parameters()))).shape
    if len(shape) != 2:
        raise ValueError(
            f"the backbone gives {tuple(shape)} for one image; features are (N, D), pool them first"
        )
    return shape[1]


def average_first_layer(state: StateDict, network: nn.Module) -> StateDict:
    """RGB weights for a network that is the same except for the channels C that it takes.

    Weights of a convolution over 3 channels that has C in the network are averaged over the 3 and
    repeated C times; all others are returned unchanged.

    >>> state = {"weight": torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1)}
    >>> average_first_layer(state, nn.Conv2d(10, 1, 1))["weight"].shape
    torch.Size([1, 10, 1, 1])
    >>> average_first_layer(state, nn.Conv2d(10, 1, 1))["weight"].unique()
    tensor([3.])
    """
    target = network.state_dict()
    return {
        key: value.mean(dim=1, keepdim=True).expand_as(target[key]).contiguous()
        if key in target and _differs_in_channels(value, target[key])
        else value
        for key, value in state.items()
    }


def _differs_in_channels(rgb: Tensor, target: Tensor) -> bool:
    """Whether two weights are those of convolutions, over 3 channels and over another number."""
    return (
        rgb.ndim == target.ndim == 4
        and rgb.shape[1] == 3 != target.shape[1]
        and (rgb.shape[0], rgb.shape[2:]) == (target.shape[0], target.shape[2:])
    )


def _create(name: str, settings: dict[str, Any], in_channels: int) -> nn.Module:
    if in_channels != 3:
        settings = {"in_chans": in_channels, **settings}
    try:
        backbone = timm.create_model(name, **settings)
    except (TypeError, AssertionError) as error:
        if "'drop_path_rate'" in str(error):  # an unexpected keyword argument
            raise _without_drop_path(name) from error
        if in_channels == 3:
            raise
        raise ValueError(
            f"{name} cannot be made for {in_channels} channels ({error}); choose another backbone"
        ) from error
    paths = [module for module in backbone.modules() if isinstance(module, DropPath)]
    if settings.get("drop_path_rate") and not any(path.drop_prob for path in paths):
        raise _without_drop_path(name)
    return backbone


def _without_drop_path(name: str) -> ValueError:
    return ValueError(
        f"{name} has no drop path in timm: leave drop_path_rate out, or choose another backbone"
    )


def _check_filled(backbone: nn.Module, state: StateDict, *, path: Path, name: str) -> None:
    """Refuse a file that left some of the backbone's weights at their random values.

    timm ignores missing weights, and may rename and reshape others, so that weights are searched by
    name first and then by value.
    """
    parameters = dict(backbone.named_parameters())
    if parameters.keys() <= state.keys():
        return
    values: dict[int, list[Tensor]] = {}
    for tensor in state.values():
        values.setdefault(tensor.numel(), []).append(tensor.flatten())
    unfilled = [
        key
        for key, parameter in parameters.items()
        if not any(
            torch.equal(parameter.detach().flatten(), value.to(parameter.dtype))
            for value in values.get(parameter.numel(), ())
        )
    ]
    if unfilled:
        raise ValueError(
            f"{path} holds {len(parameters) - len(unfilled)} of the {len(parameters)} weights of "
            f"{name} ({unfilled[0]} is missing); give weights of this backbone"
        )


def reset_zero_init_norms(backbone: nn.Module) -> None:
    """Set norm weights that are initialised to zero to one.

    Some networks zero the last norm of each residual branch, which helps training on images. A
    temporal operation inside a branch would then have no effect at first, and learn late.
    """
    for module in backbone.modules():
        if not isinstance(module, nn.BatchNorm2d) or not module.affine:
            continue
        if not module.weight.is_meta and not module.weight.any():
            nn.init.ones_(module.weight)


def _in_timm_names(state: StateDict, *, path: Path, name: str) -> StateDict:
    """Weights of two kinds by names that timm knows; any others are returned unchanged.

    Those of CLIP's image network by itself are named as in the whole CLIP. EfficientNet-PyTorch has
    timm's weights in the same order, though under other names and with the blocks counted from the
    first (`_blocks.3`) and not by stage (`blocks.2.0`).

    Raises:
        ValueError: the weights are not those of the backbone.
    """
    if "class_embedding" in state:
        return {f"visual.{key}": value for key, value in state.items()}
    if "_conv_stem.weight" not in state:
        return state
    with torch.device("meta"):
        expected = timm.create_model(name).state_dict()
    if [value.shape for value in state.values()] != [value.shape for value in expected.values()]:
        raise ValueError(
            f"{path} does not hold weights of {name}, but those of another EfficientNet"
        )
    return dict(zip(expected, state.values(), strict=True))
