"""Accuracies against counting by hand."""

import numpy as np
import pytest
import torch

from mixtconv.evaluation.metrics import accuracy, confusion


def _by_hand(logits: np.ndarray, labels: np.ndarray, readable: np.ndarray) -> tuple[float, ...]:
    top1 = top5 = 0
    hits: dict[int, list[bool]] = {}
    for row, label, usable in zip(logits, labels, readable, strict=True):
        better = sum(1 for value in row if value > row[label])
        top1 += usable and better < 1
        top5 += usable and better < 5
        hits.setdefault(int(label), []).append(bool(usable and better < 1))
    by_class = [sum(values) / len(values) for values in hits.values()]
    return 100 * top1 / len(labels), 100 * top5 / len(labels), 100 * sum(by_class) / len(by_class)


@pytest.mark.parametrize("num_classes", [2, 4, 5, 12])
def test_accuracies_equal_counting_by_hand(num_classes: int) -> None:
    rng = np.random.default_rng(num_classes)
    logits = rng.normal(size=(50, num_classes)).astype(np.float32)
    labels = rng.integers(0, max(1, num_classes - 1), 50)  # one class has no videos
    readable = rng.random(50) > 0.2
    got = accuracy(torch.tensor(logits), torch.tensor(labels), torch.tensor(readable))
    expected = _by_hand(logits, labels, readable)
    assert (got.top1, got.top5, got.mean_class_accuracy) == pytest.approx(expected)


def test_a_video_that_could_not_be_read_counts_as_wrong() -> None:
    logits, labels = torch.eye(4), torch.arange(4)
    assert accuracy(logits, labels).top1 == 100
    readable = torch.tensor([True, True, True, False])
    got = accuracy(logits, labels, readable)
    assert (got.top1, got.top5) == (75, 75)


def test_no_videos_is_an_error() -> None:
    with pytest.raises(ValueError, match="no videos to score"):
        accuracy(torch.empty(0, 3), torch.empty(0, dtype=torch.long))


def test_confusion_has_true_classes_in_rows() -> None:
    logits = torch.tensor([[0.0, 9, 0], [9, 0, 0], [0, 9, 0]])
    assert confusion(logits, torch.tensor([0, 0, 2])).tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]
