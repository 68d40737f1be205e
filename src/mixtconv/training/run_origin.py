"""What a run starts from, and what the checkpoint of a run that is resumed says of it."""

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from mixtconv.training.data import FRAMES_OF_VIDEOS


@dataclass(frozen=True)
class RunOrigin:
    """What a run starts from."""

    initial_weights: str
    """Origin of the weights."""
    frames: str
    """Which frames of the videos it sees, in words."""
    head: dict[str, Any] | None = None
    """Of a head on a frozen backbone, what was chosen: fields of `head_search.Candidate`."""
    trunk: dict[str, Any] | None = None
    """Of a frozen backbone whose weights can be found again, where and their hash."""
    teachers: list[dict[str, str | None]] | None = None
    """Of a student its teachers, their names and hashes."""


def frames_of_checkpoint(checkpoint: Path) -> str:
    """Which frames a run that is to be resumed has seen, `RunOrigin.frames`."""
    return str(_record_in(checkpoint).get("frames", FRAMES_OF_VIDEOS))


def refuse_other_teachers(
    checkpoint: Path | None, teachers: list[dict[str, str | None]] | None, *, out: str
) -> None:
    """Refuse teachers whose content is not that of a run that is to be resumed.

    Raises:
        ValueError: names the teacher that is another, missing or new.
    """
    if checkpoint is None:
        return
    before = _record_in(checkpoint).get("teachers") or []
    remedy = "or start another --out"
    for known, given in zip_longest(before, teachers or []):
        if given is None:
            raise ValueError(
                f"the run in {out} was begun with the teacher {known['model']}, which is not given "
                f"now: give it again, {remedy}"
            )
        if known is None:
            raise ValueError(
                f"the run in {out} was begun without the teacher {given['model']}: leave it out, "
                + remedy
            )
        if known["sha256"] != given["sha256"]:
            raise ValueError(
                f"the teacher {given['model']} is not what {known['model']} was when the run in "
                f"{out} was begun with it: resume it with the same, {remedy}"
            )


def begins_at_random(checkpoint: Path) -> bool:
    """Whether a run that is to be resumed was begun with random weights, which it holds."""
    return _record_in(checkpoint).get("initial_weights") == "random"


def seconds_of_checkpoint(checkpoint: Path) -> float:
    """Seconds that a run which is to be resumed was trained for."""
    return float(_record_in(checkpoint).get("seconds", 0.0))


def _record_in(checkpoint: Path) -> dict[str, Any]:
    state = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
    return state["callbacks"].get("RunRecord", {})
