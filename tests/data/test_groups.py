"""Groups are named by a column or a pattern, and are on one side of every split that is drawn."""

from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mixtconv.data.datasets.catalog import load_catalog, load_labelled_videos
from mixtconv.data.groups import hold_out_groups
from mixtconv.data.listing import DataSource, VideoSample


def distance(
    classes: list[str], groups: list[str], held: set[str] | frozenset[str], fraction: float
) -> float:
    """Squared distance of the held-out share of every class from what is wanted."""
    total = 0.0
    for name in set(classes):
        own = [group for group, label in zip(groups, classes, strict=True) if label == name]
        total += (sum(group in held for group in own) / len(own) - fraction) ** 2
    return total


def is_fair(classes: list[str], groups: list[str], held: set[str]) -> bool:
    """Whether every class is on both sides."""
    sides = defaultdict(set)
    for name, group in zip(classes, groups, strict=True):
        sides[name].add(group in held)
    return all(len(both) == 2 for both in sides.values())


@pytest.mark.parametrize("fraction", [0.2, 0.35])
@pytest.mark.parametrize("seed", range(15))
def test_the_share_of_every_class_is_near_the_best_that_whole_groups_allow(
    seed: int, fraction: float
) -> None:
    rng = np.random.default_rng(seed)
    groups = [f"p{rng.integers(9)}" for _ in range(90)]
    classes = [f"c{rng.integers(3)}" for _ in range(90)]
    chosen = set(hold_out_groups(classes, groups, fraction).names)
    assert is_fair(classes, groups, chosen)
    names = sorted(set(groups))
    fair = [set(held) for count in range(1, len(names)) for held in combinations(names, count)
            if is_fair(classes, groups, set(held))]  # fmt: skip
    distances = sorted(distance(classes, groups, held, fraction) for held in fair)
    reached = distance(classes, groups, chosen, fraction)
    assert reached <= distances[len(distances) // 20]  # of all choices among the best 5 %
    assert reached <= 3 * (fraction * 0.3) ** 2  # of a class of 30 % to 1.3 times as much


def test_many_small_groups_hold_out_the_fraction_of_every_class() -> None:
    classes = [f"c{number % 4}" for number in range(800)]
    groups = [f"g{number // 4}" for number in range(800)]
    held = hold_out_groups(classes, groups, 0.2).names
    counts = Counter(name for name, group in zip(classes, groups, strict=True) if group in held)
    assert counts == {f"c{number}": 40 for number in range(4)}


def test_the_choice_depends_on_no_order() -> None:
    rng = np.random.default_rng(0)
    clips = [(f"c{rng.integers(3)}", f"p{rng.integers(12)}") for _ in range(200)]
    chosen = hold_out_groups(*zip(*clips, strict=True), 0.3).names
    for _ in range(3):
        shuffled = [clips[place] for place in rng.permutation(len(clips))]
        assert hold_out_groups(*zip(*shuffled, strict=True), 0.3).names == chosen


def test_a_group_with_all_of_a_class_is_trained_on_and_named() -> None:
    classes = ["a", "b", "c", "a", "b", "a", "b", "d"]
    groups = ["1", "1", "1", "2", "2", "3", "3", "3"]
    chosen = hold_out_groups([*classes, "c"], [*groups, "1"], 0.3)
    assert chosen.names == {"2"}
    assert chosen.whole_classes == {"c": "1"}  # of d there is one clip


def test_two_groups_of_all_classes_are_one_side_each() -> None:
    held = hold_out_groups(["a", "b"] * 4, ["x"] * 4 + ["y"] * 4, 0.2).names
    assert len(held) == 1


# data of the user


def names_of(root: Path, sources: ModuleType, *, people: int = 5) -> list[str]:
    names = [
        f"{label}/v_{label}_p{person}_{take}.mp4"
        for label in ("jump", "run")
        for person in range(people)
        for take in range(3)
    ]
    sources.touch(root, *names)
    return names


def person(sample: VideoSample) -> str:
    return sample.path.stem.split("_")[2]


PATTERN = r"_(p\d+)_"


def test_a_pattern_keeps_its_groups_on_one_side_wherever_the_split_is_drawn(
    tmp_path: Path, sources: ModuleType
) -> None:
    names_of(tmp_path, sources)
    data = DataSource(str(tmp_path), group=PATTERN)
    catalog = load_catalog(data)
    held, trained = ({person(sample) for sample in side} for side in (catalog.val, catalog.train))
    assert len(held) == 1 and len(trained) == 4 and held.isdisjoint(trained)
    assert len(catalog.val) == 6 and {sample.group for sample in catalog.val} == held
    assert f"1 of 5 (--group {PATTERN})" in catalog.split_rule and catalog.notes == ()
    for split, side in (("val", catalog.val), ("train", catalog.train)):
        again = load_labelled_videos(data, classes=catalog.classes, split=split)  # type: ignore
        by_model = load_labelled_videos(
            tmp_path, classes=catalog.classes, split=split, group=PATTERN  # type: ignore
        )  # fmt: skip
        assert set(again) == set(by_model) == set(side)


def test_without_a_group_the_split_is_that_of_the_names(
    tmp_path: Path, sources: ModuleType
) -> None:
    names_of(tmp_path, sources)
    plain = load_catalog(tmp_path)
    assert plain.split_rule.endswith("of every class held out for validation, chosen by a hash of "
                                     "the file names")  # fmt: skip
    assert sorted(sources.names(plain.val, tmp_path)) == [
        "jump/v_jump_p1_1.mp4",
        "jump/v_jump_p2_2.mp4",
        "run/v_run_p0_1.mp4",
        "run/v_run_p1_1.mp4",
        "run/v_run_p3_0.mp4",
        "run/v_run_p3_2.mp4",
        "run/v_run_p4_2.mp4",
    ]


@pytest.mark.parametrize("column", ["Take", "take"])
def test_a_column_of_any_name(tmp_path: Path, sources: ModuleType, column: str) -> None:
    names = names_of(tmp_path, sources)
    lines = [f"{name};{name.split('/')[0]};day {index % 3}" for index, name in enumerate(names)]
    path = sources.write_csv(tmp_path, "path;label;take", *lines)
    catalog = load_catalog(DataSource(str(path), group=column))
    days = {name: f"day {index % 3}" for index, name in enumerate(names)}
    for side in (catalog.train, catalog.val):
        assert {days[name] for name in sources.names(side, tmp_path)} == {s.group for s in side}
    assert {s.group for s in catalog.val}.isdisjoint({s.group for s in catalog.train})


def test_an_empty_cell_is_a_group_of_its_own_and_said(tmp_path: Path, sources: ModuleType) -> None:
    names = names_of(tmp_path, sources)
    lines = [f"{name},{name.split('/')[0]},{'' if 'p0' in name else name[-9:-6]}" for name in names]
    path = sources.write_csv(tmp_path, "path,label,who", *lines)
    catalog = load_catalog(DataSource(str(path), group="who"))
    (note,) = catalog.notes
    assert note.startswith("--group who: 6 of 30 videos empty there, such as jump/v_jump_p0_0.mp4")


def test_a_word_of_the_first_line_is_no_header(tmp_path: Path, sources: ModuleType) -> None:
    names = names_of(tmp_path, sources)
    path = sources.write_csv(tmp_path, *(f"{name},{name.split('/')[0]}" for name in names))
    assert "neither a column" in sources.refusal(DataSource(str(path), group="jump"))


def test_names_that_do_not_match_are_counted_and_one_is_named(
    tmp_path: Path, sources: ModuleType
) -> None:
    names_of(tmp_path, sources)
    sources.touch(tmp_path, "jump/other.mp4", "run/more.mp4")
    catalog = load_catalog(DataSource(str(tmp_path), group=PATTERN))
    (note,) = catalog.notes
    assert "2 of 32 videos not matched, such as jump/other.mp4" in note
    alone = load_catalog(DataSource(str(tmp_path), group="(.*)"))
    assert "keeps nothing together: each of 32 videos" in alone.notes[0]


@pytest.mark.parametrize(
    ("group", "says"),
    [
        ("(", "'(' is no regular expression (missing ), unterminated subpattern"),
        ("day", "'day' is neither a column of"),
        (r"p\d+", "nor a pattern: a pattern is a regular expression with one group in parentheses"),
        (r"(p)(\d+)", "has 2 groups in parentheses; give one, and (?:...)"),
        (r"(q\d+)", "matches none of 30 names in"),
        (r"()jump|run", "matches none of 30 names"),
        (r"v_(jump|run)_", "no group can be held out for validation, since each of 2 groups has"),
    ],
)
def test_what_names_no_groups_is_refused_in_a_line(
    tmp_path: Path, sources: ModuleType, group: str, says: str
) -> None:
    names_of(tmp_path, sources)
    assert says in sources.refusal(DataSource(str(tmp_path), group=group))


def test_a_group_with_a_whole_class_is_said(tmp_path: Path, sources: ModuleType) -> None:
    names_of(tmp_path, sources)
    sources.touch(tmp_path, *(f"wave/v_wave_p3_{take}.mp4" for take in range(3)))
    (note,) = load_catalog(DataSource(str(tmp_path), group=PATTERN)).notes
    assert note == (
        "classes with all their videos in one group, which is used for training: 'wave' by 'p3'"
    )


def test_a_given_split_that_cuts_through_groups_is_said(
    tmp_path: Path, sources: ModuleType
) -> None:
    sources.touch(tmp_path, "train/a/p1_1.mp4", "train/b/p2_1.mp4", "val/a/p1_2.mp4")
    (note,) = load_catalog(DataSource(str(tmp_path), group=r"(p\d)")).notes
    assert note.startswith("1 group on both sides of the split: p1 (1 in 'train', 1 in 'val')")


def test_a_missing_video_keeps_its_group(tmp_path: Path, sources: ModuleType) -> None:
    names = names_of(tmp_path, sources)
    path = sources.write_csv(tmp_path, "path,label", *(f"{n},{n.split('/')[0]}" for n in names))
    data = DataSource(str(path), group=PATTERN)
    before = load_catalog(data)
    before.val[0].path.unlink()
    before.train[0].path.unlink()
    after = load_catalog(data, keep_missing=True)
    assert set(after.val) == set(before.val) and set(after.train) == set(before.train)


def test_a_split_by_the_models_groups_names_what_does_not_fit(
    tmp_path: Path, sources: ModuleType
) -> None:
    names_of(tmp_path, sources)
    classes = ("jump", "run")
    options = {"classes": classes, "group": r"(q\d+)"}
    assert len(load_labelled_videos(tmp_path, **options)) == 30  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"the model was trained with it"):
        load_labelled_videos(tmp_path, split="val", **options)  # type: ignore[arg-type]


# known datasets


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ucf101", "Archery/v_Archery_g01"),
        ("hmdb51", "brush_hair/#437_How_To_brush_hair"),
        ("kinetics400", "-k000_00000"),
        ("jester", ""),
        ("something_v2", ""),
    ],
)
def test_known_datasets_tell_the_recording_of_a_video(
    name: str, expected: str, tmp_path: Path, miniature: ModuleType
) -> None:
    miniature.make_miniature(name, tmp_path, num_frames=2)
    catalog = load_catalog(DataSource(name, root=str(tmp_path)))
    groups = [sample.group for sample in (*catalog.train, *catalog.val)]
    assert expected in groups and bool(catalog.grouped_by) == bool(expected)
    assert not any("on both sides" in note for note in catalog.notes)


def test_a_known_dataset_without_its_test_list_is_divided_by_recordings(
    tmp_path: Path, miniature: ModuleType
) -> None:
    miniature.make_miniature("ucf101", tmp_path, num_frames=1, videos_per_class=8)
    lists = tmp_path / "ucfTrainTestlist"
    trained = (lists / "trainlist01.txt").read_text().splitlines()
    for line in list(trained):  # a second clip of every recording
        video = tmp_path / "UCF-101" / line.split()[0]
        video.with_name(video.name.replace("_c01", "_c02")).touch()
        trained.append(line.replace("_c01", "_c02"))
    (lists / "trainlist01.txt").write_text("\n".join(trained))
    (lists / "testlist01.txt").unlink()
    catalog = load_catalog(DataSource("ucf101", root=str(tmp_path)))
    held = Counter(sample.group for sample in catalog.val)
    assert set(held.values()) == {2}  # both clips of each
    assert {group.split("/")[0] for group in held} == set(catalog.classes)
    assert held.keys().isdisjoint({sample.group for sample in catalog.train})


def test_a_missing_line_of_a_list_keeps_its_group_and_key(
    tmp_path: Path, sources: ModuleType
) -> None:
    """So that `evaluate` finds the split of training after a video is gone."""
    names = [f"{kind}{number}.mp4" for kind in "ab" for number in range(12)]
    sources.touch(tmp_path, *names)
    rows = [f"{name},{name[0]},person {i % 4},old/{name}" for i, name in enumerate(names)]
    path = sources.write_csv(tmp_path, "path,label,Person ID,prepared_from", *rows)
    for group in ("person_id", r"old/\w(\d)"):
        source = DataSource(str(path), group=group)
        held = {sample.path.name for sample in load_catalog(source).val}
        for name in (names[0], names[5]):
            (tmp_path / name).unlink()
            found = load_labelled_videos(
                path, classes=["a", "b"], split="val", group=group, keep_missing=True
            )
            assert {sample.path.name for sample in found} == held
            (tmp_path / name).touch()


def test_a_pattern_is_no_column_of_the_same_letters(tmp_path: Path, sources: ModuleType) -> None:
    names = [f"{kind}-s{number}.mp4" for kind in "ab" for number in range(4)]
    sources.touch(tmp_path, *names)
    path = sources.write_csv(tmp_path, "path,label,sd", *(f"{n},{n[0]},x" for n in names))
    catalog = load_catalog(DataSource(str(path), group=r"s(\d)"))
    assert {sample.group for sample in (*catalog.train, *catalog.val)} == set("0123")
