"""Learning curves as a figure."""

import io
import sys

from matplotlib.colors import to_hex

from mixtconv.visualization import CurvePoint, learning_curves
from mixtconv.visualization.style import series_style


def test_every_model_has_its_color_and_marker(new_result):
    curve = (CurvePoint(1, 2.0, 1.5, 40.0), CurvePoint(2, 1.0, 0.9, 70.0))
    results = [new_result(name=name, curve=curve) for name in "abc"]
    loss, top1 = learning_curves(results).axes
    lines = top1.get_lines()
    assert [list(line.get_ydata()) for line in lines] == 3 * [[40.0, 70.0]]
    assert len({to_hex(line.get_color()) for line in lines}) == 3
    assert len({line.get_marker() for line in lines}) == 3
    training, validation = loss.get_lines()[:2]
    assert list(training.get_ydata()) == [2.0, 1.0] and training.get_marker() == ""
    assert list(validation.get_ydata()) == [1.5, 0.9]
    assert validation.get_color() == training.get_color()


def test_a_model_without_a_curve_keeps_the_styles_of_the_others(new_result):
    results = [new_result(name="a", curve=()), new_result(name="b")]
    figure = learning_curves(results, panels=["top1"])
    assert figure.axes[0].get_lines()[-1].get_color() == series_style(1)["color"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b"]


def test_styles_of_many_models_differ():
    assert len({tuple(series_style(index).values()) for index in range(42)}) == 42


def test_no_global_state_and_any_format(new_result):
    before = _figures()  # of other tests, such as programs of the docs
    figure = learning_curves([new_result(name="$a_b$ and $")])
    for format_ in ("png", "svg", "pdf"):
        figure.savefig(io.BytesIO(), format=format_)
    assert _figures() == before


def _figures() -> list[int]:
    """The numbers of the figures that pyplot holds, if anybody has imported it."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    return [] if pyplot is None else pyplot.get_fignums()
