"""How a horizontal flip of a video changes its label, derived from the class names.

A mirrored clip of "Pushing something from left to right" shows "Pushing something from right to
left", and a hand that turned clockwise turns counterclockwise. Names are compared word by word,
regardless of case, punctuation and how words are joined: `turn_left`, `TurnLeft` and "Turn left"
are the same words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import yaml

from mixtconv._names import unknown_name

FlipPairs = str | Sequence[Sequence[str]]
"""`auto`, `none`, a YAML file of pairs, or the pairs themselves."""

# A word of a name; `TurnLeft` and `Left2Right` are split where case or kind changes.
_WORD = re.compile(r"\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")
_SPELLINGS = {"anticlockwise": "counterclockwise"}
_MIRRORED = {
    "left": "right",
    "leftward": "rightward",
    "leftwards": "rightwards",
    "clockwise": "counterclockwise",
}
_MIRRORED |= {right: left for left, right in _MIRRORED.items()}


@dataclass(frozen=True)
class MirrorLabels:
    """The effect of a horizontal flip on the labels of a list of classes."""

    target: tuple[int, ...]
    """The label after a flip, for each label; the label itself if a flip does not change it."""
    pairs: tuple[tuple[str, str], ...]
    """The classes that a flip exchanges, in the order of the classes."""
    unpaired: tuple[str, ...]
    """Classes that name a side but whose mirror image is not a class: do not flip their clips."""


def mirror_labels(classes: Sequence[str]) -> MirrorLabels:
    """Find which classes a horizontal flip exchanges.

    The words left and right, leftward(s) and rightward(s), clockwise and counterclockwise (also
    anticlockwise, counter-clockwise) are exchanged, and the class of that name is the partner. A
    class without a partner, or with several, is `unpaired`, even if "right" means something else
    ("pulling it right out"): not flipping a clip does no harm.

    >>> mirror_labels(["turn_left", "jump", "turn_right", "pull right out"])
    MirrorLabels(target=(2, 1, 0, 3), pairs=(('turn_left', 'turn_right'),),
                 unpaired=('pull right out',))
    """
    words = [_words(name) for name in classes]
    target = list(range(len(classes)))
    unpaired = []
    for label, name in enumerate(words):
        mirrored = tuple(_MIRRORED.get(word, word) for word in name)
        if mirrored == name:
            continue
        if words.count(name) == words.count(mirrored) == 1:
            target[label] = words.index(mirrored)
        else:
            unpaired.append(classes[label])
    pairs = [(classes[a], classes[b]) for a, b in enumerate(target) if a < b]
    return MirrorLabels(tuple(target), tuple(pairs), tuple(unpaired))


def given_pairs(classes: Sequence[str], pairs: Sequence[Sequence[str]]) -> MirrorLabels:
    """A horizontal flip that exchanges these classes and no others.

    A class that names a side and is in no pair is `unpaired`.

    Raises:
        ValueError: a pair that is not of two classes, a class in two pairs, or a name that is not a
            class (the message suggests near ones).

    >>> given_pairs(["open", "jump", "shut"], [("open", "shut")])
    MirrorLabels(target=(2, 1, 0), pairs=(('open', 'shut'),), unpaired=())
    """
    named = list(chain.from_iterable(pairs))
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError(f"the flip pair {list(pair)} has {len(pair)} names; give two")
    for name in named:
        if name not in classes:
            raise unknown_name("class in a flip pair", name, classes)
        if named.count(name) > 1:
            raise ValueError(f"{name!r} is in the flip pairs more than once; name it once")
    target = list(range(len(classes)))
    for first, second in pairs:
        a, b = classes.index(first), classes.index(second)
        target[a], target[b] = b, a
    unpaired = [n for n in classes if n not in named and not _MIRRORED.keys().isdisjoint(_words(n))]
    return MirrorLabels(
        tuple(target), tuple((first, second) for first, second in pairs), tuple(unpaired)
    )


def choose_pairs(classes: Sequence[str], pairs: FlipPairs) -> MirrorLabels:
    """The effect of a flip on labels: by the class names, none, or by the user's pairs.

    >>> choose_pairs(["turn_left", "turn_right"], "none").target
    (0, 1)
    """
    if pairs == "auto":
        return mirror_labels(classes)
    if pairs == "none":
        return MirrorLabels(tuple(range(len(classes))), (), ())
    return given_pairs(classes, read_pairs(pairs))


def read_pairs(pairs: FlipPairs) -> list[list[str]]:
    """The pairs of class names in a YAML file, a list of lists of two; pairs are returned as lists.

    Raises:
        ValueError: a file that does not exist or holds something else.
    """
    if not isinstance(pairs, str):
        return [list(pair) for pair in pairs]
    path = Path(pairs)
    if not path.is_file():
        raise ValueError(
            f"--flip-pairs is {pairs!r}; give auto, none, or a YAML file of pairs that exists"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, list) or not all(isinstance(pair, list) for pair in content):
        raise ValueError(
            f"{path} does not hold a list of pairs; write each as a line - [turn left, turn right]"
        )
    return [[str(name) for name in pair] for pair in content]


def _words(name: str) -> tuple[str, ...]:
    """Words of a class name in lower case, directions of rotation in one spelling.

    >>> _words("Turning_Hand Anti-Clockwise"), _words("TurnLeft2x")
    (('turning', 'hand', 'counterclockwise'), ('turn', 'left', '2', 'x'))
    """
    text = " ".join(match.lower() for match in _WORD.findall(name))
    text = re.sub(r"\b(counter|anti) clockwise\b", r"\1clockwise", text)
    return tuple(_SPELLINGS.get(word, word) for word in text.split())
