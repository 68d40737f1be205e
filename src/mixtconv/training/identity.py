"""Which settings make two runs the same run, as resuming and the folders of an ablation ask.

The settings that decide a result are compared; where it runs and what it logs is free to change.
Loads without torch.
"""

from collections.abc import Collection
from dataclasses import fields
from typing import Any


def decisive_settings(settings: Any, *, num_processes: int) -> dict[str, Any]:
    """The settings that determine the result of a run, with the content of data and teachers.

    Of the processes, their number does, but not how they are divided among machines.

    Args:
        settings: a `TrainingSettings`.
        num_processes: processes that train together.
    """
    values = changed_fields(settings, always=_ALWAYS_DECISIVE)
    values["position"] = _value(settings, "position")
    free = _FREE_TO_CHANGE | _PROCESSES
    decisive = {name: value for name, value in values.items() if name not in free}
    return decisive | {"num_processes": num_processes}


def changed_settings(now: Any, earlier: Any, *, same_processes: bool) -> list[str]:
    """Names of the fields that differ from an earlier run's and would change its result.

    Args:
        now, earlier: a `TrainingSettings` each.
        same_processes: whether as many processes train together.
    """
    free = _FREE_TO_CHANGE | _PROCESSES if same_processes else _FREE_TO_CHANGE
    names = [field.name for field in fields(now) if field.name not in free]
    return [name for name in names if _value(now, name) != _value(earlier, name)]


def _value(settings: Any, name: str) -> Any:
    """A field's value; of a position that is not given that of the first versions."""
    value = getattr(settings, name)
    return "head" if name == "position" and value is None else value


def changed_fields(settings: Any, *, always: Collection[str]) -> dict[str, Any]:
    """The fields of a dataclass by name, without those that are at their defaults.

    What is named for its settings, as a folder of an ablation, so keeps its name when a later
    version knows more of them. The default of such a field must never change.

    Args:
        settings: the dataclass.
        always: fields that are there whatever their value, as they were from the beginning.
    """
    return {
        field.name: getattr(settings, field.name)
        for field in fields(settings)
        if field.name in always or getattr(settings, field.name) != field.default
    }


_PROCESSES = {"devices", "nodes"}

# Paths of the data and the teachers may change, since their content is compared.
_FREE_TO_CHANGE = {
    "data",
    "root",
    "teacher",
    "recipe",
    "out",
    "resume",
    "workers",
    "checkpoint_minutes",
    "wandb",
    "minutes",
    "whole_file",
    "cache",  # whether frames are cached is compared with the checkpoint
    "checkpoint_gradients",
}

# Those of the first versions, which left out none: with one more, ablations would train again.
_ALWAYS_DECISIVE = frozenset(
    {
        *("official_split", "class_order", "model", "weights", "num_frames", "image_size"),
        *("sampling", "frame_stride", "modality", "position", "stages", "block_step", "causal"),
        *("shift_fraction", "dropout", "feature_head", "feature_stage", "less_mean", "epochs"),
        *("batch_size", "accumulate", "optimizer", "lr", "scale_lr", "head_lr_factor"),
        *("first_layer_lr_factor", "partial_bn", "momentum", "weight_decay", "clip_gradient"),
        *("schedule", "milestones", "warmup_epochs", "label_smoothing", "mixup", "cutmix"),
        *("ema", "train", "crops", "head_lrs", "head_decays", "folds", "search_epochs", "flip"),
        *("flip_pairs", "crop_scales", "crop_places", "time_jitter", "color_jitter", "rotate"),
        *("val_fraction", "val_every", "keep", "patience", "protocol", "seed", "device"),
        *("precision", "skip_unreadable"),
    }
)
