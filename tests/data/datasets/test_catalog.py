"""Class folders, the split rule, the videos to score, and errors for data that cannot be used."""

import unicodedata
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.checking.report import CheckReport, sum_up
from mixtconv.data.checking.sides import sides_of
from mixtconv.data.checking.video import CheckedVideo
from mixtconv.data.datasets.catalog import load_catalog, load_labelled_videos
from mixtconv.data.datasets.scanning import list_videos
from mixtconv.data.listing import VideoSample, hold_out

# Folders


def test_train_and_val_folders(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "train/walk/10.mp4", "train/walk/9.mp4", "train/Jump/a.avi")
    sources.touch(tmp_path, "val/Jump/b.webm", "val/walk/c.MP4")
    catalog = load_catalog(tmp_path)
    assert catalog.classes == ("Jump", "walk")
    assert sources.names(catalog.train, tmp_path) == [
        "train/Jump/a.avi",
        "train/walk/9.mp4",
        "train/walk/10.mp4",
    ]
    assert [sample.label for sample in catalog.train] == [0, 1, 1]
    assert sources.names(catalog.val, tmp_path) == ["val/Jump/b.webm", "val/walk/c.MP4"]
    assert "'val' for validation" in catalog.split_rule
    assert catalog.ignored == () and catalog.notes == () and catalog.source == tmp_path


@pytest.mark.parametrize("name", ["valid", "validation", "Validation", "test"])
def test_other_names_of_the_validation_folder(
    tmp_path: Path, name: str, sources: ModuleType
) -> None:
    sources.touch(tmp_path, "train/a/1.mp4", "train/b/2.mp4", f"{name}/a/3.mp4")
    assert sources.names(load_catalog(tmp_path).val, tmp_path) == [f"{name}/a/3.mp4"]


def test_val_comes_before_test(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "val/a/3.mp4", "test/b/4.mp4")
    catalog = load_catalog(tmp_path)
    assert sources.names(catalog.val, tmp_path) == ["val/a/3.mp4"]
    assert catalog.notes == ("1 video of 'test' used neither for training nor for validation",)


def test_train_alone_is_split_by_the_rule(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *(f"train/{name}/{i}.mp4" for name in "ab" for i in range(20)))
    catalog = load_catalog(tmp_path)
    assert len(catalog.train) + len(catalog.val) == 40
    assert {sample.label for sample in catalog.val} == {0, 1}
    assert "hash" in catalog.split_rule and "20 %" in catalog.split_rule


def test_classes_named_like_splits(tmp_path: Path, sources: ModuleType) -> None:
    """Without a `train` folder of class folders, `test` is a class like any other."""
    sources.touch(tmp_path, "test/1.mp4", "test/2.mp4", "train/3.mp4", "train/4.mp4")
    sources.touch(tmp_path, "jump/5.mp4", "jump/6.mp4")
    assert load_catalog(tmp_path).classes == ("jump", "test", "train")


def test_what_is_not_taken_is_named(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "a/1.mp4", "a/2.mp4", "a/notes.txt", "a/deeper/3.mp4", "a/.hidden.mp4")
    sources.touch(tmp_path, "b/1.mp4", "b/2.mp4", "loose.mp4", "empty/readme.md", ".git/x/1.mp4")
    catalog = load_catalog(tmp_path)
    assert catalog.classes == ("a", "b")
    assert [path.relative_to(tmp_path).as_posix() for path in catalog.ignored] == [
        "a/deeper",
        "a/notes.txt",
        "empty",
        "loose.mp4",
    ]


def test_folders_beside_train_are_named(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "train/a/1.mp4", "train/b/1.mp4", "val/a/2.mp4", "validation/a/3.mp4")
    sources.touch(tmp_path, "annotations/x.json")
    ignored = load_catalog(tmp_path).ignored
    assert [path.name for path in ignored] == ["annotations", "validation"]


def test_folders_of_pictures_are_videos(tmp_path: Path, sources: ModuleType) -> None:
    for video in ("a/v1", "a/v2", "b/v3", "b/v4"):
        sources.touch(tmp_path, f"{video}/00001.jpg", f"{video}/00002.jpg")
    sources.touch(tmp_path, "b/v5.mp4", "b/cover.jpg")
    catalog = load_catalog(tmp_path)
    assert sorted(sources.names(catalog.train + catalog.val, tmp_path)) == [
        "a/v1",
        "a/v2",
        "b/v3",
        "b/v4",
        "b/v5.mp4",
    ]
    assert catalog.ignored == (tmp_path / "b/cover.jpg",)


def test_numbers_as_class_names_are_in_order_of_value(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *(f"{name}/{i}.mp4" for name in (10, 9, 100) for i in range(3)))
    assert load_catalog(tmp_path).classes == ("9", "10", "100")


def test_classes_given_fix_the_labels(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")
    catalog = load_catalog(tmp_path, classes=["c", "b", "a"])
    assert catalog.classes == ("c", "b", "a")
    assert {(sample.path.parent.name, sample.label) for sample in catalog.train} == {
        ("a", 2),
        ("b", 1),
    }


# The split rule


def test_the_split_is_the_same_everywhere() -> None:
    """The hash is part of the interface: a change of it would move videos between the splits."""
    held_out = hold_out([f"jump/{i}.mp4" for i in range(20)], 0.2)
    assert sorted(held_out) == [
        "jump/1.mp4",
        "jump/14.mp4",
        "jump/4.mp4",
        "jump/6.mp4",
        "jump/8.mp4",
    ]


def test_about_the_share_asked_for_is_held_out() -> None:
    assert 1900 < len(hold_out([f"{i}.mp4" for i in range(10_000)], 0.2)) < 2100


def test_the_share_is_that_of_the_user(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *(f"{name}/{i}.mp4" for name in "ab" for i in range(100)))
    catalog = load_catalog(tmp_path, val_fraction=0.5)
    assert 80 < len(catalog.val) < 120
    assert "50 %" in catalog.split_rule


def test_adding_videos_moves_none(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *(f"{name}/{i}.mp4" for name in "ab" for i in range(30)))
    before = load_catalog(tmp_path)
    sources.touch(tmp_path, *(f"{name}/new{i}.mp4" for name in "ab" for i in range(30)))
    after = load_catalog(tmp_path)
    assert set(before.train) < set(after.train)
    assert set(before.val) < set(after.val)


def test_the_order_of_listing_does_not_matter() -> None:
    keys = [f"{i}.mp4" for i in range(50)]
    assert hold_out(keys, 0.2) == hold_out(keys[::-1], 0.2)


def test_accents_composed_or_not_split_alike() -> None:
    composed = [f"caf\u00e9{i}.mp4" for i in range(50)]
    apart = [name.replace("\u00e9", "e\u0301") for name in composed]
    places = [composed.index(name) for name in hold_out(composed, 0.3)]
    assert sorted(places) == sorted(apart.index(name) for name in hold_out(apart, 0.3))


@pytest.mark.parametrize("fraction", [0.001, 0.2, 0.999])
@pytest.mark.parametrize("count", range(2, 7))
def test_every_class_has_both_parts(count: int, fraction: float) -> None:
    held_out = hold_out([f"{i}.mp4" for i in range(count)], fraction)
    assert 1 <= len(held_out) < count


def test_a_single_video_is_for_training(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "a/1.mp4", "b/1.mp4", "b/2.mp4")
    catalog = load_catalog(tmp_path)
    assert tmp_path / "a/1.mp4" in [sample.path for sample in catalog.train]
    assert catalog.notes == ("classes with one video, used for training: a",)


# Folders that cannot be used


def test_missing_path(tmp_path: Path, sources: ModuleType) -> None:
    message = sources.refusal(tmp_path / "clps")
    assert "neither a folder nor a file" in message and str(tmp_path / "clps") in message


def test_empty_folder(tmp_path: Path, sources: ModuleType) -> None:
    assert "no videos in it; expected" in sources.refusal(tmp_path)


def test_folder_of_one_class(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "jump/1.mp4", "jump/2.mp4")
    assert "one class only, 'jump'" in sources.refusal(tmp_path)


@pytest.mark.parametrize("video", ["1.mp4", "v1/00001.jpg", "train/1.mp4", "v1/flow_x/1.jpg"])
def test_videos_without_class_folders(tmp_path: Path, video: str, sources: ModuleType) -> None:
    sources.touch(tmp_path, video)
    if video.startswith("v1"):
        sources.touch(tmp_path, "v1/00002.jpg")
    assert "are not in class folders" in sources.refusal(tmp_path)


def test_folder_too_high(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "dataset/rgb/jump/1.mp4")
    assert "there is dataset/rgb/jump/1.mp4 deeper" in sources.refusal(tmp_path)


def test_validation_class_that_training_lacks(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "train/jump/1.mp4", "train/run/1.mp4", "val/jmup/2.mp4")
    message = sources.refusal(tmp_path)
    assert "1 class that training lacks" in message and "did you mean 'jump'" in message


def test_no_training_videos(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "val/a/1.mp4", "val/b/1.mp4")
    assert "no training videos" in sources.refusal(tmp_path)


def test_one_video_a_class(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "a/1.mp4", "b/1.mp4")
    assert "none for validation" in sources.refusal(tmp_path)


def test_class_folder_that_is_not_among_the_classes(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "jmup/1.mp4", "run/1.mp4")
    message = sources.refusal(tmp_path, classes=["jump", "run"])
    assert str(tmp_path / "jmup") in message and "did you mean 'jump'" in message


def test_options_out_of_range(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "a/1.mp4", "b/1.mp4")
    assert "val_fraction is 1.0" in sources.refusal(tmp_path, val_fraction=1.0)
    assert "a more than once" in sources.refusal(tmp_path, classes=["a", "b", "a"])


# Videos to score


def test_splits_to_score(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "val/a/3.mp4", "test/b/4.mp4")
    classes = ("b", "x", "a")

    def scored(split: str | None) -> list[tuple[str, int]]:
        samples = load_labelled_videos(tmp_path, classes=classes, split=split)  # type: ignore[arg-type]
        return [(sample.path.name, sample.label) for sample in samples]

    assert scored(None) == scored("val") == [("3.mp4", 2)]
    assert scored("test") == [("4.mp4", 0)]
    assert scored("train") == [("1.mp4", 2), ("2.mp4", 0)]
    assert sorted(scored("all")) == [("1.mp4", 2), ("2.mp4", 0), ("3.mp4", 2), ("4.mp4", 0)]
    with pytest.raises(ValueError, match="split is 'vla'; allowed are"):
        scored("vla")


def test_unsplit_data_are_scored_whole_or_as_training_split_them(
    tmp_path: Path, sources: ModuleType
) -> None:
    sources.touch(tmp_path, *(f"{name}/{i}.mp4" for name in "ab" for i in range(10)))
    catalog = load_catalog(tmp_path, val_fraction=0.3)
    options = {"classes": catalog.classes, "val_fraction": 0.3}
    assert len(load_labelled_videos(tmp_path, classes=catalog.classes)) == 20
    assert load_labelled_videos(tmp_path, split="val", **options) == catalog.val  # type: ignore[arg-type]
    assert load_labelled_videos(tmp_path, split="train", **options) == catalog.train  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no videos for split 'test'; it has no split"):
        load_labelled_videos(tmp_path, classes="ab", split="test")


def test_one_class_can_be_scored(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "test/b/1.mp4", "readme.txt")
    assert load_labelled_videos(tmp_path, classes=("a", "b")) == (
        VideoSample(tmp_path / "test/b/1.mp4", 1),
    )


def test_unknown_labels_are_refused(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "jmup/1.mp4")
    with pytest.raises(ValueError, match="unknown class 'jmup'; did you mean 'jump'"):
        load_labelled_videos(tmp_path, classes=("jump", "run"))
    with pytest.raises(ValueError, match="line 1: unknown class 'jmup'"):
        load_labelled_videos(
            sources.write_csv(tmp_path, "jmup/1.mp4,jmup"), classes=("jump", "run")
        )


def test_groups_of_a_csv_are_never_divided(tmp_path: Path, sources: ModuleType) -> None:
    names = [f"{label}{number}.mp4" for label in "ab" for number in range(20)]
    sources.touch(tmp_path, *names)
    lines = [f"{name},{name[0]},day {int(name[1:-4]) // 2}" for name in names]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,session", *lines]))
    catalog = load_catalog(tmp_path / "list.csv", val_fraction=0.3)
    held = {sample.group for sample in catalog.val}
    assert held == hold_out([f"day {day}" for day in range(10)], 0.3)
    assert held.isdisjoint({sample.group for sample in catalog.train})
    assert len(catalog.val) == 4 * len(held) and "the groups held out" in catalog.split_rule


# Names and pictures beside videos

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def classes_and_counts(data: Path) -> dict[str, int]:
    catalog = load_catalog(data)
    counts = Counter(sample.label for sample in catalog.train + catalog.val)
    return {name: counts[label] for label, name in enumerate(catalog.classes)}


def test_a_class_is_one_however_its_accents_are_encoded(
    tmp_path: Path, sources: ModuleType
) -> None:
    split, mixed, listed = tmp_path / "split", tmp_path / "mixed", tmp_path / "listed"
    sources.touch(split, *(f"train/{name}/{i}.mp4" for name in (NFC, "jump") for i in "12"))
    sources.touch(split, *(f"val/{name}/{i}.mp4" for name in (NFD, "jump") for i in "34"))
    sources.touch(mixed, *(f"{NFC}/{i}.mp4" for i in "12"), *(f"{NFD}/{i}.mp4" for i in "34"))
    sources.touch(mixed, "jump/1.mp4", "jump/2.mp4")
    sources.touch(listed, *(f"{i}.mp4" for i in "123456"))
    names = (NFC, NFD, NFC, NFD, "jump", "jump")
    lines = [f"{number}.mp4,{name}" for number, name in enumerate(names, 1)]
    assert classes_and_counts(split) == {NFC: 4, "jump": 4}
    assert classes_and_counts(mixed) == {NFC: 4, "jump": 2}
    assert classes_and_counts(sources.write_csv(listed, *lines)) == {NFC: 4, "jump": 2}
    assert all(sample.path.is_file() for sample in load_catalog(mixed).train)
    for classes in (["jump", NFC], ["jump", NFD]):  # those of a model
        samples = load_labelled_videos(split, classes=classes)
        assert [sample.label for sample in samples] == [1, 1, 0, 0]


@pytest.mark.parametrize("name", ["v{}", "v{}_frames"])
def test_frames_beside_their_videos_count_once(
    tmp_path: Path, name: str, sources: ModuleType
) -> None:
    for kind in ("jump", "wave"):
        for number in range(1, 5):
            folder = f"{kind}/{name.format(number)}"
            sources.touch(tmp_path, f"{kind}/v{number}.mp4")
            sources.touch(tmp_path, *(f"{folder}/{i:05d}.jpg" for i in range(1, 26)))
    catalog = load_catalog(tmp_path)
    paths = [sample.path for sample in catalog.train + catalog.val]
    assert len(paths) == len(set(paths)) == 8 and all(path.suffix == ".mp4" for path in paths)
    (note,) = catalog.notes
    assert note.startswith("8 folders of pictures left out, as the video that they belong to is")
    report = check_names(tmp_path)
    assert (report.num_videos, report.notes[:1]) == (8, catalog.notes)


def check_names(data: Path) -> CheckReport:
    """What is said of the names in data, whatever is in the files."""
    listing = list_videos(data)
    checked = {video.path: CheckedVideo(2) for video in listing.videos}
    return sum_up(listing, checked, sides=sides_of(listing))


def test_previews_are_no_videos(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *(f"{kind}/v{i}.mp4" for kind in ("jump", "wave") for i in "123"))
    sources.touch(tmp_path, "__MACOSX/jump/._v1.mp4", "jump/._v1.mp4", "jump/.DS_Store")
    sources.touch(tmp_path, "jump/Thumbs.db", "wave/desktop.ini", "wave/thumbs/v1.jpg")
    sources.touch(tmp_path, *(f"jump/@eaDir/v{i}.mp4/SCREENSHOT_M.jpg" for i in "123"))
    (tmp_path / "empty").mkdir()
    assert classes_and_counts(tmp_path) == {"jump": 3, "wave": 3}
    catalog = load_catalog(tmp_path)
    assert catalog.ignored == (tmp_path / "empty",)
    assert catalog.notes[0].endswith("belong to is there: wave/thumbs")


@pytest.mark.parametrize("cover", ["cover.png", "a.jpg", "Screenshot 1.png"])
def test_a_cover_beside_videos_is_named_and_not_taken(
    tmp_path: Path, cover: str, sources: ModuleType
) -> None:
    for kind in ("jump", "wave"):
        sources.touch(tmp_path, *(f"{kind}/{v}/{i}.jpg" for v in "ab" for i in range(9)))
        sources.touch(tmp_path, f"{kind}/{cover}", f"{kind}/a/thumb.jpg")
    assert classes_and_counts(tmp_path) == {"jump": 2, "wave": 2}
    catalog = load_catalog(tmp_path)
    assert catalog.ignored == (tmp_path / "jump" / cover, tmp_path / "wave" / cover)
    assert catalog.notes == (
        "2 pictures left out in folders of frames, by their names: jump/a/thumb.jpg, "
        "wave/a/thumb.jpg",
    )


def test_a_folder_of_a_video_and_its_cover_is_no_video(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "a/1/clip.mp4", "a/1/cover.jpg", "a/2.mp4", "a/3.mp4", "b/1.mp4")
    assert classes_and_counts(tmp_path) == {"a": 2, "b": 1}
    assert load_catalog(tmp_path).ignored == (tmp_path / "a/1",)
