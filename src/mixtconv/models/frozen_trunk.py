"""The frozen trunk of a recognizer, as the image network was trained, and what is trained on it.

The trunk is the 2D network without what was put into it. Trained are the temporal parts, which are
the modules that were put in, a head on its features, and the last layer. A frozen trunk

- stays in evaluation mode: its normalisations keep their statistics, nothing in it is dropped;
- takes no gradients, and before the first trained place nothing is kept for the backward pass: it
  follows by itself where nothing requires a gradient. Behind that place frozen convolutions and
  normalisations keep no input (see `input_free.py`);
- is known by the SHA-256 of its weights (`hash_tensors`), so that a model file may hold the trained
  part alone and say where the rest comes from (`WeightsOrigin`, see `file.py`).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from mixtconv.models.field_types import require_type
from mixtconv.models.input_free import CONVOLUTIONS, keep_no_input
from mixtconv.models.trunk import Trunk
from mixtconv.models.wrappers.wrapping import WrappedModule

if TYPE_CHECKING:
    from mixtconv.models.sharing import HubMixin

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
_LAYERS = (_ConvNd, nn.Linear, *_NORMS)
"""Layers whose weights are as published. Others are computed as the network is made, such as
position embeddings, which are interpolated for the size of the pictures."""
_COUNTER = "num_batches_tracked"
"""Of normalisation; nothing in evaluation depends on it."""
_HALF_LAYERS = (*CONVOLUTIONS, nn.Linear)
"""Layers that autocast runs in half precision whole."""


@dataclass(frozen=True)
class WeightsOrigin:
    """Where the weights of a 2D network come from."""

    name: str
    """timm's name with its tag."""
    source: str
    """Repository of the hub, installed package, or name of the file."""
    revision: str | None = None
    """Commit of the repository, or version of the package, where known."""
    file: str | None = None
    """Path of the file if one was given; None for published weights."""

    @property
    def commit(self) -> str | None:
        """The commit, of weights from a repository of the hub."""
        return self.revision if "/" in self.source and self.file is None else None

    def __str__(self) -> str:
        revision = f" at revision {self.revision}" if self.revision else ""
        return f"{self.name} of {self.source}{revision}"


@dataclass(frozen=True)
class FrozenTrunk:
    """A trunk by its weights, and where they come from."""

    origin: WeightsOrigin
    sha256: str
    """Of its weights in full precision."""
    held: str
    """Of its weights as they are held, perhaps in half precision."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON in the metadata of a model file."""
        return {**asdict(self.origin), "sha256": self.sha256}

    @classmethod
    def from_dict(cls, values: Any) -> "FrozenTrunk":
        """Undo `to_dict`.

        Raises:
            ValueError: values that are missing, unknown or of another type.
        """
        require_type("trunk", values, dict)
        hints = {field.name: field.type for field in fields(WeightsOrigin)} | {"sha256": str}
        if values.keys() != hints.keys():
            raise ValueError(f"trunk has {sorted(values)}; it says {', '.join(hints)}")
        for name, hint in hints.items():
            require_type(name, values[name], hint)
        origin = WeightsOrigin(**{name: values[name] for name in hints if name != "sha256"})
        return cls(origin, values["sha256"], values["sha256"])


def is_unchanged(model: "HubMixin") -> bool:
    """Whether the weights of the trunk are those that were noted when it was frozen."""
    return model.frozen_trunk is not None and hash_trunk(model) == model.frozen_trunk.held


def mark_origin(network: nn.Module, origin: WeightsOrigin) -> None:
    """Note at a network where its weights come from."""
    vars(network)["weights_origin"] = origin


def find_origin(model: nn.Module) -> WeightsOrigin | None:
    """Where the 2D weights of a recognizer come from; None for random or changed ones."""
    found = (vars(module).get("weights_origin") for module in model.modules())
    return next((origin for origin in found if origin is not None), None)


# what is trunk and what is trained


def inserted_parts(network: nn.Module) -> Iterator[nn.Module]:
    """The modules that were put into a 2D network, in the order of its modules.

    They are what wrapped modules hold beside the module (`TemporalWrapper`, `NonLocalOutput`), and
    adapters, the children called `adapter` or `adapter_...`.
    """
    for module in network.modules():
        for name, child in module.named_children():
            is_beside = isinstance(module, WrappedModule) and name != "module"
            if is_beside or name.partition("_")[0] == "adapter":
                yield child


def trunk_modules(model: "HubMixin") -> Iterator[nn.Module]:
    """The 2D networks of a recognizer, or of one with a head on a feature map what is below it."""
    for owner, name in model.networks():
        network = owner.get_submodule(name)
        below_head: list[nn.Module] = [
            module for module in network.modules() if isinstance(module, Trunk)
        ]
        yield from below_head or [network]


def _frozen(model: "HubMixin") -> dict[Tensor, nn.Module]:
    """The parameters and buffers of the trunk, each with its module."""
    frozen: dict[Tensor, nn.Module] = {}
    for trunk in trunk_modules(model):
        trained = {each for part in inserted_parts(trunk) for each in part.modules()}
        for module in trunk.modules():
            if module in trained or isinstance(module, WrappedModule):
                continue  # what a wrapper itself has is put in, too
            frozen |= dict.fromkeys(_own_tensors(module), module)
    return frozen


def _own_tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def split_state(
    model: "HubMixin", state: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Divide a state dictionary into the weights of the trunk's layers and all others.

    Args:
        model: a recognizer, on any device.
        state: its own, or another one with the same names.
    """
    frozen = _frozen(model)
    own = model.state_dict(keep_vars=True)
    names = {
        name
        for name, tensor in own.items()
        if tensor in frozen and isinstance(frozen[tensor], _LAYERS)
    }
    trunk = {name: state[name] for name in state if name in names}
    return trunk, {name: state[name] for name in state if name not in names}


def trained_names(model: "HubMixin") -> set[str]:
    """What is not of the trunk, by its names in state dictionaries: as well in a plain TSN."""
    frozen = _frozen(model)
    return {name for name, each in model.state_dict(keep_vars=True).items() if each not in frozen}


def trained_parameters(model: "HubMixin") -> dict[str, nn.Parameter]:
    """The parameters that are trained on a frozen trunk, by name.

    Raises:
        ValueError: a recognizer in which nothing but the last layer would be trained.
    """
    frozen = _frozen(model)
    trained = {name: each for name, each in model.named_parameters() if each not in frozen}
    last = {
        name
        for name, module in model.named_modules()
        if name.rpartition(".")[2] == "head" and isinstance(module, nn.Linear)
    }
    if all(name.rpartition(".")[0] in last for name in trained):
        raise ValueError(
            f"--train temporal trains what relates the frames on a frozen backbone, and "
            f"{model.spec.name} has no parameters there, only a last layer: give another model, "
            "such as mstnet_ in place of tsn_ or tsm_, --train all, or --train head for a head "
            "on features"
        )
    return trained


# freezing


def freeze_trunk(model: "HubMixin") -> None:
    """Freeze the trunk of a recognizer, in place, and note its weights if they can be found again.

    Raises:
        ValueError: as `trained_parameters`.
    """
    trained = set(trained_parameters(model).values())
    for parameter in model.parameters():
        parameter.requires_grad_(parameter in trained)
    for module in set(_frozen(model).values()):
        keep_no_input(module)
    keep_trunk_evaluating(model)
    note_trunk(model)


def note_trunk(model: "HubMixin") -> None:
    """Note the weights of the trunk, unless they are random, as those of a frozen one."""
    origin = find_origin(model)
    if origin is not None:
        sha256 = hash_trunk(model)
        model.frozen_trunk = FrozenTrunk(origin, sha256, sha256)


def keep_trunk_evaluating(model: "HubMixin") -> None:
    """Set the trunk to evaluation mode, and what is trained in it to that of the recognizer."""
    for trunk in trunk_modules(model):
        trunk.eval()
        for part in inserted_parts(trunk):
            part.train(model.training)


def hold_in_half(model: "HubMixin", dtype: torch.dtype) -> None:
    """Hold the frozen layers in the half precision that autocast runs them in, in place.

    The result under autocast stays the same to the last bit: it rounds the weights in every pass.
    Normalisations stay as they are, and so does all that is trained. Only for weights that can be
    found again: what is rounded is lost, and no file of all weights can be written.
    """
    for module in set(_frozen(model).values()):
        if type(module) in _HALF_LAYERS:
            module.to(dtype)
    if model.frozen_trunk is not None:
        model.frozen_trunk = replace(model.frozen_trunk, held=hash_trunk(model))


# known by their weights


def hash_trunk(model: "HubMixin") -> str:
    """SHA-256 of the weights of the trunk's layers; see `hash_tensors`."""
    return hash_tensors(split_state(model, model.state_dict())[0])


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and float32 values, in the order of the names.

    Counters of normalisation are left out.

    >>> one, two = torch.zeros(2), torch.ones(3)
    >>> hash_tensors({"a": one, "b": two}) == hash_tensors({"b": two, "a": one})
    True
    >>> hash_tensors({"a": one, "b": two}) == hash_tensors({"a": one, "b": 2 * two})
    False
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if name.rpartition(".")[2] == _COUNTER:
            continue
        tensor = tensors[name].detach().cpu()
        values = tensor.float() if tensor.is_floating_point() else tensor
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()
