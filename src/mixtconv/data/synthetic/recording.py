"""One long recording of the synthetic dataset: actions, and between them nothing of interest.

Background, camera, light and noise are drawn as for a clip, and stay. Two things act: each looks
the same in all its actions. Before its action a thing fades in and rests, afterwards it rests where
it is and fades out. Others like it come and go without an action, and
one or two stay all the time. All of them stir now and then while they rest, and the camera is
sometimes jolted, so neither a thing that is there nor a motion tells of an action.

An action is the motion of its class and nothing else, from the first frame of its stretch, which
still shows the rest before it, to the last, which already shows the rest after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from mixtconv.data.synthetic.classes import (
    LevelName,
    find_class,
    level_of,
    recorded_classes,
)
from mixtconv.data.synthetic.clip import (
    ALL_MOTIONS,
    MAX_FRAMES,
    check_size,
    draw_camera,
    draw_distractors,
    harmless_change,
)
from mixtconv.data.synthetic.looks import Color, Look
from mixtconv.data.synthetic.motions import Draft, Plan, hump
from mixtconv.data.synthetic.resting import Stirring, stir
from mixtconv.data.synthetic.scene import (
    FRAMES_PER_SECOND,
    MARGIN,
    Actor,
    Camera,
    Values,
    draw_background,
    film,
)
from mixtconv.data.synthetic.timeline import (
    MAX_SECONDS,
    MIN_SECONDS,
    Action,
    Turn,
    draw_turns,
)

FADE_FRAMES = 6
"""Frames in which a thing appears, and in which it disappears."""

SHORTEST_VISIT = 2
"""Seconds for which a thing is there that does not act."""

SECONDS_PER_JOLT = 20
"""Seconds in which the camera is jolted once, on average."""

JOLT_PER_SHAKE = 5.0
"""Standard deviation of a jolt, of that of the camera's usual shake."""


@dataclass(frozen=True)
class Recording:
    """A recording that can be filmed, and its ground truth."""

    actions: tuple[Action, ...]
    """In the order of time."""
    performers: tuple[Actor, ...]
    """The thing that shows each action."""
    actors: tuple[Actor, ...]
    """All things, from the rearmost to the foremost."""
    background: Image.Image
    camera: Camera
    size: int
    """Height and width in pixels."""
    noise_seed: int

    @property
    def num_frames(self) -> int:
        """Number of frames, `FRAMES_PER_SECOND` of them a second."""
        return len(self.camera.x)

    def frames(self) -> Iterator[np.ndarray]:
        """Its frames, the same each time. `(H, W, 3)` uint8 each."""
        rng = np.random.default_rng(self.noise_seed)
        return film(self.background, self.actors, self.camera, size=self.size, rng=rng)


def draw_recording(
    *,
    seed: int | np.random.SeedSequence,
    level: LevelName = "easy",
    size: int = 64,
    seconds: int = 120,
    overlap: float = 0.1,
    class_names: Sequence[str] | None = None,
) -> Recording:
    """Draw one recording.

    Args:
        seed: Determines everything about the recording.
        level: `"easy"` or `"hard"`.
        size: Height and width in pixels, even, 32 to 512.
        seconds: Its length, 8 to 21600 seconds.
        overlap: Share of actions that overlap with another one, 0 to 1, on average.
        class_names: Some of `recorded_classes(level)`, with their partners; all if None.

    Raises:
        ValueError: If a setting is not possible.

    Example:
        >>> recording = draw_recording(seed=1, size=32, seconds=20)
        >>> len(list(recording.frames())), recording.actions[0]
        (480, Action(class_name='...', start=..., end=...))
    """
    check_size(size)
    check_times(seconds, overlap)
    chosen = recorded_classes(level, class_names)
    rng = np.random.default_rng(seed)
    turns = draw_turns(rng, [c.name for c in chosen], seconds=seconds, overlap=overlap)
    times = np.arange(seconds * FRAMES_PER_SECOND) / MAX_FRAMES
    draft = Draft(rng, times, level_of(level), hue=float(rng.uniform()))
    camera = _jolted(draw_camera(draft), draft)
    background = draw_background(rng, side=2 * round(size * (1 + 2 * MARGIN) / 2))
    distractors = draw_distractors(draft)
    cast = _draw_cast(draft)
    everything = range(len(times))
    bystanders = [
        _rest(cast[int(rng.integers(len(cast)))], everything) for _ in range(rng.integers(1, 3))
    ]
    performers, visitors = _draw_stage(turns, cast, everything, level)
    # The larger ones are behind, so that two at a time are seen both.
    acting = sorted([*visitors, *performers], key=lambda actor: -float(np.max(actor.width)))
    actors = (*distractors, *bystanders, *acting)
    actions = tuple(action for turn in turns for action in turn)
    noise_seed = int(rng.integers(2**32))
    return Recording(actions, performers, actors, background, camera, size, noise_seed)


def check_times(seconds: int, overlap: float) -> None:
    """Refuse a length of recordings or a share of overlaps that is not possible."""
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise ValueError(
            f"seconds {seconds}: recordings must be of {MIN_SECONDS} to {MAX_SECONDS} seconds; "
            "120 is the default"
        )
    if not 0.0 <= overlap <= 1.0:
        raise ValueError(
            f"overlap {overlap}: it is the share of actions that overlap with another one; give 0 "
            "to 1"
        )


@dataclass(frozen=True)
class _Role(Draft):
    """A draft in which the subject looks the same each time."""

    usual_look: Look
    usual_pointed_look: Look
    usual_size: float

    def object_size(self) -> float:
        return self.usual_size

    def subject_color(self) -> Color:
        return self.usual_look.color

    def look(self, shape: str | None = None, *, plain: float = 0.5) -> Look:
        return replace(self.usual_look, shape=shape or self.usual_look.shape)

    def pointed_look(self) -> Look:
        return self.usual_pointed_look


def _draw_cast(draft: Draft) -> tuple[_Role, _Role]:
    """The two things that act, of different hues."""

    def role(hue: float) -> _Role:
        own = replace(draft, hue=hue)
        look = own.look()
        pointed = replace(own.pointed_look(), color=look.color)
        return _Role(draft.rng, draft.times, draft.level, hue, look, pointed, own.object_size())

    return role(draft.hue), role(draft.hue + draft.uniform(0.35, 0.65))


def _draw_stage(
    turns: Sequence[Turn], cast: Sequence[_Role], everything: range, level: LevelName
) -> tuple[tuple[Actor, ...], list[Actor]]:
    """The things that act, in the order of the actions, and those that come and go between."""
    rng = cast[0].rng
    ends = [0, *(max(action.end for action in turn) for turn in turns)]
    starts = [*(turn[0].start for turn in turns), everything.stop]
    empty = [_split_gap(rng, range(a, b)) for a, b in zip(ends, starts, strict=True)]
    performers: list[Actor] = []
    for turn, before, after in zip(turns, empty[:-1], empty[1:], strict=True):
        shown = range(before.stop, after.start)
        members = rng.permutation(len(cast)).tolist()
        for action, member in zip(turn, members, strict=False):
            performers.append(_perform(action, cast[member], shown, level))
    visitors = [
        _rest(cast[int(rng.integers(len(cast)))], stretch, fades=True)
        for stretch in empty
        if len(stretch) >= SHORTEST_VISIT * FRAMES_PER_SECOND and rng.uniform() < 0.5
    ]
    return tuple(performers), visitors


def _split_gap(rng: np.random.Generator, gap: range) -> range:
    """The part of a gap in which neither the thing before it is there nor the one after it."""
    shares = rng.uniform(size=3)
    shares /= shares.sum()
    spare = len(gap) - 2 * FADE_FRAMES
    stay, come = (FADE_FRAMES + int(spare * shares[i]) for i in (0, 2))
    return range(gap.start + stay, gap.stop - come)


def _perform(action: Action, role: _Role, shown: range, level: LevelName) -> Actor:
    """The thing that shows an action, with its rest before and after."""
    description = find_class(action.class_name, level)
    motion, rng = ALL_MOTIONS[description.motion], role.rng
    seed = int(rng.integers(2**63))

    def plan_at(times: np.ndarray) -> Plan:
        return motion(replace(role, rng=np.random.default_rng(seed), times=times))

    # A motion takes a part of its clip, which times do not change: this part is the action.
    interval = plan_at(np.zeros(2)).interval
    plan = plan_at(np.linspace(interval.start, interval.end, action.num_frames))
    assert plan.actors == (plan.subject,), "levels.yaml records motions of one thing"
    subject = plan.subject
    flip, reverse = harmless_change(description, rng)
    if description.flipped != flip:
        subject = replace(subject, x=1.0 - subject.x, angle=-subject.angle)
    last = action.num_frames - 1
    moments = np.clip(np.arange(shown.start, shown.stop) - action.start, 0, last)
    if description.run_backwards != reverse:
        moments = last - moments

    def held(values: Values) -> Values:
        return values[moments] if isinstance(values, np.ndarray) else values

    actor = replace(
        subject,
        x=held(subject.x),
        y=held(subject.y),
        width=held(subject.width),
        height=held(subject.height),
        angle=held(subject.angle),
    )
    stirring = Stirring.none(len(shown))
    stir(role, stirring, range(FADE_FRAMES, action.start - shown.start))
    stir(role, stirring, range(action.end - shown.start, len(shown) - FADE_FRAMES))
    return replace(stirring.applied_to(actor), shown=shown, opacity=_fades(len(shown)))


def _rest(role: _Role, shown: range, *, fades: bool = False) -> Actor:
    """A thing that does not act, somewhere in the frame."""
    x, y = role.uniform(0.15, 0.85), role.uniform(0.15, 0.85)
    look = role.look() if role.rng.uniform() < 0.5 else role.pointed_look()
    stirring = Stirring.none(len(shown))
    stir(role, stirring, shown if not fades else range(FADE_FRAMES, len(shown) - FADE_FRAMES))
    actor = stirring.applied_to(role.thing(x, y, role.object_size(), look=look))
    return replace(actor, shown=shown, opacity=_fades(len(shown))) if fades else actor


def _fades(num_frames: int) -> np.ndarray:
    """Opacity of a thing that appears and disappears. `(T,)`."""
    frames = np.arange(num_frames)
    return np.minimum(1.0, np.minimum(frames + 1, num_frames - frames) / (FADE_FRAMES + 1))


def _jolted(camera: Camera, draft: Draft) -> Camera:
    """The camera with a few short jolts at any time."""
    x, y = camera.x.copy(), camera.y.copy()
    deviation = JOLT_PER_SHAKE * draft.level.shake
    for start in range(0, len(x), SECONDS_PER_JOLT * FRAMES_PER_SECOND):
        at = start + int(draft.rng.integers(SECONDS_PER_JOLT * FRAMES_PER_SECOND))
        length = int(draft.rng.integers(8, 20))
        for values in (x, y):
            jolt = draft.rng.normal(0.0, deviation, length) * hump(np.linspace(0.0, 1.0, length))
            part = values[at : at + length]  # of a jolt at the end, as much as there is
            part += jolt[: len(part)]
    return replace(camera, x=np.clip(x, -MARGIN, MARGIN), y=np.clip(y, -MARGIN, MARGIN))
