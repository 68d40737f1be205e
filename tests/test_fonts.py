"""Letters that DejaVu Sans lacks are drawn with an installed font that has them."""

import io
import logging

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from PIL import Image

from mixtconv import _fonts
from mixtconv.inference.labelled_video import draw_caption, write_labelled_video
from mixtconv.visualization.inline_svg import figure_file


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A font of one letter, 手, a filled square; it alone is installed."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square, empty = pen.glyph(), TTGlyphPen(None).glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "hand"])
    builder.setupCharacterMap({ord("手"): "hand"})
    builder.setupGlyf({".notdef": empty, "hand": square})
    builder.setupHorizontalMetrics({".notdef": (700, 0), "hand": (700, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "One Hand", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(tmp_path / "OneHand-Regular.ttf")
    monkeypatch.setattr(_fonts, "_installed", lambda: (str(tmp_path / "OneHand-Regular.ttf"),))
    return str(tmp_path / "OneHand-Regular.ttf")


def test_each_part_of_a_text_has_a_font_with_its_letters(installed):
    dejavu = str(_fonts.DEJAVU)
    parts = [("wave ", dejavu), ("手手", installed), (" é", dejavu)]
    assert _fonts.font_runs("wave 手手 é") == parts
    assert _fonts.font_runs("wave 足") == [("wave 足", dejavu)]
    assert _fonts.lacking_letters(["手", "足 a\u200d"]) == "足"


def test_a_caption_is_drawn_with_it(installed):
    black = np.zeros((140, 200, 3), np.uint8)
    drawn = draw_caption(black, "手手手手手")[..., 0]
    box = draw_caption(black, "足足足足足")[..., 0]
    white = (drawn > 200).sum(axis=1)
    assert white.max() >= 5 * 6  # five filled squares of 7 pixels side by side
    assert (box > 200).sum() < (drawn > 200).sum() / 2  # hollow boxes


def test_a_picture_is_drawn_with_it(installed, caplog):
    def ink(letter):
        figure = Figure(figsize=(1, 1), dpi=100)
        figure.text(0.1, 0.3, letter, fontsize=40)
        picture = np.asarray(Image.open(io.BytesIO(figure_file(figure, "png"))).convert("L"))
        return (picture < 100).sum()

    with caplog.at_level(logging.WARNING):
        assert ink("手") == pytest.approx((0.7 * 40 / 72 * 100) ** 2, rel=0.1)
        assert not caplog.records
        ink("足")
    assert "no installed font has 足" in caplog.text


def test_letters_that_no_font_has_are_named(installed, media, tmp_path, caplog):
    media.encode(tmp_path / "a.mp4", media.moving_frames(4))
    write_labelled_video(tmp_path / "a.mp4", tmp_path / "b.mp4", [(0, 1, "手"), (1, 2, "足")])
    assert "no installed font has 足: captions show boxes" in caplog.text
