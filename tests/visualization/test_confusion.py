"""Order, confusions and the picture of a confusion matrix."""

import itertools

import numpy as np
import pytest

from mixtconv.visualization import confusion_matrix, confusion_order, top_confusions
from mixtconv.visualization.confusion import names_fit, row_shares


def test_order_is_a_permutation_of_any_matrix():
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 27, 174):
        counts = rng.integers(0, 3, (size, size))
        assert sorted(confusion_order(counts)) == list(range(size))


def test_pairs_confused_with_each_other_stand_together():
    pairs = [(0, 5), (1, 4), (2, 7), (3, 6)]
    counts = 9 * np.eye(8, dtype=int)
    for a, b in pairs:
        counts[a, b] = counts[b, a] = 4
    order = confusion_order(counts)
    assert all(abs(order.index(a) - order.index(b)) == 1 for a, b in pairs)


def test_a_chain_of_confusions_is_found_whatever_the_names_order():
    rng = np.random.default_rng(2)
    for _ in range(20):
        path = [int(index) for index in rng.permutation(8)]
        counts = 100 * np.eye(8, dtype=int)
        for a, b in itertools.pairwise(path):
            counts[a, b] = rng.integers(1, 50)
        assert confusion_order(counts) in (path, path[::-1])


def test_without_confusions_the_order_stays():
    assert confusion_order(np.eye(5, dtype=int)) == [0, 1, 2, 3, 4]
    assert confusion_order(np.zeros((3, 3), dtype=int)) == [0, 1, 2]


def test_order_is_near_the_best_one():
    """Among all orders of six classes, for the sum of neighbours' likeness."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        counts = rng.integers(0, 9, (6, 6))
        likeness = row_shares(counts) + row_shares(counts).T

        def value(order, likeness=likeness):
            return sum(likeness[a, b] for a, b in itertools.pairwise(order))

        best = max(map(value, itertools.permutations(range(6))))
        assert value(confusion_order(counts)) >= 0.8 * best


def test_top_confusions_by_share_and_then_by_count():
    counts = np.array([[0, 1, 0], [5, 90, 5], [0, 20, 20]])
    found = top_confusions(counts)
    assert [(c.true_class, c.predicted_class, c.count) for c in found] == [
        (0, 1, 1),
        (2, 1, 20),
        (1, 0, 5),
        (1, 2, 5),
    ]
    assert found[1].share == 0.5
    assert top_confusions(counts, limit=1) == found[:1]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_picture_shows_names_in_order_and_shares():
    figure = confusion_matrix(np.array([[8, 2], [0, 4]]), ["jump", "run"], order=[1, 0])
    shown = texts(figure)
    assert shown.index("1 run") < shown.index("2 jump")
    assert {"100", "80", "20"} <= set(shown)
    image = figure.axes[0].images[0].get_array()
    assert image[0, 0, 3] == 255 and image[0, 1, 3] == 0


def test_many_or_long_names_become_numbers():
    assert not names_fit(["a"] * 41) and not names_fit(["a" * 65]) and names_fit(["a" * 64] * 40)
    shown = texts(confusion_matrix(np.eye(100), [f"class {n}" for n in range(100)]))
    assert "100" in shown and not any("class 1" in text for text in shown)


@pytest.mark.parametrize("size", [2, 16, 27, 40])
@pytest.mark.parametrize("labels", ["names", "numbers"])
def test_labels_neither_cut_nor_overlapping(size, labels, check_texts):
    names = [f"Pretending to put something {n} next to something until it stops"[:64]
             for n in range(size)]  # fmt: skip
    figure = confusion_matrix(np.eye(size), names, labels=labels)
    check_texts(figure)
