"""How wide a text is before it is drawn, for layouts in which nothing is cut off."""

import unicodedata
import warnings

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path


def text_width(text: str, size: float) -> float:
    """Upper bound of a text's width in pixels, with hinting or in the page's font.

    >>> text_width("wide", 12) > text_width("will", 12) > 0
    True
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        font = FontProperties(size=size)
        width: float = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return 1.05 * width + 0.5 * size * wide  # the stand-in for a missing glyph is half as wide


def wrapped(text: str, size: float, *, width: float) -> list[str]:
    """Break a text into lines of at most so many pixels, inside a word where it must be.

    >>> wrapped("Pushing something", 12, width=70)
    ['Pushing', 'something']
    """
    lines = [""]
    for word in text.split() or [""]:
        joined = f"{lines[-1]} {word}".strip()
        if text_width(joined, size) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and text_width(lines[-1] + letter, size) > width:
                lines.append("")
            lines[-1] += letter
    return lines
