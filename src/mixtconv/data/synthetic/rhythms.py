"""The further motions of the hard level: tempo, order, counting and rotation.

The actions are simple; their timing is the class. Times are chosen such that eight evenly spread
frames suffice to recognize it, and that without their order nothing does: the two orders of ball
and box show the same states for the same time, with either gap, and so do two lifts and three.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from mixtconv.data.synthetic.motions import (
    Draft,
    Interval,
    Plan,
    between,
    hump,
    moving_across,
    random_interval,
    smooth,
    travel,
)
from mixtconv.data.synthetic.scene import Actor


def spin_angle(draft: Draft, interval: Interval) -> np.ndarray:
    """Clockwise by 40 to 70 degrees in each eighth of the clip, without a pause. `(T,)`."""
    turn_an_eighth = draft.uniform(40.0, 70.0)
    eighths = 8 * (interval.end - interval.start)
    return draft.uniform(0, 360) + turn_an_eighth * eighths * interval.progress(draft.times)


def spinning(draft: Draft) -> Plan:
    """Clockwise in place, evenly, for most of the clip."""
    interval = random_interval(draft.rng, shortest=0.7)
    size = draft.object_size() * 1.7
    x, y = draft.uniform(0.25, 0.75), draft.uniform(0.25, 0.75)
    angle = spin_angle(draft, interval)
    subject = Actor(draft.pointed_look(), x, y, size, size, angle, shadow=True)
    return Plan((subject,), subject, interval)


def spinning_upwards(draft: Draft) -> Plan:
    """Clockwise, evenly, while going from the bottom to the top."""
    interval = random_interval(draft.rng, shortest=0.7)
    size = draft.object_size() * 1.5
    along, aside = travel(draft, interval)
    angle = spin_angle(draft, interval)
    subject = Actor(draft.pointed_look(), aside, 1.0 - along, size, size, angle, shadow=True)
    return Plan((subject,), subject, interval)


def speeding_up(draft: Draft) -> Plan:
    """Along a line of any direction, ever faster."""
    interval = random_interval(draft.rng, shortest=0.75)
    progress = interval.progress(draft.times) ** draft.uniform(2.4, 3.5)
    half = draft.uniform(0.28, 0.36)
    direction = draft.uniform(0, 2 * np.pi)
    dx, dy = half * np.cos(direction), half * np.sin(direction)
    x = between(0.5 - dx, 0.5 + dx, progress) + draft.uniform(-0.04, 0.04)
    y = between(0.5 - dy, 0.5 + dy, progress) + draft.uniform(-0.04, 0.04)
    subject = draft.thing(x, y, draft.object_size())
    return Plan((subject,), subject, interval)


def lifting_and_dropping(draft: Draft) -> Plan:
    """Slowly up, quickly down: half of the clip or more, then an eighth."""
    interval = random_interval(draft.rng, shortest=0.7, longest=0.9)
    drop = Interval(interval.end - draft.uniform(0.1, 0.14), interval.end)
    rise = Interval(interval.start, drop.start - draft.uniform(0.0, 0.06))
    up = smooth(rise.progress(draft.times)) - drop.progress(draft.times) ** 2
    bottom, top = draft.uniform(0.72, 0.84), draft.uniform(0.14, 0.28)
    subject = draft.thing(draft.uniform(0.2, 0.8), between(bottom, top, up), draft.object_size())
    return Plan((subject,), subject, interval)


def ball_before_box(draft: Draft, *, shortest_gap: float, longest_gap: float) -> Plan:
    """A ball is lifted and put down, and after a gap a box is, beside it on either side."""
    length = draft.uniform(0.19, 0.23)
    gap = draft.uniform(shortest_gap, longest_gap)
    start = draft.uniform(0.02, 0.98 - 2 * length - gap)
    first, second = Interval(start, start + length), Interval(start + length + gap, 0.0)
    second = Interval(second.start, second.start + length)
    bottom, height = draft.uniform(0.68, 0.82), draft.uniform(0.36, 0.46)
    left, right = draft.uniform(0.2, 0.34), draft.uniform(0.66, 0.8)
    ball_x, box_x = (left, right) if draft.rng.uniform() < 0.5 else (right, left)
    ball_y = bottom - height * hump(first.progress(draft.times))
    box_y = bottom - height * hump(second.progress(draft.times))
    ball = draft.thing(ball_x, ball_y, draft.object_size() * 1.1, look=draft.look("ball"))
    box = draft.thing(box_x, box_y, draft.object_size() * 1.1, look=draft.look("box"))
    return Plan((ball, box), ball, Interval(first.start, second.end))


def lifting_times(draft: Draft, *, count: int) -> Plan:
    """Up and down `count` times; the time aloft is the same for every count."""
    aloft, gap = draft.uniform(0.52, 0.58), draft.uniform(0.1, 0.12)
    length = aloft / count
    total = aloft + gap * (count - 1)
    start = draft.uniform(0.04, 0.96 - total)
    up = np.zeros_like(draft.times)
    for i in range(count):
        begin = start + i * (length + gap)
        up += hump(Interval(begin, begin + length).progress(draft.times))
    bottom, height = draft.uniform(0.7, 0.82), draft.uniform(0.4, 0.5)
    subject = draft.thing(draft.uniform(0.2, 0.8), bottom - height * up, draft.object_size())
    return Plan((subject,), subject, Interval(start, start + total))


RHYTHMS: dict[str, Callable[[Draft], Plan]] = {
    "moving across slowly": partial(moving_across, shortest=0.75, longest=1.0),
    "moving across quickly": partial(moving_across, shortest=0.2, longest=0.3),
    "spinning": spinning,
    "spinning upwards": spinning_upwards,
    "speeding up": speeding_up,
    "lifting and dropping": lifting_and_dropping,
    "ball soon before box": partial(ball_before_box, shortest_gap=0.0, longest_gap=0.06),
    "ball long before box": partial(ball_before_box, shortest_gap=0.42, longest_gap=0.5),
    "lifting twice": partial(lifting_times, count=2),
    "lifting three times": partial(lifting_times, count=3),
}
"""Motions by the name that `SyntheticClass.motion` gives."""
