"""What a report refuses, and how it says so."""

import numpy as np
import pytest

from mixtconv.visualization import ExampleStrip


def test_results_must_fit_the_classes(new_report, new_result):
    with pytest.raises(ValueError, match=r"TSN has shape \(3, 3\), for 4 classes .*\(4, 4\)"):
        new_report(results=(new_result(confusion=np.eye(3)),))
    with pytest.raises(ValueError, match="at least one model's result"):
        new_report(results=())


def test_names_must_differ(new_report, new_result):
    with pytest.raises(ValueError, match="more than one result is named 'TSN'"):
        new_report(results=(new_result(), new_result()))
    with pytest.raises(ValueError, match="more than one class is named 'a'"):
        new_report(classes=("a", "b", "a", "c"))


def test_pairs_must_be_classes(new_report):
    with pytest.raises(ValueError, match="not a class: \\['up'\\]"):
        new_report(reverse_pairs=(("up", "costs $5 and $6"),))


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8), np.zeros((0, 8, 8, 3), "u1")]
)
def test_frames_must_be_pictures(frames):
    with pytest.raises(ValueError, match="must be uint8 of shape"):
        ExampleStrip(frames, "a", ())
