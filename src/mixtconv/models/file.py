"""The format of model files: safetensors, and in the metadata everything that using it needs.

The metadata key `mixtconv` holds JSON: the version that wrote the file, the `ModelSpec`, and notes
of the training run (its protocol and score). Of a recognizer with a frozen trunk the file may hold
the trained part alone; `trunk` then says which weights the trunk has, and where they come from.
Reading one cannot run code. `load_model` is in `systems/factory.py`, since it makes the recognizer
that a file describes.
"""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from huggingface_hub.constants import HF_HUB_CACHE
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mixtconv._atomic_write import refuse_unwritable, write_atomically
from mixtconv._names import first_few
from mixtconv._sorted_header import with_sorted_metadata
from mixtconv._version import __version__
from mixtconv.models.field_types import require_type
from mixtconv.models.frozen_trunk import FrozenTrunk, is_unchanged, split_state
from mixtconv.models.location import HUB_PREFIX, find_model_file
from mixtconv.models.spec import EVENTS_NOTE, METADATA_KEY, ModelSpec, is_exported

if TYPE_CHECKING:
    from mixtconv.models.sharing import HubMixin

_NoPairs = Literal["auto", "none"]
_SCORES = ("top1", "top5", "mean_class_accuracy", "mean_average_precision", "macro_f1")
_NUMBERS = (*_SCORES, "val_fraction")
_NOTES_READ = {
    **dict.fromkeys(_NUMBERS, float),
    "group": str,
    "background": float,
    "flip_pairs": list | _NoPairs,
    "frame_labels": bool,
    EVENTS_NOTE: dict,
    "calibration": dict,
}
"""Types of the notes that commands compute with; others are shown only."""


def save_model(
    model: "HubMixin",
    path: str | Path,
    *,
    notes: dict[str, Any] | None = None,
    trunk: Literal["auto", "whole"] = "auto",
) -> None:
    """Write a model file; an earlier file at `path` is replaced only by a complete one.

    Args:
        model: the recognizer.
        path: usually ends in `.safetensors`.
        notes: what else to store, such as the score and its protocol; anything that JSON holds. By
            default `model.notes`, which `load_model` reads from a file.
        trunk: `auto` leaves out the weights of a frozen trunk that can be found again and is as it
            was (`model.frozen_trunk`); `whole` stores all weights.

    Raises:
        ValueError: a recognizer that was optimised for inference: its weights are folded; one whose
            weights are not finite; or all of one whose trunk is held in half precision.
        OSError: the file cannot be written, for instance for lack of space.
    """
    if model.optimized:
        raise ValueError(
            "a recognizer from optimize_for_inference cannot be saved, its weights are folded into "
            "each other; save the one that it was made from"
        )
    description = {
        "version": __version__,
        "spec": model.spec.to_dict(),
        "notes": model.notes if notes is None else notes,
    }
    frozen, state = model.frozen_trunk, model.state_dict()
    if frozen is not None:
        if trunk == "auto" and is_unchanged(model):
            description["trunk"], state = frozen.to_dict(), split_state(model, state)[1]
        elif frozen.held != frozen.sha256:
            raise ValueError(
                f"{path} is not written: the trunk is held in half precision, and a file holds it "
                "in full; load the model again, or let trunk be 'auto'"
            )
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    refuse_lost_weights(tensors, f"{path} is not written: the recognizer has")
    metadata = {METADATA_KEY: json.dumps(description), "format": "pt"}
    write_atomically(Path(path), with_sorted_metadata(save(tensors, metadata=metadata)))


def write_notes(path: str | Path, notes: Mapping[str, Any], *, out: str | Path) -> None:
    """Write a model file with other notes; weights, spec and all other notes stay as they are.

    Args:
        path: the model file.
        notes: name -> what JSON holds; in place of a note of that name.
        out: the file to write, which may be the same: it is replaced by a complete one.

    Raises:
        ValueError: no model file of mixtconv.
        OSError: the file cannot be written.
    """
    read_metadata(path)
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, no mapping
    description = json.loads(metadata[METADATA_KEY])
    description["notes"] = {**description["notes"], **notes}
    metadata[METADATA_KEY] = json.dumps(description)
    write_atomically(Path(out), with_sorted_metadata(save(tensors, metadata=metadata)))


def file_to_write(model: str | Path, out: str | Path | None) -> Path:
    """The file for a model with other notes or weights: `out`, or its own; of a link its target.

    It is refused before the long work.

    Raises:
        ValueError: a model of the hub or in its cache, or a file that is not a model.
        OSError: it cannot be written.
    """
    if str(model).startswith(HUB_PREFIX) and out is None:
        raise ValueError(f"{model} is on the hub: give --out, a file for the model with settings")
    target = (find_model_file(model) if out is None else Path(out)).resolve()
    if target.is_relative_to(Path(HF_HUB_CACHE).resolve()):
        raise ValueError(
            f"{target} is in the cache of the hub, whose files stay as they are: give --out"
        )
    if target.is_file():
        read_metadata(target)  # refuses what is no model file
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "it may not be written; give --out", str(target))
    refuse_unwritable(target)
    return target


def refuse_lost_weights(tensors: Mapping[str, Tensor], what: str) -> None:
    """Refuse weights that are not finite numbers.

    Args:
        tensors: the weights.
        what: what has them, as the beginning of the message.

    Raises:
        ValueError: some are not.
    """
    lost = [k for k, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if lost:
        raise ValueError(
            f"{what} weights that are not finite numbers ({first_few(lost)}): it has diverged in "
            "training; train it with a smaller --lr, or --clip-gradient"
        )


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The description in a model file, without its weights: `version`, `spec`, `notes`, `trunk`.

    `trunk` is None of a file that holds all weights, else it has `name`, `source`, `revision` and
    `file` of the trunk's weights and their `sha256`.

    Args:
        path: a model file, the folder of one, or `hf:owner/name[@revision]` for one of the Hugging
            Face hub.

    Raises:
        ValueError: a missing or damaged file, or one that is not a model of mixtconv; says what
            the file is instead.
    """
    path = find_model_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a model file of mixtconv: it {what_it_is(path)}; "
            "give a model.safetensors of a training run"
        ) from error
    if METADATA_KEY not in metadata:
        raise ValueError(
            f"{path} is a safetensors file, but not a model file of mixtconv: it holds weights "
            "without a description; give the model.safetensors of a training run"
        )
    try:
        about = json.loads(metadata[METADATA_KEY])
        ModelSpec.from_dict(about["spec"])
        notes = {name: value for name, value in dict(about["notes"]).items() if value is not None}
        for name in _NOTES_READ.keys() & notes.keys():
            require_type(name, notes[name], _NOTES_READ[name])
        if isinstance(notes.get("flip_pairs"), list):
            for pair in notes["flip_pairs"]:
                require_type("flip_pairs", tuple(pair), tuple[str, ...])
        trunk = about.get("trunk")
        if trunk is not None:
            FrozenTrunk.from_dict(trunk)
        version = str(about["version"])
        return {"version": version, "spec": about["spec"], "notes": notes, "trunk": trunk}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} has a description that is damaged or of another version of mixtconv: {error}"
        ) from error


def is_model_file(path: str | Path) -> bool:
    """Whether a path is a model file of mixtconv that can be read."""
    try:
        read_metadata(path)
    except ValueError:
        return False
    return True


def what_it_is(path: Path) -> str:
    """What a file is that safetensors cannot read, guessed from its first bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(9)
    if size == 0:
        return "is empty"
    if is_exported(path):
        return "is an exported model, which predict, stream and serve take and no other command"
    if start.startswith(b"PK"):
        return "is a zip archive, such as a torch checkpoint"
    if start[:1] == b"\x80":
        return "is a Python pickle, which is never opened here"
    if start[8:9] == b"{":
        return f"is a safetensors file cut short or damaged ({size} bytes are there)"
    return "is neither safetensors nor a torch checkpoint"
