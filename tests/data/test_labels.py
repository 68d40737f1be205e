"""Which classes a mirror exchanges, on the names of the public datasets and in other spellings."""

from pathlib import Path

import pytest

from mixtconv.data.labels import choose_pairs, given_pairs, mirror_labels, read_pairs

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
        ("swipeleft", "swiperight"),
        ("lefthand wave", "Righthand wave"),
        ("lefttoright", "righttoleft"),
        ("turn_L", "turn_R"),
        ("LtoR", "RtoL"),
        ("L2R", "r2l"),
        ("spin_cw", "spin_ccw"),
        ("moving east", "moving west"),
        ("moving NE", "moving NW"),
        ("nach_links", "nach_rechts"),
        ("linker Arm", "Rechter Arm"),
        ("im Uhrzeigersinn drehen", "gegen den Uhrzeigersinn drehen"),
        ("tourner à gauche", "tourner à droite"),
        ("sens horaire", "sens anti-horaire"),
        ("girar a la izquierda", "girar a la derecha"),
        ("a sinistra", "a destra"),
        ("para a esquerda", "para a direita"),
        ("va\u0308nster", "h\u00f6ger"),  # decomposed and composed
        ("i lewo", "i prawo"),
        ("налево", "НАПРАВО"),
        ("против часовой стрелки", "по часовой стрелке"),
        ("向左", "向右"),
        ("左折", "右折"),
        ("顺时针旋转", "逆时针旋转"),
        ("왼손", "오른손"),
        ("يسار", "يمين"),
        ("बायें मुड़ें", "दायें मुड़ें"),
        ("sola dön", "sağa dön"),
    ],
)
def test_names_are_compared_by_words(name: str, partner: str) -> None:
    mirrored = mirror_labels([name, "jump", partner])
    assert mirrored.target == (2, 1, 0)
    assert mirrored.pairs == ((name, partner),)


@pytest.mark.parametrize("name", ["upright", "Bright", "copyright", "cleft", "leftover", "lefty"])
def test_parts_of_words_are_no_side(name: str) -> None:
    assert mirror_labels([name, "jump"]) == mirror_labels(["walk", "jump"])


@pytest.mark.parametrize(
    ("classes", "unpaired"),
    [
        (["sign_L", "sign_M", "sign_R"], ()),  # an alphabet
        (["A", "E", "L", "R", "W"], ()),
        (["press_w", "press_e", "press_a"], ()),
        (["L", "jump"], ()),
        (["turn_L", "jump"], ("turn_L",)),
        (["swipeleft", "jump"], ("swipeleft",)),
        (["向左", "跳"], ("向左",)),
        (["tourner à droite", "tout droit"], ("tourner à droite",)),
        (["tout droit", "sol", "blinks", "est"], ()),
    ],
)
def test_what_seems_a_side_is_not_mirrored_and_letters_are_no_sides(
    classes: list[str], unpaired: tuple[str, ...]
) -> None:
    mirrored = mirror_labels(classes)
    assert mirrored.pairs == () and mirrored.unpaired == unpaired


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


# pairs that the user gives


def test_given_pairs_are_found_however_their_accents_are_encoded(tmp_path: Path) -> None:
    classes, path = ["\xe0 gauche", "\xe0 droite"], tmp_path / "pairs.yaml"
    path.write_text("- [a\u0300 gauche, a\u0300 droite]\n", encoding="utf-8")
    for pairs in (str(path), [["a\u0300 gauche", "a\u0300 droite"]]):
        assert choose_pairs(classes, pairs).target == (1, 0)


def test_given_pairs_take_the_place_of_those_found() -> None:
    classes = ["open", "turn left", "shut", "turn right", "wave"]
    mirrored = given_pairs(classes, [("shut", "open")])
    assert mirrored.target == (2, 1, 0, 3, 4)
    assert mirrored.pairs == (("shut", "open"),)
    assert mirrored.unpaired == ("turn left", "turn right")
    both = given_pairs(classes, [["turn left", "turn right"], ["open", "shut"]])
    assert both.target == (2, 3, 0, 1, 4) and both.unpaired == ()


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([["turn left", "turn rihgt"]], "unknown class in a flip pair 'turn rihgt'; did you mean"),
        ([["turn left"]], "has 1 names; give two"),
        ([["a", "b"], ["b", "turn left"]], "'b' is in the flip pairs more than once"),
        ([["a", "a"]], "'a' is in the flip pairs more than once"),
    ],
)
def test_pairs_that_cannot_be_are_refused(pairs: list[list[str]], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", "\\(")):
        given_pairs(["turn left", "turn right", "a", "b"], pairs)


def test_none_exchanges_nothing_and_mirrors_everything() -> None:
    mirrored = choose_pairs(SOMETHING_V1, "none")
    assert mirrored.target == tuple(range(len(SOMETHING_V1)))
    assert mirrored.unpaired == () and mirrored.pairs == ()
    assert choose_pairs(SOMETHING_V1, "auto") == mirror_labels(SOMETHING_V1)


def test_pairs_are_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    path.write_bytes("\ufeff- [turn left, turn right]\r\n- [öffnen, 2]\r\n".encode())
    assert read_pairs(str(path)) == [["turn left", "turn right"], ["öffnen", "2"]]
    classes = ["turn left", "turn right", "öffnen", "2"]
    assert choose_pairs(classes, str(path)).target == (1, 0, 3, 2)
    for wrong in ("left: right\n", "- left\n- right\n", "3\n", ""):
        path.write_text(wrong)
        with pytest.raises(ValueError, match="does not hold a list of pairs"):
            read_pairs(str(path))
    path.write_text("[")
    with pytest.raises(ValueError, match="is not YAML"):
        read_pairs(str(path))
    with pytest.raises(ValueError, match="give auto, none, or a YAML file"):
        read_pairs(str(tmp_path / "nowhere.yaml"))
