"""What makes two runs the same, also for a version that knows more settings."""

import hashlib
import json
from dataclasses import dataclass, fields

from mixtconv.data.transforms import Jitter
from mixtconv.training.identity import changed_fields
from mixtconv.training.settings import TrainingSettings


@dataclass(frozen=True)
class LaterSettings(TrainingSettings):
    """Settings of a later version."""

    invented: float | None = 0.5


def test_folders_of_an_ablation_keep_the_names_that_they_had() -> None:
    """Hashes of the settings as they were before RandAugment, and before groups."""
    decisive = json.dumps(TrainingSettings("x").decisive(), sort_keys=True)
    assert hashlib.sha256(decisive.encode()).hexdigest()[:12] == "3b3b83903dbf"
    grouped = TrainingSettings("x", group="a", devices=2, mixup=0.3).decisive()
    decisive = json.dumps(grouped, sort_keys=True)
    assert hashlib.sha256(decisive.encode()).hexdigest()[:12] == "1f3ed0137cb8"


def test_a_setting_that_is_new_changes_nothing_at_its_default() -> None:
    before, later = TrainingSettings("x"), LaterSettings("x")
    assert later.decisive() == before.decisive()
    for value in (0.1, None):
        other = LaterSettings("x", invented=value)
        assert other.decisive() == {**before.decisive(), "invented": value}
        assert other.changed_from(later) == later.changed_from(other) == ["--invented"]


def test_every_setting_counts_or_is_free_to_change() -> None:
    """A value of its own for each field: those that count are in the dictionary of what decides."""
    settings = TrainingSettings("x")
    changed = {}
    for field in fields(TrainingSettings):
        other = TrainingSettings("x")
        object.__setattr__(other, field.name, "another")
        if field.name not in ("devices", "nodes"):
            changed[field.name] = bool(other.changed_from(settings))
            assert (other.decisive() != settings.decisive()) == changed[field.name], field.name
    free = {name for name, counts in changed.items() if not counts}
    assert free == {
        *("data", "root", "recipe", "out", "resume", "workers", "checkpoint_minutes", "wandb"),
        *("minutes", "cache", "checkpoint_gradients", "whole_file"),
        "teacher",  # whose content is compared
    }
    assert changed["rand_augment"] and changed["group"] and changed["layer_decay"]


def test_kept_features_keep_their_names() -> None:
    """Those of random crops are named for the changes, which were three at first."""
    first = ("time", "color", "degrees")
    assert changed_fields(Jitter(), always=first) == {"time": 0.0, "color": 0.0, "degrees": 0.0}
    assert changed_fields(Jitter(erasing=0.5), always=()) == {"erasing": 0.5}
