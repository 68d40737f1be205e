"""Groups are never divided, classes are spread evenly, sessions are found in names and pictures."""

from collections import Counter

import numpy as np
import pytest

from mixtconv.data.folds import (
    Grouping,
    divide_by_sessions,
    divide_into_folds,
    groups_by_background,
    groups_in_names,
    in_recordings,
    named_groups,
)


@pytest.mark.parametrize("num_folds", [2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_group_is_in_one_fold_and_classes_are_even(num_folds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = [f"s{rng.integers(20)}" for _ in range(300)]
    labels = rng.integers(4, size=300).tolist()
    folds = divide_into_folds(labels, groups, num_folds=num_folds, seed=seed)
    assert all(len({folds[i] for i in range(300) if groups[i] == g}) == 1 for g in set(groups))
    for label in range(4):
        counts = Counter(fold for fold, own in zip(folds.tolist(), labels, strict=True)
                         if own == label)  # fmt: skip
        share = labels.count(label) / num_folds
        assert all(0.6 * share < counts[fold] < 1.4 * share for fold in range(num_folds))


def test_clips_without_groups_are_divided_evenly() -> None:
    labels = [0] * 30 + [1] * 12
    folds = divide_into_folds(labels, [str(i) for i in range(42)], num_folds=3, seed=0)
    for fold in range(3):
        of_class = [sum(1 for i in range(42) if folds[i] == fold and labels[i] == c)
                    for c in (0, 1)]  # fmt: skip
        assert of_class == [10, 4]


def test_fewer_groups_than_folds_give_as_many_folds() -> None:
    folds = divide_into_folds([0, 1, 0, 1], ["a", "a", "b", "b"], num_folds=3, seed=0)
    assert sorted(folds.tolist()) == [0, 0, 1, 1] and folds[0] == folds[1]


@pytest.mark.parametrize("seed", range(20))
def test_every_class_can_be_trained_without_any_fold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Few groups, of which each has few of the classes: some classes are in one group or fold only.
    groups = [f"s{rng.integers(5)}" for _ in range(40)]
    labels = [int((int(group[1]) * rng.integers(1, 3)) % 6) for group in groups]
    folds = divide_into_folds(labels, groups, num_folds=3, seed=seed)
    held_out = sorted(set(folds.tolist()) - {-1})
    assert held_out == list(range(len(held_out)))
    for fold in held_out:
        assert {labels[i] for i in range(40) if folds[i] != fold} == set(labels)
    assert all(len({folds[i] for i in range(40) if groups[i] == g}) == 1 for g in set(groups))
    # What is in no fold has a reason: held out, its class could not be trained.
    for i in range(40):
        if folds[i] == -1:
            own = {labels[j] for j in range(40) if groups[j] == groups[i]}
            assert any(
                len({groups[j] for j in range(40) if labels[j] == label}) < 3 for label in own
            )


def test_clips_without_a_group_are_not_counted_as_groups() -> None:
    keys = ["1", "2", "3", "4"]
    found = named_groups(keys, [0, 1, 0, 1], ["home", "work", "", ""], recordings=keys)
    assert found is not None
    assert found.origin == "the groups of the list, 2 of them, and 2 clips without one"
    assert found.num_groups == 4


def test_segments_are_of_the_session_of_their_recording() -> None:
    recordings = [f"day{day}_s{day // 2}.mp4" for day in range(4) for _ in range(3)]
    keys = [f"{name}#t={n},{n + 1}" for n, name in enumerate(recordings)]
    labels = [0, 1, 0] * 4
    # The group of each is its recording, which is no wider than what the names say.
    found = named_groups(keys, labels, recordings, recordings=recordings)
    assert found is not None and found.names == tuple(f"s{n // 6}" for n in range(12))
    told = named_groups(keys, labels, ["home", *recordings[1:]], recordings=recordings)
    assert told is not None and told.names[:2] == ("home", recordings[1])
    assert in_recordings(recordings) == Grouping(tuple(recordings), "recordings, 4 of them")


def test_where_sessions_cannot_be_held_out_recordings_are_and_not_parts_of_them() -> None:
    recordings = [f"day {n // 3}" for n in range(12)]
    labels = [0, 0, 1] * 4
    sessions = Grouping(("s1",) * 12, "one session")
    folds, is_whole = divide_by_sessions(
        labels, sessions, recordings=recordings, num_folds=2, seed=0
    )
    assert not is_whole and sorted(set(folds.tolist())) == [0, 1]
    assert len(set(zip(recordings, folds.tolist(), strict=True))) == 4
    single = ["day 0"] * 12  # of one recording nothing can be held out
    folds, _ = divide_by_sessions(labels, None, recordings=single, num_folds=2, seed=0)
    assert set(folds.tolist()) == {-1}


def test_persons_and_groups_in_names_are_found() -> None:
    names = [f"jump/a{a:02}_s{s:02}_e{e:02}" for a in (1, 2) for s in (1, 2, 3) for e in (1, 2)]
    labels = [0] * 6 + [1] * 6
    found = groups_in_names(names, labels)
    assert found is not None
    assert found.names == ("s1", "s1", "s2", "s2", "s3", "s3") * 2
    ucf = [f"v_{c}_g{g:02}_c{k:02}" for c in ("Bow", "Jump") for g in (1, 2) for k in (1, 2)]
    found = groups_in_names(ucf, [0] * 4 + [1] * 4)
    assert found is not None and found.names == ("g1", "g1", "g2", "g2") * 2


def test_names_that_number_the_clips_of_a_class_give_no_groups() -> None:
    names = [f"{c}_{k}" for c in ("person", "wave") for k in range(5)]
    assert groups_in_names(names, [0] * 5 + [1] * 5) is None
    # a number that comes with one class only says nothing about sessions
    names = [f"clip_s{c}_{k}" for c in range(4) for k in range(5)]
    assert groups_in_names(names, [c for c in range(4) for _ in range(5)]) is None
    assert groups_in_names([], []) is None


def test_backgrounds_are_told_apart_whatever_their_brightness() -> None:
    rng = np.random.default_rng(0)
    rooms = rng.uniform(0, 255, size=(8, 12, 16)).astype(np.float32)
    room_of = rng.integers(8, size=60)
    light = rng.uniform(0.5, 1.0, size=(60, 1, 1)).astype(np.float32)
    pictures = rooms[room_of] * light + rng.normal(0, 3, size=(60, 12, 16)).astype(np.float32)
    found = groups_by_background(pictures.astype(np.float32), num_folds=3)
    assert found is not None and found.num_groups == 8
    assert all((found.names[i] == found.names[j]) == (room_of[i] == room_of[j])
               for i in range(60) for j in range(60))  # fmt: skip


@pytest.mark.parametrize("num_rooms", [1, 2])
def test_pictures_of_one_or_two_places_give_no_groups(num_rooms: int) -> None:
    rng = np.random.default_rng(0)
    rooms = rng.uniform(0, 255, size=(num_rooms, 12, 16))
    pictures = rooms[np.arange(40) % num_rooms] + rng.normal(0, 3, size=(40, 12, 16))
    assert groups_by_background(pictures.astype(np.float32), num_folds=3) is None


def test_black_pictures_give_no_groups() -> None:
    assert groups_by_background(np.zeros((40, 12, 16), np.float32), num_folds=3) is None
