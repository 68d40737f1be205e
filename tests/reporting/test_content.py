"""Which clips a report shows."""

from types import SimpleNamespace
from typing import Any

import torch

from mixtconv.reporting.content import choose_examples


def _run(predicted: list[int], labels: list[int], unreadable: tuple[int, ...] = ()) -> Any:
    """As much of a scored run as the choice looks at."""
    readable = torch.ones(len(labels), dtype=torch.bool)
    readable[list(unreadable)] = False
    scores = SimpleNamespace(
        scores=torch.eye(3)[predicted], labels=torch.tensor(labels), readable=readable
    )
    return SimpleNamespace(evaluation=SimpleNamespace(scores=scores))


def test_clips_that_tell_models_apart_come_first_and_classes_take_turns() -> None:
    labels = [0, 0, 0, 1, 1, 2]
    first = _run([0, 0, 1, 1, 0, 2], labels)
    second = _run([0, 1, 1, 1, 1, 2], labels)
    # they differ on 1 and 4; both are wrong on 2; both are right on 0, 3 and 5
    assert choose_examples([first, second], 9) == [1, 4, 5, 2, 3, 0]
    assert choose_examples([first, second], 2) == [1, 4]
    assert choose_examples([first], 1) == [2]  # of one model, what it gets wrong


def test_an_unreadable_clip_is_not_shown() -> None:
    run = _run([0, 1, 2], [1, 1, 1], unreadable=(0,))
    assert choose_examples([run, _run([0, 0, 0], [1, 1, 1], unreadable=(1,))], 9) == [2]
