"""How a horizontal flip of a video changes its label, derived from the class names.

A mirrored clip of "Pushing something from left to right" shows "Pushing something from right to
left", and a hand that turned clockwise turns counterclockwise. Names are compared word by word,
regardless of case, punctuation and how words are joined: `turn_left`, `TurnLeft` and "Turn left"
are the same words. Sides are known in the words of some thirty languages, joined to others
(`swipeleft`), and as abbreviations (`turn_L`, `LtoR`, `ccw`).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain, product
from pathlib import Path

import yaml

from mixtconv._names import composed, unknown_name
from mixtconv.data.listing import Label

FlipPairs = str | Sequence[Sequence[str]]
"""`auto`, `none`, a YAML file of pairs, or the pairs themselves."""

Pairs = Sequence[tuple[str, str]]
"""Words and their opposites, in both directions."""


@dataclass(frozen=True)
class _Vocabulary:
    """What `mirror_words.yaml` holds."""

    phrases: dict[str, str]
    sure: dict[str, list[str]]
    perhaps: dict[str, list[str]]
    within_for_sure: Pairs
    within: Pairs
    anywhere: Pairs
    other_words: frozenset[str]


@cache
def _vocabulary() -> _Vocabulary:
    text = (files("mixtconv.data") / "mirror_words.yaml").read_text(encoding="utf-8")
    words = yaml.safe_load(composed(text))
    return _Vocabulary(
        phrases=words["phrases"],
        sure=_by_word(_pairs(", ".join(words["sides"].values()))),
        perhaps=_by_word(_pairs(words["perhaps"])),
        within_for_sure=_pairs(words["within"][0]),
        within=_pairs(words["within"][1]),
        anywhere=_pairs(words["anywhere"]),
        other_words=frozenset(words["other_words"].split()),
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    """The pairs of words in a list of them, in both directions."""
    pairs = [pair.split() for pair in text.split(",")]
    return [(a, b) for first, second in pairs for a, b in ((first, second), (second, first))]


def _by_word(pairs: Pairs) -> dict[str, list[str]]:
    swaps: dict[str, list[str]] = {}
    for word, mirrored in pairs:
        swaps.setdefault(word, []).append(mirrored)
    return swaps


@dataclass(frozen=True)
class MirrorLabels:
    """The effect of a horizontal flip on the labels of a list of classes."""

    target: tuple[int, ...]
    """The label after a flip, for each label; the label itself if a flip does not change it."""
    pairs: tuple[tuple[str, str], ...]
    """The classes that a flip exchanges, in the order of the classes."""
    unpaired: tuple[str, ...]
    """Classes that name a side but whose mirror image is not a class: do not flip their clips."""

    def mirrored(self, label: Label) -> Label:
        """The label of a clip after a flip.

        >>> mirror = mirror_labels(["turn_left", "jump", "turn_right"])
        >>> mirror.mirrored(0), mirror.mirrored((1, 1, 0))
        (2, (0, 1, 1))
        """
        if isinstance(label, int):
            return self.target[label]
        return tuple(label[place] for place in self.target)


def mirror_labels(classes: Sequence[str]) -> MirrorLabels:
    """Find which classes a horizontal flip exchanges.

    The partner of a class is the one whose name has the opposite of each of its sides, such as left
    and right, in whatever language, east and west, clockwise and counterclockwise. A class without
    a partner, or with several, is `unpaired`, even if "right" means something else ("pulling it
    right out"): not flipping a clip does no harm. Words that often mean something else (`E`, `sol`)
    name a side only where the partner is a class, and single letters (`turn_L`) only where no
    third letter takes their place, as in classes that are an alphabet.

    >>> mirror_labels(["turn_left", "jump", "turn_right", "pull right out"])
    MirrorLabels(target=(2, 1, 0, 3), pairs=(('turn_left', 'turn_right'),),
                 unpaired=('pull right out',))
    >>> mirror_labels(["nach links", "nach rechts", "向左", "向右", "LtoR", "RtoL"]).target
    (1, 0, 3, 2, 5, 4)
    >>> mirror_labels(["sign_L", "sign_M", "sign_R"]).pairs
    ()
    """
    words = [_words(name) for name in classes]
    counts = Counter(words)
    letters = _letters(words)
    partners: dict[int, set[int]] = {}
    unpaired = set()
    for label, name in enumerate(words):
        swaps = [_swaps(word) for word in name]
        # A word that is a side for sure is exchanged, another perhaps.
        options = [mirrored if sure else [*mirrored, word]
                   for word, (mirrored, sure) in zip(name, swaps, strict=True)]  # fmt: skip
        found = {
            words.index(other)
            for other in product(*options)
            if other != name and counts[other] == 1 and _is_of_sides(name, other, letters)
        }
        if counts[name] == 1 and len(found) == 1:
            partners[label] = found
        elif found or any(sure for _, sure in swaps) or _is_of_letter(name, letters):
            unpaired.add(label)
    target = list(range(len(classes)))
    for label, found in partners.items():
        (other,) = found
        if partners.get(other) == {label}:
            target[label] = other
        else:
            unpaired.add(label)
    pairs = [(classes[a], classes[b]) for a, b in enumerate(target) if a < b]
    return MirrorLabels(
        tuple(target), tuple(pairs), tuple(classes[label] for label in sorted(unpaired))
    )


def _swaps(word: str) -> tuple[list[str], bool]:
    """The opposites of a word, none if it names no side, and whether it names one for sure."""
    known = _vocabulary()
    if word in known.sure:
        return known.sure[word], True
    for first, second in known.anywhere:
        if first in word:
            return [_exchange(word, first, second)], True
    if word not in known.other_words:
        for first, second in (*known.within_for_sure, *known.within):
            if word.startswith(first) or word.endswith(first):
                is_sure = (first, second) in known.within_for_sure
                return [_exchange(word, first, second)], is_sure
    return known.perhaps.get(word, []), False


def _exchange(word: str, first: str, second: str) -> str:
    """A word with two parts exchanged wherever they are.

    >>> _exchange("lefttoright", "left", "right")
    'righttoleft'
    """
    other = {first: second, second: first}
    return re.sub(f"{first}|{second}", lambda match: other[match[0]], word)


def _letters(words: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], set[str]]:
    """The single letters that take each place of the names: names with a gap -> letters."""
    found: dict[tuple[str, ...], set[str]] = {}
    for name in words:
        for place, word in enumerate(name):
            if len(word) == 1:
                found.setdefault(_gap(name, place), set()).add(word)
    return found


def _is_of_sides(
    name: tuple[str, ...], other: tuple[str, ...], letters: dict[tuple[str, ...], set[str]]
) -> bool:
    """Whether two names differ by sides: of single letters, no third one may take their place."""
    for place, word in enumerate(name):
        if word != other[place] and len(word) == 1 and word.isascii():
            sides = {"l", "r"} if word in "lr" else {"n", "e", "s", "w"}
            if not letters[_gap(name, place)] <= sides:
                return False
    return True


def _is_of_letter(name: tuple[str, ...], letters: dict[tuple[str, ...], set[str]]) -> bool:
    """Whether a name seems to give a side by one letter beside other words."""
    return len(name) > 1 and any(
        word in ("l", "r") and letters[_gap(name, place)] <= {"l", "r"}
        for place, word in enumerate(name)
    )


def _gap(name: tuple[str, ...], place: int) -> tuple[str, ...]:
    return (*name[:place], "", *name[place + 1 :])


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
    unpaired = [n for n in classes if n not in named and any(_swaps(w)[1] for w in _words(n))]
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
    """The pairs of class names in a YAML file or text, a list of lists of two; pairs as lists.

    Every name is taken as it is written: `yes`, `null`, `010` and `1e3` are names.

    Raises:
        ValueError: a file that does not exist or holds something else.

    >>> read_pairs("[[yes, no], [010, 1e3]]")
    [['yes', 'no'], ['010', '1e3']]
    """
    if not isinstance(pairs, str):
        return [[composed(name) for name in pair] for pair in pairs]
    is_text = pairs.lstrip().startswith("[")
    path = Path(pairs)
    if not is_text and not path.is_file():
        raise ValueError(
            f"--flip-pairs is {pairs!r}; give auto, none, or a YAML file of pairs that exists"
        )
    place = "--flip-pairs" if is_text else str(path)
    try:
        text = pairs if is_text else path.read_text(encoding="utf-8-sig")
        content = yaml.load(text, Loader=yaml.BaseLoader)  # which keeps all scalars as text
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{place} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, list) or not all(
        isinstance(pair, list) and all(isinstance(name, str) for name in pair) for pair in content
    ):
        raise ValueError(
            f"{place} does not hold a list of pairs; write each as a line - [turn left, turn right]"
        )
    return [[composed(name) for name in pair] for pair in content]


def _words(name: str) -> tuple[str, ...]:
    """Words of a class name in lower case, directions of rotation in one spelling.

    >>> _words("Turning_Hand Anti-Clockwise"), _words("TurnLeft2x")
    (('turning', 'hand', 'counterclockwise'), ('turn', 'left', '2', 'x'))
    """
    text = composed(name)
    text = re.sub(r"(?<![A-Za-z])([LRlr])(to|To|TO)([LRlr])(?![A-Za-z])", r"\1 \2 \3", text)
    text = " ".join(_split(text)).casefold()
    for phrase, word in _vocabulary().phrases.items():
        text = re.sub(phrase, word, text)
    return tuple(text.split())


def _split(text: str) -> Iterator[str]:
    """Runs of letters with their accents, divided where `TurnLeft` and `HDLeft` are, and digits."""
    word = ""
    for place, character in enumerate(text):
        kind = _kind(character)
        following = _kind(text[place + 1]) if place + 1 < len(text) else ""
        before = _kind(word[-1]) if word else ""
        starts = (
            (kind == "digit") != (before == "digit")
            or (kind == "upper" and before != "upper")
            or (kind == before == "upper" and following == "lower")
        )
        if word and (not kind or (starts and kind != "mark")):
            yield word
            word = ""
        word += character if kind else ""
    if word:
        yield word


def _kind(character: str) -> str:
    """Kind of a character of a word; empty of what divides words."""
    if character.isdigit():
        return "digit"
    if unicodedata.category(character).startswith("M"):
        return "mark"
    if not character.isalpha():
        return ""
    return "upper" if character.isupper() else "lower" if character.islower() else "letter"
