"""Fonts for text in any script: DejaVu Sans, and for what it lacks the installed fonts."""

import logging
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

from matplotlib import font_manager, get_data_path
from matplotlib.ft2font import FT2Font

logger = logging.getLogger(__name__)

DEJAVU = Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
"""The font that comes with matplotlib; it covers most alphabets."""


def font_runs(text: str) -> list[tuple[str, str]]:
    """A text in parts, each with the file of a font that has its letters; DejaVu Sans if none has.

    >>> [part for part, font in font_runs("wave (90 %)")]
    ['wave (90 %)']
    """
    extra = fonts_beside_dejavu(text)
    own = str(DEJAVU)
    fonts = [next((f for f in (own, *extra) if _has(f, letter)), own) for letter in text]
    runs = groupby(zip(text, fonts, strict=True), key=lambda pair: pair[1])
    return [("".join(letter for letter, _ in run), font) for font, run in runs]


def fonts_beside_dejavu(text: str) -> list[str]:
    """Files of installed fonts that have the letters of a text that DejaVu Sans lacks."""
    chosen: list[str] = []
    for letter in dict.fromkeys(text):
        if _has(str(DEJAVU), letter) or any(_has(font, letter) for font in chosen):
            continue
        font = next((font for font in _installed() if _has(font, letter)), None)
        if font is not None:
            chosen.append(font)
    return chosen


def lacking_letters(texts: Sequence[str]) -> str:
    """The letters of texts that no font here has: they are drawn as boxes.

    >>> lacking_letters(["wave", "größe"])
    ''
    """
    letters = dict.fromkeys("".join(texts))
    return "".join(letter for letter in letters if not any(_has(f, letter) for f in _all_fonts()))


def say_lacking_letters(texts: Sequence[str], what: str, *, or_else: str = "") -> None:
    """Warn of letters that no font here has.

    Args:
        texts: what is drawn.
        what: who shows boxes in their place, with its verb.
        or_else: what helps beside installing a font.
    """
    if letters := lacking_letters(texts):
        logger.warning(
            "no installed font has %s: %s boxes there; install one that has, such as Noto Sans CJK "
            "or Noto Emoji%s",
            *(letters[:20], what, or_else),
        )


def font_names(files: Sequence[str]) -> list[str]:
    """Names of fonts, by which matplotlib then knows them."""
    for file in files:
        font_manager.fontManager.addfont(file)
    return [FT2Font(file).family_name for file in files]


def _all_fonts() -> list[str]:
    return [str(DEJAVU), *_installed()]


@cache
def _installed() -> tuple[str, ...]:
    """Files of all installed fonts, regular ones first; matplotlib's own list may be old."""
    files = sorted(font_manager.findSystemFonts())
    files.sort(key=lambda file: "regular" not in Path(file).name.lower())
    return tuple(file for file in files if "LastResort" not in file)  # which only names scripts


def _has(font: str, letter: str) -> bool:
    """Whether a font has a letter; one that shows nothing (a joiner, a selector) needs no glyph."""
    return unicodedata.category(letter)[0] in "CZM" or ord(letter) in _glyphs(font)


@cache
def _glyphs(font: str) -> frozenset[int]:
    try:
        found = FT2Font(font)
        return frozenset(found.get_charmap() if found.scalable else ())  # not of pictures
    except (RuntimeError, OSError):  # a file that is gone, or that FreeType does not read
        return frozenset()
