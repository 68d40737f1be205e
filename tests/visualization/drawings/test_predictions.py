"""Predictions in the order of how sure the model was."""

import torch

from mixtconv.visualization.drawings.predictions import rank_predictions


def test_the_surest_first_and_unreadable_ones_left_out():
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.1, 0.1, 0.8], [1.0, 0, 0]])
    labels, readable = torch.tensor([0, 2, 2, 0]), torch.tensor([True, True, True, False])
    ranked = rank_predictions(probabilities, labels, readable)
    assert [item.index for item in ranked] == [1, 2, 0]
    assert [item.is_right for item in ranked] == [False, True, True]
    assert (ranked[0].predicted, ranked[0].label) == (1, 2)
    assert ranked[0].score == 1 and ranked[0].true_score == 0
