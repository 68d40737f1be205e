"""Maps of features: whole legends, nothing cut off, points where they belong."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mixtconv.visualization.feature_map import FeatureMap, feature_maps
from mixtconv.visualization.style import point_places


def _maps(num_classes: int, num_models: int) -> tuple[list[FeatureMap], np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(num_classes), 6)
    points = rng.normal(0, 30, (num_classes, 2))[labels] + rng.normal(0, 2, (len(labels), 2))
    names = [f"Putting something number {n} next to something else" for n in range(num_classes)]
    maps = [FeatureMap(f"model{m}", points + m, 50.0, float("nan")) for m in range(num_models)]
    return maps, labels, names


@pytest.mark.parametrize(("num_classes", "num_models"), [(1, 1), (4, 1), (27, 2), (174, 1)])
def test_legend_is_whole_and_nothing_is_cut_or_overlaps(num_classes, num_models, check_texts):
    maps, labels, names = _maps(num_classes, num_models)
    figure = feature_maps(maps, labels, names)
    check_texts(figure)
    shown = [text.get_text() for text in figure.axes[-1].texts]
    wanted = [f"{n + 1} {name}" for n, name in enumerate(names)] if num_classes > 15 else names
    assert " ".join(shown) == " ".join(wanted)
    assert len(figure.axes) == num_models + 1


def test_numbers_stand_on_the_map_only_where_markers_repeat():
    for num_classes, least, most in ((15, 0, 0), (27, 20, 27)):
        maps, labels, names = _maps(num_classes, 1)
        texts = [text.get_text() for text in feature_maps(maps, labels, names).axes[0].texts]
        numbers = {text for text in texts if text.isdecimal()}
        assert least <= len(numbers) <= most


def test_classes_without_clips_are_not_in_the_legend():
    maps, labels, names = _maps(4, 1)
    keep = labels != 2
    figure = feature_maps([FeatureMap("a", maps[0].points[keep], 0.0, 0.0)], labels[keep], names)
    shown = " ".join(text.get_text() for text in figure.axes[-1].texts)
    assert names[1] in shown and names[2] not in shown


def test_places_of_points_are_where_they_are_drawn():
    points = np.array([[0.0, 0.0], [1.0, 1.0]])
    figure = feature_maps([FeatureMap("a", points, 0.0, 0.0)], np.array([0, 1]), ["a", "b"])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    for (x, y), color in zip(point_places(figure, 0, points), [(0, 114, 178), (213, 94, 0)],
                             strict=True):  # fmt: skip
        assert np.abs(pixels[round(y), round(x)] - color).max() < 60


def test_one_place_for_all_clips_is_drawn():
    same = FeatureMap("a", np.zeros((3, 2)), float("nan"), float("nan"))
    texts = [t.get_text() for t in feature_maps([same], np.zeros(3, int), ["a"]).axes[0].texts]
    assert any("neighbourhood accuracy \N{EN DASH}" in text for text in texts)
