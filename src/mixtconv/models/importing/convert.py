"""A file of published weights made into a recognizer with the logits of the original.

Inferred from the file are the number of classes, the kind and placement of the temporal operation,
kernel sizes and modality; of transformers also the image size, and the frames of a clip if they
have vectors. The user gives the rest: names of classes, sampling. The name of the file is not used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from mixtconv.models.backbone import create_backbone
from mixtconv.models.checkpoint_file import StateDict, read_checkpoint
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.file import is_model_file
from mixtconv.models.frozen_trunk import WeightsOrigin, find_origin, note_trunk, trained_names
from mixtconv.models.importing.contents import Contents
from mixtconv.models.importing.formats import recognize
from mixtconv.models.importing.matching import (
    CLIP_BACKBONES,
    COUNTER,
    PUBLISHED_BACKBONES,
    compare,
    find_backbone,
    find_placement,
    first_convolution,
    shapes_of,
)
from mixtconv.models.importing.transformers import (
    adapter_settings,
    check_activation,
    find_trunk,
    picture_settings,
)
from mixtconv.models.spec import SNIPPETS, AdapterSettings
from mixtconv.models.structure.residual_branches import find_residual_sites
from mixtconv.models.structure.token_blocks import find_token_blocks
from mixtconv.models.systems.factory import FAMILIES, can_be_made, create_model, split_name
from mixtconv.models.systems.registry import SYSTEMS
from mixtconv.ops import MixTConv, create_operation

NON_LOCAL_FAMILY = "tsm_nl"


@dataclass(frozen=True)
class ImportedModel:
    """A recognizer with published weights, and a report of the import."""

    model: VideoClassifier
    """In evaluation mode; its spec holds the inferred and the given settings."""
    format: str
    """Title of the file's format."""
    num_keys: int
    """Tensors in the file."""
    unused: tuple[str, ...]
    """Keys outside of backbone and last layer, which are not used."""
    not_in_file: tuple[str, ...]
    """The recognizer's weights that the file lacks and that keep their initial values: counters of
    normalisation, and temporal operations if the file is of a network for images."""
    other_entries: tuple[str, ...]
    """Names of entries of the file that are not weights."""
    trunk: WeightsOrigin | None
    """Origin of the backbone's weights, if the file holds the trained part alone."""
    inferred: tuple[str, ...]
    """Settings that were inferred from the file."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv import --format json` prints them."""
        spec = self.model.spec
        of_adapters = spec.fields_of(AdapterSettings)
        return {
            "format": self.format,
            "model": spec.name,
            "num_classes": spec.num_classes,
            "modality": spec.modality,
            "num_frames": spec.num_frames,
            "image_size": spec.image_size,
            "sampling": spec.sampling,
            "stages": list(spec.stages) if spec.stages is not None else None,
            "block_step": spec.block_step,
            **{name: value for name, value in of_adapters.items() if name in self.inferred},
            "keys": self.num_keys,
            "keys_used": self.num_keys - len(self.unused),
            "unused": list(self.unused),
            "not_in_file": list(self.not_in_file),
            "other_entries": list(self.other_entries),
            "trunk": str(self.trunk) if self.trunk is not None else None,
            "inferred": list(self.inferred),
        }


def import_weights(
    path: str | Path,
    name: str,
    *,
    classes: Sequence[str] | None = None,
    adapter_scale: float | None = None,
    trunk: str | Path | None = None,
    **settings: Any,
) -> ImportedModel:
    """Make a recognizer from a file of published weights.

    Args:
        path: a file in one of the formats of `formats.py`.
        name: the recognizer, as `create_model` takes it.
        classes: names of the classes in the order of the logits; by default "0", "1", ...
        adapter_scale: factor of the adapters beside MLPs in a file of AIM, which does not say it.
        trunk: weights of the backbone for a file of the trained part alone; by default the
            published ones of OpenAI's CLIP.
        settings: of `create_model`, those that the file does not say: `num_frames`, `image_size`,
            `sampling`, `shift_fraction`, ...

    Raises:
        ValueError: a file that cannot be read safely, or that is not of this recognizer; says what
            it is instead and what to do.
    """
    path = Path(path)
    if name in SYSTEMS:
        raise ValueError(
            f"{name} cannot be imported; imported are families over a 2D backbone, such as "
            "tsm_resnet50"
        )
    family, backbone_name = split_name(name)
    if is_model_file(path):
        raise ValueError(f"{path} is a model file of mixtconv already; use it as it is")
    # 1. What the file holds, and whether that is this recognizer.
    checkpoint = read_checkpoint(path)
    contents = Contents(path, _folded(path, checkpoint.tensors, adapter_scale))
    known: dict[str, Any] = picture_settings(contents)
    image_size = {**settings, **known}.get("image_size", 224)
    backbone = create_backbone(backbone_name, image_size=image_size)
    if contents.has_trunk:
        _check_backbone(contents, backbone, family, backbone_name)
    _check_family(contents, backbone, family, backbone_name)
    # 2. The settings that the file says; given ones may not contradict them.
    known |= _class_names(contents, classes)
    if contents.has_trunk:
        known |= _modality_settings(contents, backbone)
    known |= _placement_settings(contents, backbone, backbone_name, image_size)
    for key in sorted(known.keys() & settings.keys()):
        if settings[key] != known[key]:
            raise ValueError(f"{key} is {settings[key]}, but {path} has {known[key]}; leave it out")
    # 3. The recognizer with the file's weights.
    pretrained: bool | Path = False
    if not contents.has_trunk:
        backbone_name, pretrained = find_trunk(contents, backbone_name, trunk)
        name = f"{family}_{backbone_name}"
    elif trunk is not None:
        raise ValueError(f"{path} holds all of its weights: leave out trunk, {trunk}")
    model = create_model(name, **{**known, **settings}, pretrained=pretrained)
    note_trunk(model)  # a file of the trained part alone stays one
    not_in_file = _fill(model, contents)
    return ImportedModel(
        model=model.eval(),
        format=contents.form.title,
        num_keys=len(checkpoint.tensors),
        unused=contents.unused,
        not_in_file=not_in_file,
        other_entries=checkpoint.other_entries,
        trunk=find_origin(model),
        inferred=("num_classes", *(key for key in known if key != "classes")),
    )


def _folded(path: Path, tensors: StateDict, scale: float | None) -> StateDict:
    """The weights as recognizers here have them; refuse a factor that is missing or of no use."""
    form = recognize(tensors)
    if form.is_scaled and scale is None:
        raise ValueError(
            f"{path} is of {form.title}, and no file says the factor of its adapters beside the "
            "MLP: give --adapter-scale as it was trained, published are 1 for Something-Something "
            "and 0.5 else"
        )
    if scale is not None and not form.is_scaled:
        raise ValueError(
            f"adapter_scale is {scale}, and files of {form.title} have no such factor; leave it out"
        )
    return form.fold(tensors, 1.0 if scale is None else scale)


def _check_backbone(contents: Contents, backbone: nn.Module, family: str, name: str) -> None:
    """Refuse weights of another 2D network, and say which one."""
    expected = shapes_of(backbone.state_dict())
    shapes = {key: contents.shape(source) for key, source in contents.backbone.items()}
    first = first_convolution(expected)
    if len(shapes.get(first, ())) == 4:  # its input channels depend on the modality
        expected[first] = (expected[first][0], shapes[first][1], *expected[first][2:])
    mismatch = compare(shapes, expected)
    if not mismatch:
        return
    published = PUBLISHED_BACKBONES if contents.form.family is None else CLIP_BACKBONES
    other = find_backbone(shapes, published)
    if other is not None and other != name:
        raise ValueError(
            f"{contents.path} holds weights of {other}, not of {name}: give --model "
            f"{(_fitting_families(contents, other) or [family])[0]}_{other}"
        )
    raise ValueError(
        f"{contents.path} does not hold the weights of {name}: "
        f"{mismatch.describe(contents.backbone, name)}"
    )


def _check_family(contents: Contents, backbone: nn.Module, family: str, name: str) -> None:
    """Refuse a file of another temporal operation than the family's."""
    if contents.non_local and not contents.form.tells_attention:
        raise ValueError(
            f"{contents.path} has non-local blocks ({next(iter(contents.non_local.values()))}), "
            f"and files of {contents.form.title} do not state the kind; of these, only those "
            "of the temporal-shift-module repository are imported"
        )
    fitting = _fitting_families(contents, name)
    if contents.form.family is not None:
        check_activation(contents, backbone, name)
    if family in fitting or not contents.form.tells_operation:
        return
    if family == "tsm" and not contents.wrapped and not _wraps_convolutions(backbone):
        return
    advice = " or ".join(f"--model {each}_{name}" for each in fitting)
    raise ValueError(
        f"{contents.path} holds {contents.described}, so it is no {family}_{name}: "
        + (f"give {advice}" if fitting else "there is no model here that has these")
    )


def _fitting_families(contents: Contents, backbone: str) -> list[str]:
    """The families that have the file's operations in a backbone."""
    if contents.form.family is not None:
        return [contents.form.family]
    if contents.filters:
        operations = {
            family: name
            for family, name in FAMILIES.items()
            if name is not None and can_be_made(family, backbone)
        }
        return [
            family
            for family, name in operations.items()
            if _kernel_sizes(name) == contents.kernel_sizes
        ]
    if contents.non_local:
        return [NON_LOCAL_FAMILY] if contents.wrapped else []
    return ["tsm"] if contents.wrapped else ["tsn"]


def _kernel_sizes(operation: str) -> tuple[int, ...]:
    layer = create_operation(operation, 64)
    is_plain = isinstance(layer, MixTConv) and set(layer.dilations) == {1}
    return layer.kernel_sizes if is_plain else ()  # type: ignore[return-value]


def _wraps_convolutions(backbone: nn.Module) -> bool:
    """Whether the temporal operation is a wrapper of convolutions, which shows in their keys.

    Before the blocks of BN-Inception, the published code shifts without a module of its own.
    """
    sites = find_residual_sites(backbone)
    return all(isinstance(backbone.get_submodule(site.module), nn.Conv2d) for site in sites)


def _class_names(contents: Contents, classes: Sequence[str] | None) -> dict[str, Any]:
    if "weight" not in contents.head:
        raise ValueError(
            f"{contents.path} has no last layer, so it is no recognizer; to begin training with "
            "it, give it to mixtconv train --weights"
        )
    count = contents.shape(contents.head["weight"])[0]
    if classes is None:
        return {"classes": tuple(str(index) for index in range(count))}
    if len(classes) != count:
        raise ValueError(
            f"{contents.path} has {count} classes, but {len(classes)} are named; give the {count} "
            "names in the order of its logits"
        )
    return {"classes": tuple(classes)}


def _modality_settings(contents: Contents, backbone: nn.Module) -> dict[str, Any]:
    """The modality and its pixel settings, by the channels of the first convolution."""
    first = first_convolution(shapes_of(backbone.state_dict()))
    channels = contents.shape(contents.backbone[first])[1]
    fitting = [name for name, snippet in SNIPPETS.items() if snippet.in_channels == channels]
    if not fitting or fitting == ["rgbdiff"]:
        raise ValueError(
            f"the first layer of {contents.path} takes {channels} channels; imported are networks "
            "of pictures (3) and optical flow (10), as differences (15) are scaled otherwise here"
        )
    # Of 3 channels they are pictures: those of motion are not among the published networks.
    return {"modality": fitting[0], **contents.form.pixels.get(fitting[0], {})}


def _placement_settings(
    contents: Contents, backbone: nn.Module, backbone_name: str, image_size: int
) -> dict[str, Any]:
    """The placement of the temporal operation, by the convolutions that are wrapped."""
    if contents.form.family is not None:
        return adapter_settings(contents, find_token_blocks(backbone, image_size=image_size))
    if not contents.wrapped:
        return {}
    placement = find_placement(find_residual_sites(backbone), contents.wrapped)
    if placement is None:
        raise ValueError(
            f"{contents.path} has temporal operations before {len(contents.wrapped)} convolutions "
            f"({', '.join(contents.wrapped[:3])}, ...), which is neither every n-th block of "
            f"{backbone_name} nor of some of its stages, from the first"
        )
    return vars(placement)


def _fill(model: VideoClassifier, contents: Contents) -> tuple[str, ...]:
    """Load the file's weights into the recognizer; returns the names of those that it lacks."""
    # The name of every weight in the recognizer -> its key in the file.
    keys = {f"backbone.{name}": key for name, key in contents.backbone.items()}
    keys |= {f"backbone.{name}": key for name, key in contents.non_local.items()}
    keys |= {f"backbone.{name}": key for name, key in contents.inserted.items()}
    keys |= {f"head.{name}": key for name, key in contents.head.items()}
    for module, filters in contents.filters.items():
        for group, key in enumerate(filters.values()):
            keys[f"backbone.{module}.temporal.weights.{group}"] = key
    initial = model.state_dict()
    heads = {f"head.{name}" for name in ("weight", "bias")}
    added = trained_names(model) - heads
    if not contents.has_trunk:
        norm = {name for name in initial if name.startswith("backbone.norm.")}
        required = (
            added | heads | (norm if contents.form.trains_norm or norm & keys.keys() else set())
        )
    else:
        required = initial.keys() - (set() if contents.form.tells_operation else added)
    expected = {name: shape for name, shape in shapes_of(initial).items() if name in required}
    mismatch = compare({name: contents.shape(key) for name, key in keys.items()}, expected)
    if mismatch:
        raise ValueError(
            f"{contents.path} cannot be imported: {mismatch.describe(keys, model.spec.name)}"
        )
    state = {name: contents.tensors[key].reshape(initial[name].shape) for name, key in keys.items()}
    lacking = tuple(name for name in initial if name not in state) if contents.has_trunk else ()
    assert all(name.endswith(COUNTER) or name in added for name in lacking)
    model.load_state_dict(state, strict=False)
    return lacking
