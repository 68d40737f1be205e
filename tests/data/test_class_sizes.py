"""Wilson's interval against its definition, and the least number of videos against the interval."""

import math

import pytest

from mixtconv.data.class_sizes import (
    DEVIATIONS,
    LEAST_VIDEOS,
    WIDEST,
    size_notes,
    too_small,
    wilson_interval,
)


@pytest.mark.parametrize(("share", "number"), [(0.0, 3), (0.25, 8), (0.5, 21), (0.9, 50), (1.0, 5)])
def test_borders_are_the_shares_that_the_measured_one_is_just_so_far_from(
    share: float, number: int
) -> None:
    for border in wilson_interval(share, number):
        if 0 < border < 1:
            deviation = math.sqrt(border * (1 - border) / number)
            assert abs(share - border) == pytest.approx(DEVIATIONS * deviation)


def test_with_the_least_number_no_interval_is_wider_and_with_one_less_one_is() -> None:
    def widest(number: int) -> float:
        return max(
            (high - low) / 2
            for low, high in (wilson_interval(hits / number, number) for hits in range(number + 1))
        )

    assert widest(LEAST_VIDEOS) <= WIDEST
    low, high = wilson_interval(0.5, LEAST_VIDEOS - 1)
    assert (high - low) / 2 > WIDEST


def test_only_classes_with_some_videos_and_too_few_are_named() -> None:
    numbers = {"a": LEAST_VIDEOS, "b": LEAST_VIDEOS - 1, "c": 0, "d": 2}
    assert too_small(numbers) == ("d", "b")
    (note,) = size_notes(numbers)
    assert note.startswith("2 classes too small to judge: 'd' (2), 'b' (20);")
    assert size_notes({"a": LEAST_VIDEOS}) == ()
