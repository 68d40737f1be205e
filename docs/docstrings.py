"""How the docstrings of this project are read for the site; an extension of griffe.

Doctests stand in the text, where Markdown would take them for something else: here they become
code. Parameters that share one description (`width, height: in pixels`) are each given it.
"""

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^(?P<indent> *)>>> .*(?:\n(?P=indent)\S.*)*", re.MULTILINE)
SHARED = re.compile(
    r"^(?P<indent> +)(?P<names>\w+(?:, \w+)+): (?P<text>.*(?:\n(?P=indent) +\S.*)*)", re.M
)
SECTION = re.compile(r"^(?:Args|Attributes):\n(?:(?: +.*)?\n?)*", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = SECTION.sub(
                lambda section: SHARED.sub(each_by_itself, section[0]), obj.docstring.value
            )
            obj.docstring.value = DOCTEST.sub(as_code, text)


def each_by_itself(match: re.Match[str]) -> str:
    """A line for each of the names."""
    return "\n".join(
        f"{match['indent']}{name}: {match['text']}" for name in match["names"].split(", ")
    )


def as_code(match: re.Match[str]) -> str:
    """The lines between fences."""
    fence = f"{match['indent']}```"
    return f"{fence}pycon\n{match[0]}\n{fence}"
