"""The estimate is the share of clips recognized by models that were not trained on them."""

import math

import numpy as np
import pytest

from mixtconv.fitting.estimate import HeldOut, estimate, give_advice

CLASSES = ("bow", "jump", "wave")


def held_out(
    labels: list[int],
    predicted: list[int],
    *,
    sure: float = 0.9,
    groups: list[str] | None = None,
) -> HeldOut:
    probabilities = np.full((len(labels), 3), (1 - sure) / 2, dtype=np.float32)
    probabilities[np.arange(len(labels)), predicted] = sure
    keys = tuple(f"clip{i}" for i in range(len(labels)))
    return HeldOut(0, keys, np.array(labels), probabilities, tuple(groups or keys))


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


@pytest.mark.parametrize(("share", "number"), [(0.5, 10), (0.9, 10), (1.0, 5), (0.98, 50)])
def test_the_margin_of_single_clips_reaches_wilsons_farther_bound(
    share: float, number: int
) -> None:
    right = round(share * number)
    labels, predicted = [0] * number, [0] * right + [1] * (number - right)
    found = estimate([held_out(labels, predicted)], classes=CLASSES, groups="", num_clips=4000)
    # Wilson's bounds solve (p - share)^2 = z^2 p (1 - p) / n for p.
    z = 1.959964
    a, b, c = 1 + z**2 / number, -(2 * share + z**2 / number), share**2
    low, high = ((-b + sign * math.sqrt(b * b - 4 * a * c)) / (2 * a) for sign in (-1, 1))
    assert found.margin == pytest.approx(100 * max(share - low, high - share))


@pytest.mark.parametrize(("share", "number"), [(0.8, 10), (0.85, 10), (0.9, 20), (0.98, 100)])
def test_the_margin_covers_the_true_score(share: float, number: int) -> None:
    covered = 0.0
    for right in range(number + 1):  # all that may come out, each with its probability
        labels, predicted = [0] * number, [0] * right + [1] * (number - right)
        found = estimate([held_out(labels, predicted)], classes=CLASSES, groups="", num_clips=9999)
        chance = math.comb(number, right) * share**right * (1 - share) ** (number - right)
        covered += chance * (abs(found.top1 - 100 * share) <= found.margin)
    assert covered >= 0.95


@pytest.mark.parametrize("num_sessions", [2, 3, 5, 12])
def test_the_margin_covers_it_where_sessions_differ(num_sessions: int) -> None:
    rng = np.random.default_rng(0)
    groups = [f"s{i // 20}" for i in range(20 * num_sessions)]
    covered = []
    for _ in range(300):  # sessions of twenty clips, recognized 90 % in the mean
        shares = rng.beta(4.5, 0.5, size=num_sessions)
        is_right = rng.random(len(groups)) < np.repeat(shares, 20)
        fold = held_out([0] * len(groups), (~is_right).astype(int).tolist(), groups=groups)
        found = estimate([fold], classes=CLASSES, groups="sessions", num_clips=4000)
        covered.append(abs(found.top1 - 90) <= found.margin)
    assert np.mean(covered) > 0.89  # few sessions and a skewed distribution


def test_one_session_says_next_to_nothing() -> None:
    fold = held_out([0] * 30, [0] * 30, groups=["s1"] * 30)
    found = estimate([fold], classes=CLASSES, groups="sessions", num_clips=60)
    assert found.top1 == 100 and found.margin > 75


def test_classes_without_held_out_clips_are_named() -> None:
    found = estimate([held_out([0, 2], [0, 2])], classes=CLASSES, groups="", num_clips=9)
    assert found.unscored == ("jump",) and set(found.recall) == {"bow", "wave"}
    assert "without clips of jump" in str(found)


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
