"""Scores of several labels against scikit-learn and plain loops."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score

from mixtconv.evaluation.multi_label import (
    DEFAULT_THRESHOLD,
    average_precision,
    best_thresholds,
    class_average_precisions,
    class_f1,
    cooccurrence,
    decided,
    f1,
    multi_label_score,
)


def _case(seed: int, *, levels: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (40, 5) and labels, those of the last class none; with few levels many scores tie."""
    chance = np.random.default_rng(seed)
    scores = chance.random((40, 5))
    if levels is not None:
        scores = np.round(scores * levels) / levels
    labels = (chance.random((40, 5)) < [0.5, 0.1, 0.9, 0.3, 0.0]).astype(np.int64)
    labels[0, :4] = 1
    return torch.tensor(scores, dtype=torch.float32), torch.from_numpy(labels)


@pytest.mark.parametrize("levels", [None, 4])
def test_average_precision_and_f1_are_those_of_scikit_learn(levels: int | None) -> None:
    scores, labels = _case(0, levels=levels)
    thresholds = [0.3, 0.5, 0.7, 0.25, 0.5]
    found = multi_label_score(scores, labels, thresholds)
    true = labels[:, :4].numpy()
    precisions = average_precision_score(true, scores[:, :4], average=None)
    by_class = class_average_precisions(scores, labels)
    np.testing.assert_allclose(by_class[:4], 100 * precisions)
    assert by_class[4].isnan()
    assert found.mean_average_precision == pytest.approx(100 * precisions.mean())
    micro = average_precision_score(labels.numpy().ravel(), scores.numpy().ravel())
    assert found.micro_average_precision == pytest.approx(100 * micro)
    predicted = scores.numpy() >= np.array(thresholds)
    expected = f1_score(true, predicted[:, :4], average=None, zero_division=0)
    np.testing.assert_allclose(class_f1(scores, labels, thresholds)[:4], 100 * expected)
    assert found.macro_f1 == pytest.approx(100 * expected.mean())
    micro = f1_score(labels.numpy(), predicted, average="micro")
    assert found.micro_f1 == pytest.approx(100 * micro)


def test_an_unreadable_video_has_no_label_and_comes_last() -> None:
    scores, labels = _case(1)
    readable = torch.ones(40, dtype=torch.bool)
    readable[[0, 7]] = False
    lowest = scores.clone()
    lowest[~readable] = -1
    thresholds = [0.5] * 5
    found = multi_label_score(scores, labels, thresholds, readable)
    assert found == multi_label_score(lowest, labels, thresholds)
    assert found != multi_label_score(scores, labels, thresholds)
    assert not decided(scores, thresholds, readable)[0].any()


def test_nothing_to_find_has_no_average_precision() -> None:
    assert np.isnan(average_precision(torch.tensor([0.5, 0.1]), torch.zeros(2)))
    assert np.isnan(f1(torch.zeros(2), torch.zeros(2)))


@pytest.mark.parametrize(("seed", "levels"), [(2, None), (3, 3), (4, 1)])
def test_thresholds_have_the_best_f1_of_all(seed: int, levels: int | None) -> None:
    scores, labels = _case(seed, levels=levels)
    chosen = best_thresholds(scores, labels)
    assert chosen[4] == DEFAULT_THRESHOLD and all(0 <= each <= 1 for each in chosen)
    for column in range(4):
        truth, values = labels[:, column].numpy(), scores[:, column].double().numpy()
        tried = [0.0, *np.unique(values), *(np.unique(values) + 1e-6)]
        best = max(f1_score(truth, values >= limit, zero_division=0) for limit in tried)
        assert f1_score(truth, values >= chosen[column]) == pytest.approx(best)
        # Far from the scores on both sides, so that the least change of one decides nothing.
        distances = np.abs(values - chosen[column])
        assert distances.min() > 0 or chosen[column] == 0


def test_thresholds_are_chosen_without_videos_that_cannot_be_read() -> None:
    scores, labels = _case(5)
    readable = torch.arange(40) % 3 > 0
    assert best_thresholds(scores, labels, readable) == best_thresholds(
        scores[readable], labels[readable]
    )


def test_cooccurrences_count_pairs_of_a_true_and_a_given_label() -> None:
    _, labels = _case(6)
    predicted = torch.rand(40, 5, generator=torch.Generator().manual_seed(0)) < 0.4
    expected = np.zeros((5, 5), dtype=int)
    for row in range(40):
        for true in range(5):
            for given in range(5):
                expected[true, given] += int(labels[row, true]) * int(predicted[row, given])
    np.testing.assert_array_equal(cooccurrence(predicted, labels), expected)
