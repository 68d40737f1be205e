"""The estimate is the share of clips recognized by models that were not trained on them."""

import math

import numpy as np
import pytest

from mixtconv.fitting.estimate import HeldOut, estimate, give_advice

CLASSES = ("bow", "jump", "wave")


def held_out(labels: list[int], predicted: list[int], *, sure: float = 0.9) -> HeldOut:
    probabilities = np.full((len(labels), 3), (1 - sure) / 2, dtype=np.float32)
    probabilities[np.arange(len(labels)), predicted] = sure
    return HeldOut(tuple(f"clip{i}" for i in range(len(labels))), np.array(labels), probabilities)


def test_all_clips_count_alike_also_in_folds_of_different_size() -> None:
    folds = [held_out([0, 1, 2, 0], [0, 1, 2, 0]), held_out([1, 2], [0, 0])]
    found = estimate(folds, classes=CLASSES, groups="sessions", num_clips=12)
    assert found.top1 == pytest.approx(100 * 4 / 6)
    assert found.by_fold == pytest.approx((100, 0))
    assert found.part == 75
    assert found.spread == pytest.approx(100 / math.sqrt(2))
    assert found.recall == pytest.approx({"bow": 100, "jump": 50, "wave": 50})


def test_an_unreadable_clip_counts_as_wrong() -> None:
    fold = held_out([0, 1], [0, 1])
    fold.probabilities[0] = 0  # as scores of a clip that could not be read
    assert estimate([fold], classes=CLASSES, groups="", num_clips=4000).top1 == 50


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("number", [10, 1000])
def test_the_standard_error_is_that_of_wilsons_interval(share: float, number: int) -> None:
    right = round(share * number)
    labels, predicted = [0] * number, [0] * right + [1] * (number - right)
    found = estimate([held_out(labels, predicted)], classes=CLASSES, groups="", num_clips=4000)
    # Wilson's bounds solve (p - share)^2 = p (1 - p) / n for p.
    a, b, c = 1 + 1 / number, -(2 * share + 1 / number), share**2
    low, high = ((-b + sign * math.sqrt(b * b - 4 * a * c)) / (2 * a) for sign in (-1, 1))
    assert found.standard_error == pytest.approx(100 * (high - low) / 2)
    assert found.standard_error > 0


def test_doubted_labels_are_those_that_another_class_is_sure_of() -> None:
    folds = [held_out([0, 1], [1, 1]), held_out([2], [0], sure=0.6)]
    (doubt,) = give_advice(folds, classes=CLASSES, nearly_same=[]).doubts
    assert (doubt.key, doubt.label, doubt.predicted) == ("clip0", "bow", "jump")
    assert doubt.probability == pytest.approx(0.9)


def test_weak_classes_are_clearly_below_the_mean() -> None:
    labels = [0] * 20 + [1] * 20 + [2] * 20
    predicted = [0] * 20 + [1] * 18 + [0] * 2 + [2] * 8 + [0] * 12
    advice = give_advice([held_out(labels, predicted)], classes=CLASSES, nearly_same=[])
    assert [name for name, _, _ in advice.weak] == ["wave"]
    even = give_advice([held_out(labels, labels)], classes=CLASSES, nearly_same=[])
    assert even.weak == () and even.sentences() == []


def test_the_curve_says_whether_more_clips_help() -> None:
    rising = give_advice([], classes=CLASSES, nearly_same=[], curve=[(0.5, 60.0), (1.0, 80.0)])
    assert rising.sentences() == [
        "by how many of the clips were trained on: 60 % with 50 %, 80 % with 100 %; more clips "
        "would still help"
    ]
    flat = give_advice([], classes=CLASSES, nearly_same=[], curve=[(0.5, 80.0), (1.0, 80.5)])
    assert "add little" in flat.sentences()[0]
