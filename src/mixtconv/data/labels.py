"""What mirroring a video does to its label, read from the class names.

A mirrored clip of "Pushing something from left to right" shows "Pushing something from right to
left", and a hand that turned clockwise turns counterclockwise. Names are compared word by word,
case, punctuation and the way words are joined aside: `turn_left`, `TurnLeft` and "Turn left" are
the same words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

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
    """What a horizontal flip does to the labels of a list of classes."""

    target: tuple[int, ...]
    """Of each label, the label after a flip; itself where a flip changes nothing."""
    pairs: tuple[tuple[str, str], ...]
    """The classes that a flip exchanges, in the order of the classes."""
    unpaired: tuple[str, ...]
    """Classes that name a side but whose mirror image is no class: do not flip their clips."""


def mirror_labels(classes: Sequence[str]) -> MirrorLabels:
    """Find which classes a horizontal flip exchanges.

    The words left and right, leftward(s) and rightward(s), clockwise and counterclockwise (also
    anticlockwise, counter-clockwise) are exchanged, and the class of that name is the partner. A
    class without a partner, or with several, is `unpaired`, also where "right" means something else
    ("pulling it right out"): to leave a clip unflipped does no harm.

    >>> mirror_labels(["turn_left", "jump", "turn_right", "pull right out"])
    MirrorLabels(target=(2, 1, 0, 3), pairs=(('turn_left', 'turn_right'),),
                 unpaired=('pull right out',))
    """
    words = [_words(name) for name in classes]
    target = list(range(len(classes)))
    unpaired = []
    for label, own in enumerate(words):
        mirrored = tuple(_MIRRORED.get(word, word) for word in own)
        if mirrored == own:
            continue
        if words.count(own) == words.count(mirrored) == 1:
            target[label] = words.index(mirrored)
        else:
            unpaired.append(classes[label])
    pairs = [(classes[a], classes[b]) for a, b in enumerate(target) if a < b]
    return MirrorLabels(tuple(target), tuple(pairs), tuple(unpaired))


def _words(name: str) -> tuple[str, ...]:
    """Words of a class name in lower case, those for a direction of turning in one spelling.

    >>> _words("Turning_Hand Anti-Clockwise"), _words("TurnLeft2x")
    (('turning', 'hand', 'counterclockwise'), ('turn', 'left', '2', 'x'))
    """
    text = " ".join(match.lower() for match in _WORD.findall(name))
    text = re.sub(r"\b(counter|anti) clockwise\b", r"\1clockwise", text)
    return tuple(_SPELLINGS.get(word, word) for word in text.split())
