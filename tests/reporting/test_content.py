"""Which clips a report shows."""

import numpy as np

from mixtconv.reporting.content import choose_examples


def test_clips_on_which_models_differ_come_first_and_classes_take_turns() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    everything = np.ones(6, bool)
    first = np.array([True, True, False, True, False, True])
    second = np.array([True, False, False, True, True, True])
    both = np.stack([first, second])
    # they differ on 1 and 4; both are wrong on 2; both are right on 0, 3 and 5
    assert choose_examples(both, labels, readable=everything, number=9) == [1, 4, 5, 2, 3, 0]
    assert choose_examples(both, labels, readable=everything, number=2) == [1, 4]
    # of one model, what it gets wrong
    assert choose_examples(first[None], labels, readable=everything, number=2) == [2, 4]


def test_an_unreadable_clip_is_not_shown() -> None:
    correct = np.array([[False, True, False], [False, False, False]])
    readable = np.array([False, False, True])
    assert choose_examples(correct, np.array([1, 1, 1]), readable=readable, number=9) == [2]
