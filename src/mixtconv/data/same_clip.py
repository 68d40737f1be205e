"""What another model sees of a clip: the same video at the same time, in the form that it takes.

A student and its teacher may take different numbers of frames. The teacher then looks at the span
of time of the student's clip: at some of its frames, or also at frames between them (t = the
student's, x = the teacher's).

    t....t....t....t.....       4 frames of the student
    .....x.........x.....       2 frames of the teacher
    x.xx..x.x..x.x..x.x..       8 frames of the teacher
"""

from collections.abc import Sequence
from itertools import pairwise

from mixtconv.models.spec import PICTURES, ModelSpec


def sees_the_same(one: ModelSpec, other: ModelSpec) -> bool:
    """Whether two models take the same pixels of a clip, which each normalises itself.

    >>> spec = ModelSpec("tsn_resnet18", ("a",))
    >>> sees_the_same(spec, ModelSpec("tsm_resnet50", ("b",), modality="motion"))
    True
    """
    sizes = {(spec.num_frames, spec.image_size) for spec in (one, other)}
    return len(sizes) == 1 and reads_the_same(one, other)


def reads_the_same(one: ModelSpec, other: ModelSpec) -> bool:
    """Whether two models read the same of each place of a video, such as one picture."""
    pictures = all(spec.modality in PICTURES for spec in (one, other))
    return pictures or one.modality == other.modality


def places_in_span(
    places: Sequence[int], count: int, num_places: int, *, of_clip: int | None = None
) -> list[int]:
    """Places in a video that cover the time of a clip with another number of frames.

    Args:
        places: frames of the clip, or first frames of its snippets, in order; a clip that goes
            over the end of the video goes on at its start.
        count: how many are wanted.
        num_places: of the video, where these may be.
        of_clip: where those of the clip may be; fewer if its snippets are of more frames.

    Returns:
        The clip's own if as many are wanted, some of them if fewer, others between them if more.

    >>> places_in_span([2, 12, 22, 32], 2, 40)
    [12, 32]
    >>> places_in_span([2, 12, 22, 32], 8, 40)
    [0, 5, 10, 15, 20, 25, 30, 35]
    """
    lap = of_clip or num_places
    times, laps = [places[0]], 0
    for before, place in pairwise(places):
        laps += place < before
        times.append(place + laps * lap)
    wanted = [(step + 0.5) * len(times) / count - 0.5 for step in range(count)]
    if count <= len(times):
        found = [times[int(at + 0.5)] for at in wanted]
    else:
        found = [int(_between(times, at) + 0.5) for at in wanted]
    if laps:
        found = [place % lap for place in found]
    return [min(max(place, 0), num_places - 1) for place in found]


def _between(times: Sequence[int], at: float) -> float:
    """The time at a place between those of a list, or as far before or behind it."""
    if len(times) == 1:
        return times[0]
    first = min(max(int(at // 1), 0), len(times) - 2)
    return max(0.0, times[first] + (at - first) * (times[first + 1] - times[first]))
