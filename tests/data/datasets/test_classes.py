"""The classes of the known datasets: published lists, orders, and what a mirror exchanges."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.datasets import published_classes
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.datasets.classes import read_classes
from mixtconv.data.datasets.scanning import scan_videos
from mixtconv.data.labels import mirror_labels
from mixtconv.data.listing import ClassOrder, DataSource

COUNTS = {
    "something_v1": 174,
    "something_v2": 174,
    "jester": 27,
    "ucf101": 101,
    "hmdb51": 51,
    "kinetics400": 400,
}
ORDERS: tuple[ClassOrder, ...] = ("published", "distributed", "alphabetical")


def order(name: str, root: Path, class_order: ClassOrder) -> tuple[str, ...]:
    classes = scan_videos(DataSource(name, root=str(root), class_order=class_order)).classes
    assert classes is not None
    return classes


@pytest.mark.parametrize("name", COUNTS)
def test_published_lists(name: str) -> None:
    names = published_classes(name)
    assert len(names) == len(set(names)) == COUNTS[name]
    assert all(cls == cls.strip() and cls and "[" not in cls for cls in names)


def test_names_of_a_file_are_read_with_their_accents_composed(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("cafe\u0301\nwave\n", encoding="utf-8")
    assert read_classes(str(path)) == ("caf\xe9", "wave")
    path.write_text("cafe\u0301\ncaf\xe9\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 2: .* is there for the second time"):
        read_classes(str(path))


def test_unknown_list_names_the_near_ones() -> None:
    with pytest.raises(ValueError, match="something_v1"):
        published_classes("something_v3")


@pytest.mark.parametrize("name", ["something_v1", "something_v2"])
def test_what_a_mirror_exchanges_in_something_something(name: str) -> None:
    names = published_classes(name)
    assert {frozenset(pair) for pair in mirror_labels(names).pairs} == {
        frozenset({"Pulling something from left to right", "Pulling something from right to left"}),
        frozenset({"Pushing something from left to right", "Pushing something from right to left"}),
        frozenset(
            {
                "Turning the camera left while filming something",
                "Turning the camera right while filming something",
            }
        ),
    }


def test_numbers_of_the_pairs_of_something_v2() -> None:
    target = mirror_labels(published_classes("something_v2")).target
    moved = {(label, other) for label, other in enumerate(target) if label < other}
    assert moved == {(86, 87), (93, 94), (166, 167)}


def test_what_a_mirror_exchanges_in_jester() -> None:
    assert set(mirror_labels(published_classes("jester")).pairs) == {
        ("Swiping Left", "Swiping Right"),
        ("Sliding Two Fingers Left", "Sliding Two Fingers Right"),
        ("Turning Hand Clockwise", "Turning Hand Counterclockwise"),
    }


@pytest.mark.parametrize("name", ["ucf101", "hmdb51", "kinetics400"])
def test_a_mirror_exchanges_nothing_elsewhere(name: str) -> None:
    assert mirror_labels(published_classes(name)).pairs == ()


def test_orders_of_something_v1(tmp_path: Path, miniature: ModuleType) -> None:
    root = miniature.make_miniature("something_v1", tmp_path, num_frames=2)
    lines = (root / "something-something-v1-labels.csv").read_text("utf-8").splitlines()
    assert lines != sorted(lines)
    assert order("something_v1", root, "published") == tuple(sorted(lines))
    assert order("something_v1", root, "alphabetical") == tuple(sorted(lines))
    assert order("something_v1", root, "distributed") == tuple(lines)


def test_orders_of_something_v2_are_those_of_the_numbers(
    tmp_path: Path, miniature: ModuleType
) -> None:
    root = miniature.make_miniature("something_v2", tmp_path, num_frames=2)
    path = root / "something-something-v2-labels.json"
    names = sorted(json.loads(path.read_text("utf-8")))
    # As words "10" is before "9", and the file's own order is another again.
    numbers = {names[0]: "10", names[1]: "9", names[2]: "2", names[3]: "11"}
    path.write_text(json.dumps(numbers), "utf-8")
    by_number = (names[2], names[1], names[0], names[3])
    assert order("something_v2", root, "published") == by_number
    assert order("something_v2", root, "distributed") == by_number
    assert order("something_v2", root, "alphabetical") == tuple(names)


def test_orders_of_jester_and_ucf(tmp_path: Path, miniature: ModuleType) -> None:
    for name in ("jester", "ucf101"):
        names = miniature.DEFAULT_CLASSES[name]
        root = miniature.make_miniature(name, tmp_path / name, num_frames=2)
        assert tuple(sorted(names)) != names
        assert order(name, root, "published") == order(name, root, "distributed") == names
        assert order(name, root, "alphabetical") == tuple(sorted(names))


def test_orders_of_hmdb_and_kinetics_are_alphabetical(
    tmp_path: Path, miniature: ModuleType
) -> None:
    for name in ("hmdb51", "kinetics400"):
        root = miniature.make_miniature(name, tmp_path / name, num_frames=2)
        for class_order in ORDERS:
            expected = tuple(sorted(miniature.DEFAULT_CLASSES[name]))
            assert order(name, root, class_order) == expected


def test_jester_without_a_labels_file_has_the_published_order(
    tmp_path: Path, miniature: ModuleType
) -> None:
    root = miniature.make_miniature("jester", tmp_path, num_frames=2)
    miniature.rename_as_current("jester", root)
    assert order("jester", root, "published") == miniature.DEFAULT_CLASSES["jester"]


def test_something_v1_without_a_labels_file_has_no_distributed_order(
    tmp_path: Path, miniature: ModuleType
) -> None:
    root = miniature.make_miniature("something_v1", tmp_path, num_frames=2)
    (root / "something-something-v1-labels.csv").unlink()
    assert order("something_v1", root, "published") == tuple(
        sorted(miniature.DEFAULT_CLASSES["something_v1"])
    )
    with pytest.raises(ValueError, match=r"something-something-v1-labels\.csv"):
        order("something_v1", root, "distributed")


@pytest.mark.parametrize("name", COUNTS)
def test_labels_follow_the_order_and_the_whole_list_has_no_note(
    name: str, tmp_path: Path, miniature: ModuleType
) -> None:
    """All published classes, one video of one frame for training and one to score of each."""
    names = published_classes(name)
    root = miniature.make_miniature(name, tmp_path, classes=names, videos_per_class=2, num_frames=1)
    catalog = load_catalog(DataSource(name, root=str(root)))
    assert catalog.classes == names
    assert not any("published" in note for note in catalog.notes)
    assert [sample.label for sample in sorted(catalog.val, key=lambda s: s.label)] == list(
        range(len(names))
    )


def test_other_classes_than_the_published_are_a_note_and_no_fault(
    tmp_path: Path, miniature: ModuleType
) -> None:
    root = miniature.make_miniature(
        "jester", tmp_path, classes=["Waving", "Swiping Left"], num_frames=2
    )
    result = scan_videos(DataSource("jester", root=str(root)))
    assert result.faults == ()
    (note,) = [note for note in result.notes if "published" in note]
    assert "26 of the 27" in note and "'Waving'" in note


def test_another_order_than_the_published_is_a_note(tmp_path: Path, miniature: ModuleType) -> None:
    names = published_classes("jester")
    root = miniature.make_miniature(
        "jester", tmp_path, classes=names[::-1], videos_per_class=2, num_frames=1
    )
    notes = scan_videos(DataSource("jester", root=str(root))).notes
    assert any("another order" in note for note in notes)
