"""Parts of messages: flags, near names, the first few of many, counts, times; refusing numbers.

Also the one form in which names are compared.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Sequence
from difflib import get_close_matches
from typing import Any

NOT_MEASURED = "\N{EN DASH}"
"""In place of a number that was not measured."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, breaks of lines, overrides of direction, and bytes that are not UTF-8."""


def composed(name: str) -> str:
    """A name with its accents composed (NFC), the form in which names are compared.

    Names that look the same may hold an accent as one character or as two: file systems and
    programs differ. So names of classes are composed wherever they are read; a file is opened under
    the name that it has.

    >>> len("cafe\u0301"), len(composed("cafe\u0301"))
    (5, 4)
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def flag(field_name: str) -> str:
    """The command-line flag of a field.

    >>> flag("num_frames")
    '--num-frames'
    """
    return "--" + field_name.replace("_", "-")


_FLAGS = re.compile(
    r"(?<!\S)mixtconv [a-z]+[^;:,()]*|(?<![^\s(,=])--([a-z]+(?:-[a-z]+)*)(?![\w/.])"
)
"""A command of the command line with its flags, or a flag; neither is part of a path or a name."""


def as_keywords(message: str, names: Container[str]) -> str:
    """A message with the names of settings in place of their flags, for a caller in Python.

    Commands to type stay as they are.

    Args:
        message: in the words of the command line.
        names: of the settings.

    >>> as_keywords("--num-frames is 0; give 1 or more", {"num_frames"})
    'num_frames is 0; give 1 or more'
    >>> as_keywords("mixtconv prepare --out DIR makes it; leave out --out", {"out"})
    'mixtconv prepare --out DIR makes it; leave out out'
    >>> as_keywords("/runs/set--lr/a.csv is empty; give --lr", {"lr"})
    '/runs/set--lr/a.csv is empty; give lr'
    """

    def name_of(found: re.Match[str]) -> str:
        name = (found[1] or "").replace("-", "_")
        return name if name in names else found[0]

    return _FLAGS.sub(name_of, message)


def require(condition: bool, message: str) -> None:
    """Raise a ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def refuse_below(smallest: float, settings: object, *names: str) -> None:
    """Raise a ValueError if a field of the settings is smaller; None stands for a default."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not value >= smallest:  # nor NaN
            raise ValueError(f"{flag(name)} is {value}; give {smallest} or more")


def refuse_unless(
    is_allowed: Callable[[Any], bool], allowed: str, settings: object, *names: str
) -> None:
    """Raise a ValueError if a field of the settings is not allowed; None stands for a default.

    Args:
        is_allowed: whether a value may be given.
        allowed: the values that may, in words.
        settings: holds the fields.
        names: of the fields.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and not is_allowed(value):
            raise ValueError(f"{flag(name)} is {value}; give {allowed}")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for an unknown name, with the most similar known names.

    >>> unknown_name("operation", "mixconv", ["mixtconv", "shift"])
    ValueError("unknown operation 'mixconv'; did you mean 'mixtconv'?")
    """
    known, name = sorted(known), name[:100]  # the time of comparing grows with the length
    near = get_close_matches(name, known, n=5, cutoff=0.5)
    if near:
        hint = "did you mean " + " or ".join(repr(match) for match in near) + "?"
    else:
        hint = "known are " + ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return ValueError(f"unknown {kind} {name!r}; {hint}")


def first_few(items: Sequence[object], *, count: int = 3, separator: str = ", ") -> str:
    """The first few items, and the number of the others.

    >>> first_few(["a", "b", "c", "d"], count=2)
    'a, b and 2 more'
    """
    more = len(items) - count
    text = separator.join(str(item) for item in items[:count])
    return f"{text} and {more} more" if more > 0 else text


def in_short(value: object) -> str:
    """A value as it was given to a function, in one short line.

    >>> in_short("a"), in_short(list(range(100)))
    ("'a'", '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16...')
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def first_line(error: BaseException) -> str:
    """The first line of an error's message without its stop, or the error's kind if it has none.

    >>> first_line(AssertionError("Sizes differ.\\n  Here.")), first_line(AssertionError())
    ('Sizes differ', 'AssertionError')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def count_of(number: int, thing: str) -> str:
    """A number with its noun, in the plural unless it is 1.

    >>> count_of(1, "line"), count_of(2, "class"), count_of(3, "entry")
    ('1 line', '2 classes', '3 entries')
    """
    if number == 1:
        return f"{number} {thing}"
    endings = {"s": "ses", "y": "ies"}
    return f"{number} {thing[:-1]}{endings.get(thing[-1], thing[-1] + 's')}"


def duration(seconds: float) -> str:
    """A time in its two largest units; a dash for one that was not measured (NaN).

    >>> duration(151), duration(7260), duration(8.25)
    ('2 min 31 s', '2 h 01 min', '8.2 s')
    """
    if not math.isfinite(seconds):
        return NOT_MEASURED
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def visible(text: str, *, keep: str = "") -> str:
    r"""A text with escapes in place of what would control the terminal.

    Args:
        text: any text, such as the name of a file.
        keep: characters that stay.

    >>> visible("a\x1b[31mb\u202ec\udce9"), visible("two\nlines", keep="\n")
    ('a\\x1b[31mb\\u202ec\\xe9', 'two\nlines')
    """
    return _CONTROLS.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte in the name of a file, as Python holds it
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
