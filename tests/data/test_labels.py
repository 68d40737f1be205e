"""Which classes a mirror exchanges, on the names of the public datasets and in other spellings."""

import pytest

from mixtconv.data.labels import mirror_labels

SOMETHING_V1 = [  # in the order of the file as distributed, with others between
    "Holding something",
    "Turning something upside down",
    "Turning the camera left while filming something",
    "Turning the camera right while filming something",
    "Pushing something from left to right",
    "Pushing something from right to left",
    "Pulling something from right to left",
    "Pulling something from left to right",
    "Laying something on the table on its side, not upright",
    "Putting something upright on the table",
    "Plugging something into something but pulling it right out as you remove your hand",
]
JESTER = [
    "Swiping Left",
    "Swiping Right",
    "Swiping Down",
    "Sliding Two Fingers Left",
    "Sliding Two Fingers Right",
    "Rolling Hand Forward",
    "Turning Hand Clockwise",
    "Turning Hand Counterclockwise",
]


def test_something_something_has_three_pairs() -> None:
    mirrored = mirror_labels(SOMETHING_V1)
    assert mirrored.pairs == (
        (
            "Turning the camera left while filming something",
            "Turning the camera right while filming something",
        ),
        ("Pushing something from left to right", "Pushing something from right to left"),
        ("Pulling something from right to left", "Pulling something from left to right"),
    )
    assert mirrored.target == (0, 1, 3, 2, 5, 4, 7, 6, 8, 9, 10)


def test_a_side_without_partner_is_not_to_be_flipped() -> None:
    assert mirror_labels(SOMETHING_V1).unpaired == (SOMETHING_V1[-1],)
    alone = mirror_labels(["shake head left and right", "turn left", "jump"])
    assert alone.unpaired == ("shake head left and right", "turn left")
    assert alone.target == (0, 1, 2) and alone.pairs == ()


def test_jester_has_three_pairs_one_without_left_or_right() -> None:
    mirrored = mirror_labels(JESTER)
    assert mirrored.pairs == (
        ("Swiping Left", "Swiping Right"),
        ("Sliding Two Fingers Left", "Sliding Two Fingers Right"),
        ("Turning Hand Clockwise", "Turning Hand Counterclockwise"),
    )
    assert mirrored.target == (1, 0, 2, 4, 3, 5, 7, 6)
    assert mirrored.unpaired == ()


@pytest.mark.parametrize(
    ("name", "partner"),
    [
        ("turn_left", "turn_right"),
        ("TurnLeft", "TurnRight"),
        ("turnLeft", "turnRight"),
        ("turn-left", "TURN RIGHT"),
        ("left2right", "Right2Left"),
        ("TVLeft", "TVRight"),
        ("Turn clockwise", "Turn counter-clockwise"),
        ("Turn Clockwise", "turn anti clockwise"),
        ("ClockwiseTurn", "CounterClockwiseTurn"),
        ("clockwise", "anticlockwise"),
        ("drehung_über_left", "drehung_über_right"),
        ("moving leftwards", "moving rightwards"),
        ("Pulling [something] from left to right", "Pulling [something] from right to left"),
    ],
)
def test_names_are_compared_by_words(name: str, partner: str) -> None:
    mirrored = mirror_labels([name, "jump", partner])
    assert mirrored.target == (2, 1, 0)
    assert mirrored.pairs == ((name, partner),)


@pytest.mark.parametrize("name", ["upright", "Bright", "copyright", "cleft", "leftover", "lefty"])
def test_parts_of_words_are_no_side(name: str) -> None:
    assert mirror_labels([name, "jump"]) == mirror_labels(["walk", "jump"])


def test_two_possible_partners_are_no_pair() -> None:
    mirrored = mirror_labels(["turn_left", "TurnRight", "turn right"])
    assert mirrored.pairs == ()
    assert mirrored.unpaired == ("turn_left", "TurnRight", "turn right")


def test_names_of_the_same_words_are_no_pair() -> None:
    mirrored = mirror_labels(["turn_left", "TurnLeft", "turn_right", "TurnRight", "jump", "Jump"])
    assert mirrored.target == (0, 1, 2, 3, 4, 5)
    assert mirrored.unpaired == ("turn_left", "TurnLeft", "turn_right", "TurnRight")


def test_words_of_other_scripts_count() -> None:
    mirrored = mirror_labels(["手_left", "脚_left", "脚_right", "手_right"])
    assert mirrored.target == (3, 2, 1, 0)


def test_a_second_mirror_gives_the_label_back() -> None:
    for classes in (SOMETHING_V1, JESTER):
        target = mirror_labels(classes).target
        assert [target[label] for label in target] == list(range(len(classes)))
