"""Files of weights by others, read so that nothing in them can run.

These are safetensors and torch files, which torch's weights-only loader reads: zip archives, and
pickles from before torch 1.6. Checkpoints often hold a score as a NumPy scalar, which that loader
refuses; it is read as a stand-in that keeps no data, so that NumPy's code does not run either.
"""

import pickle
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import safe_globals

StateDict = dict[str, Tensor]

_NESTED = ("state_dict", "model")
"""Entries under which checkpoints keep their weights."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file of weights."""

    tensors: StateDict
    """The weights, named as in the file."""
    other_entries: tuple[str, ...]
    """Names of the other entries, such as `epoch`."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Tensors by name from a safetensors file or a torch file.

    Raises:
        ValueError: a missing or damaged file, one that holds objects whose reading could run code,
            or one without a dictionary of tensors.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}; give the path of a file of weights")
    content = _load(path)
    others: tuple[str, ...] = ()
    for name in _NESTED:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            others = (*others, *(str(key) for key in content if key != name))
            content = content[name]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} holds no dictionary of tensors; give a file of weights")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{path} holds no dictionary of tensors: {str(key)[:60]!r} is a "
                f"{type(value).__name__}; give a file of weights"
            )
    return Checkpoint(dict(content), others)


def _load(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with safe_globals(list(_STAND_INS)), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*TorchScript archive")  # an error follows
            return torch.load(path, map_location="cpu", weights_only=True)
    except (
        AttributeError,  # of torch's loader, for damaged pickles
        EOFError,
        IndexError,
        KeyError,
        RuntimeError,
        SafetensorError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        raise ValueError(f"{path} cannot be read as weights: {_reason(path, error)}") from error


def _reason(path: Path, error: Exception) -> str:
    text = " ".join(str(error).split())
    foreign = re.search(r"GLOBAL ([\w.]+)|function ([\w.]+)", text)
    if foreign and isinstance(error, pickle.UnpicklingError):
        name = foreign.group(1) or foreign.group(2)
        return (
            f"it holds {name}, and reading that could run code, so nothing was opened; where the "
            "file is trusted, save its state_dict alone: torch.save(checkpoint['state_dict'], ...)"
        )
    if "TorchScript" in text:
        return (
            "it is a TorchScript program, and reading that could run code, so nothing was opened; "
            "where the file is trusted, save its state_dict alone: "
            "torch.save(torch.jit.load(path).state_dict(), ...)"
        )
    size = path.stat().st_size
    return (
        f"it is cut short, damaged, or no file of weights ({size} bytes; {text[:100]}); copy it "
        "again, or give a .safetensors file or a torch file that holds tensors alone"
    )


class _StandIn:
    """Replaces an object in a pickle and keeps none of its data."""

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_STAND_INS = tuple(
    type(name, (_StandIn,), {"__module__": module, "__qualname__": name})
    for module, name in (
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy", "dtype"),
    )
)
"""Stand-ins under the modules and names of what they replace."""
