"""BORIS: the project file (`.boris`), JSON with the events of all observations; see `boris.py`.

An event is time, subject, behaviour, modifiers, comment and more. Which behaviours are states is
said in the ethogram of the project.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

from mixtconv.data.annotations.boris import (
    MODIFIERS,
    NO_VIDEO,
    POINT,
    Observation,
    State,
    pair,
    to_annotations,
)
from mixtconv.data.annotations.documents import a_dict, a_list, a_text, exact
from mixtconv.data.annotations.segment import Annotations, Omissions
from mixtconv.data.listing import ListPlace


def is_project(content: Any) -> bool:
    """Whether content of JSON is a project of BORIS."""
    return isinstance(content, dict) and "behaviors_conf" in content and "observations" in content


def read_project(path: Path, content: Any) -> Annotations:
    """Read a project.

    Raises:
        ValueError: it is broken; the observation is named.
    """
    omissions = Omissions()
    states_of = _state_behaviors(path, content["behaviors_conf"])
    observations = a_dict(content["observations"], "observations", path)
    observed = {}
    states = []
    for number, (name, item) in enumerate(observations.items(), 1):
        place = ListPlace(path.name, number, "entry")
        fields = a_dict(item, f"observation {name!r}", place)
        events = a_list(fields.get("events", []), "events", place)
        observation = _observation(name, fields, place, omissions)
        if observation is None:
            omissions.add("observation", NO_VIDEO)
            continue
        observed[name] = (observation, place)
        pairs = []
        for event in events:
            values = a_list(event, "an event", place)
            if len(values) < 4:
                raise ValueError(
                    f"{place}: an event of {name!r} has {len(values)} values; it has time, "
                    "subject, behavior, modifiers; save the project again in BORIS"
                )
            time = exact(values[0], f"time of an event of {name!r}", place)
            behavior = a_text(values[2], f"behavior of an event of {name!r}", place)
            if behavior not in states_of:
                raise ValueError(
                    f"{place}: behavior {behavior!r} of {name!r} is not in the ethogram; add it in "
                    "BORIS and save"
                )
            if not states_of[behavior]:
                omissions.add("point event", POINT)
                continue
            subject, modifiers = (v if isinstance(v, str) else "" for v in (values[1], values[3]))
            omissions.add("modifier set", MODIFIERS, bool(modifiers))
            pairs.append(((behavior, subject, modifiers), time, place, None))
        pairs.sort(key=lambda each: each[1])
        for key, start, end, _ in pair(pairs, omissions):
            states.append(State(observation, key[0], key[1], start, end, place))
    return to_annotations(states, observed, omissions)


def _state_behaviors(path: Path, content: Any) -> dict[str, bool]:
    """The behaviours of the ethogram, each with whether it is a state."""
    ethogram = a_dict(content, "behaviors_conf", path)
    found = {}
    for item in ethogram.values():
        behavior = a_dict(item, "a behavior", path)
        kind = a_text(behavior.get("type"), "type of a behavior", path)
        found[a_text(behavior.get("code"), "code of a behavior", path)] = kind.lower().startswith(
            "state"
        )
    return found


def _observation(
    name: str, fields: dict[str, Any], place: ListPlace, omissions: Omissions
) -> Observation | None:
    """An observation; None if it is of no video."""
    if fields.get("type") != "MEDIA":
        return None
    players = [
        a_list(files, "files of a player", place)
        for files in a_dict(fields.get("file"), "file", place).values()
    ]
    playing = [[a_text(file, "a file", place) for file in files] for files in players if files]
    if not playing:
        return None
    omissions.add("further player", "times are those of the first", len(playing) - 1)
    lengths = _lengths(fields, place)
    offset = fields.get("time offset")
    return Observation(
        name,
        tuple(playing[0]),
        tuple(lengths.get(file) for file in playing[0]),
        Fraction(0) if offset in (None, "") else exact(offset, "time offset", place),
    )


def _lengths(fields: dict[str, Any], place: ListPlace) -> dict[str, Fraction]:
    info = a_dict(fields.get("media_info", {}), "media_info", place)
    lengths = a_dict(info.get("length", {}), "length", place)
    return {file: exact(value, f"length of {file!r}", place) for file, value in lengths.items()}
