"""Values of files and callers, checked against the types of the fields that they are for."""

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

from mixtconv._names import require


def require_types(settings: Any) -> None:
    """Raise for a field whose value is not of its type, as in a file that was tampered with."""
    for each in fields(settings):
        require_type(each.name, getattr(settings, each.name), each.type)


def require_type(name: str, value: object, hint: Any) -> None:
    """Raise a ValueError for a value that is not of its type.

    Args:
        name: its name, for the error.
        hint: a plain type, a literal, a homogeneous tuple or list, or a union of these.
    """
    require(
        _is_of(value, hint),
        f"{name} is {str(value)[:60]!r}; allowed are {_in_words(hint)}",
    )


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value is of a field's type; a whole number is a float too, a boolean no number."""
    options = get_args(hint)
    if (kind := get_origin(hint)) in (tuple, list):
        return isinstance(value, kind) and all(_is_of(item, options[0]) for item in value)
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in options
    if options:  # a union
        return any(_is_of(value, option) for option in options)
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and abs(value) < _LARGEST_NUMBER  # also false for NaN
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


_LARGEST_NUMBER = 1e30

_WORDS = {
    int: "whole numbers",
    float: "finite numbers",
    str: "texts",
    bool: "true and false",
    list: "lists",
}


def _in_words(hint: Any) -> str:
    """A field's type in words.

    >>> _in_words(tuple[int, ...] | None), _in_words(Literal["a", "b", "c"])
    ('lists of whole numbers, and none', "'a', 'b' and 'c'")
    """
    options = get_args(hint)
    if get_origin(hint) in (tuple, list):
        return f"lists of {_in_words(options[0])}"
    if get_origin(hint) is Literal:
        *others, last = map(repr, options)
        return f"{', '.join(others)} and {last}"
    return ", and ".join(map(_in_words, options)) if options else _WORDS.get(hint, "none")
