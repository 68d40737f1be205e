"""Readers of the known datasets, on miniature copies in the layouts of the originals."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.datasets import DATASETS
from mixtconv.data.datasets.catalog import load_catalog, load_labelled_videos
from mixtconv.data.datasets.scanning import scan_videos
from mixtconv.data.listing import DataSource, VideoListing
from mixtconv.video.reader import probe_video

NAMES = ("something_v1", "something_v2", "jester", "ucf101", "hmdb51", "kinetics400")
TWO_LAYOUTS = ("something_v2", "jester", "kinetics400")


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory, miniature: ModuleType) -> Path:
    """A miniature copy of each dataset, to be copied by tests that change it."""
    folder = tmp_path_factory.mktemp("miniatures")
    for name in NAMES:
        miniature.make_miniature(name, folder / name)
    return folder


@pytest.fixture
def copy(originals: Path, tmp_path: Path):
    def make(name: str, to: str = "copy") -> Path:
        return shutil.copytree(originals / name, tmp_path / to)

    return make


def listing(name: str, root: Path, **options: object) -> VideoListing:
    return scan_videos(DataSource(name, root=str(root), **options))  # type: ignore[arg-type]


def of_numbered(root: Path, stem: str) -> dict[str, tuple[str, str]]:
    videos = {}
    for word, split in (("train", "train"), ("validation", "val")):
        for line in (root / f"{stem}-{word}.csv").read_text("utf-8").splitlines():
            videos[line.split(";")[0]] = line.split(";")[1], split
    return videos


def of_something_v2(root: Path) -> dict[str, tuple[str, str]]:
    videos = {}
    for word, split in (("train", "train"), ("validation", "val")):
        for entry in json.loads((root / f"something-something-v2-{word}.json").read_text("utf-8")):
            template = entry["template"].replace("[", "").replace("]", "")
            videos[entry["id"]] = template, split
    return videos


def of_ucf101(root: Path) -> dict[str, tuple[str, str]]:
    videos = {}
    for split in ("train", "test"):
        text = (root / "ucfTrainTestlist" / f"{split}list01.txt").read_text("utf-8")
        for line in text.split():
            if "/" in line:
                videos[line] = line.split("/")[0], split
    return videos


def of_hmdb51(root: Path) -> dict[str, tuple[str, str]]:
    videos = {}
    for path in (root / "testTrainMulti_7030_splits").glob("*_test_split1.txt"):
        cls = path.name.removesuffix("_test_split1.txt")
        for line in path.read_text("utf-8").splitlines():
            file, flag = line.rsplit(maxsplit=1)
            if flag != "0":
                videos[f"{cls}/{file}"] = cls, {"1": "train", "2": "test"}[flag]
    return videos


def of_kinetics400(root: Path) -> dict[str, tuple[str, str]]:
    videos = {}
    for file, split in (("train.csv", "train"), ("validate.csv", "val")):
        with (root / file).open(encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                times = int(row["time_start"]), int(row["time_end"])
                if row["youtube_id"] != "gone_since_1":
                    key = "{}_{:06d}_{:06d}".format(row["youtube_id"], *times)
                    videos[key] = row["label"], split
    return videos


READ = {
    "something_v1": lambda root: of_numbered(root, "something-something-v1"),
    "something_v2": of_something_v2,
    "jester": lambda root: of_numbered(root, "jester-v1"),
    "ucf101": of_ucf101,
    "hmdb51": of_hmdb51,
    "kinetics400": of_kinetics400,
}


def expected(name: str, root: Path) -> dict[str, tuple[str, str]]:
    """Key -> (class, split), read from the lists of split 1 in the plainest way."""
    return READ[name](root)


def found(result: VideoListing) -> dict[str, tuple[str, str | None]]:
    assert len({video.key for video in result.videos}) == len(result.videos)
    return {video.key: (video.class_name, video.split) for video in result.videos}


def test_all_six_are_registered() -> None:
    assert set(DATASETS) == set(NAMES)
    assert DATASETS["something_v2"].title == "Something-Something v2"


@pytest.mark.parametrize("name", NAMES)
def test_labels_splits_and_files_are_those_of_the_lists(name: str, originals: Path) -> None:
    root = originals / name
    result = listing(name, root)
    assert found(result) == expected(name, root)
    assert result.faults == () and result.source == root
    assert set(result.classes or ()) == {video.class_name for video in result.videos}
    for video in result.videos:
        assert video.path.exists() and video.path.is_relative_to(root)
    assert result.lists and all(path.is_file() for path in result.lists)
    assert probe_video(result.videos[0].path).num_frames == 16


@pytest.mark.parametrize("name", NAMES)
def test_the_held_out_videos_are_the_official_ones(name: str, originals: Path) -> None:
    source = DataSource(name, root=str(originals / name))
    catalog = load_catalog(source)
    listed = expected(name, originals / name)
    official = {key for key, (_, split) in listed.items() if split != "train"}
    keys = {video.path: video.key for video in scan_videos(source).videos}
    assert {keys[sample.path] for sample in catalog.val} == official
    scored = load_labelled_videos(source, classes=catalog.classes)
    assert {keys[sample.path] for sample in scored} == official
    for sample in catalog.train:
        assert listed[keys[sample.path]] == (catalog.classes[sample.label], "train")


@pytest.mark.parametrize("name", TWO_LAYOUTS)
def test_the_other_layout_gives_the_same_videos(
    name: str, copy, originals: Path, miniature: ModuleType
) -> None:
    root = miniature.rename_as_current(name, copy(name))
    result = listing(name, root)
    assert found(result) == found(listing(name, originals / name))
    assert result.classes == listing(name, originals / name).classes
    for video in result.videos:
        assert probe_video(video.path).num_frames == 16  # also the replaced video of Kinetics


def test_jester_with_lists_in_a_folder_labels(copy, originals: Path) -> None:
    root = copy("jester")
    (root / "labels").mkdir()
    for word in ("train", "validation", "labels"):
        (root / f"jester-v1-{word}.csv").rename(root / "labels" / f"{word}.csv")
    assert found(listing("jester", root)) == found(listing("jester", originals / "jester"))


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("something_v1", "20bn-something-something-v1"),
        ("something_v2", "20bn-something-something-v2"),
        ("jester", "20bn-jester-v1"),
        ("ucf101", "UCF-101"),
    ],
)
def test_videos_directly_under_the_root(name: str, folder: str, copy, originals: Path) -> None:
    root = copy(name)
    for entry in list((root / folder).iterdir()):
        entry.rename(root / entry.name)
    (root / folder).rmdir()
    assert found(listing(name, root)) == found(listing(name, originals / name))


def test_hmdb_videos_in_hmdb51_org_and_the_other_folder_of_lists(copy, originals: Path) -> None:
    root = copy("hmdb51")
    (root / "hmdb51_org").mkdir()
    for name in ("brush_hair", "cartwheel", "shoot_ball"):
        (root / name).rename(root / "hmdb51_org" / name)
    (root / "testTrainMulti_7030_splits").rename(root / "test_train_splits")
    assert found(listing("hmdb51", root)) == found(listing("hmdb51", originals / "hmdb51"))


@pytest.mark.parametrize("spelling", ["spaces", "underscores", "scaled", "ids", "replaced_names"])
def test_kinetics_folders(spelling: str, copy, originals: Path) -> None:
    root = copy("kinetics400")
    if spelling == "underscores":
        for folder in list(root.glob("*/*")):
            folder.rename(folder.with_name(folder.name.replace(" ", "_")))
    if spelling == "scaled":
        (root / "train").rename(root / "train_256")
        (root / "validate").rename(root / "val_256")
    if spelling == "ids":
        for path in list(root.glob("*/*/*.mp4")):
            path.rename(path.with_name(path.stem[:-14] + ".mp4"))
    if spelling == "replaced_names":
        (root / "train.csv").rename(root / "kinetics-400_train.csv")
        (root / "validate.csv").rename(root / "kinetics-400_val.csv")
    original = listing("kinetics400", originals / "kinetics400")
    assert found(listing("kinetics400", root)) == found(original)


def test_a_labelled_kinetics_test_list_is_read_and_another_is_left_out(copy) -> None:
    root = copy("kinetics400")
    lines = (root / "validate.csv").read_text("utf-8").splitlines()
    (root / "validate.csv").write_text("\n".join(lines[:2]), "utf-8")
    (root / "test.csv").write_text("\n".join([lines[0], *lines[2:]]), "utf-8")
    splits = Counter(video.split for video in listing("kinetics400", root).videos)
    assert splits == {"train": 6, "val": 1, "test": 2}
    without = "youtube_id,time_start,time_end,split\nx,1,11,test\n"
    for text in (without, f"{lines[0]}\n,x,1,11,test\n,y,1,11,test\n"):
        (root / "test.csv").write_text(text, "utf-8")
        result = listing("kinetics400", root)
        assert {video.split for video in result.videos} == {"train", "val"}
        assert any("test.csv has no labels" in note for note in result.notes)
        assert result.faults == ()


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_official_splits_test_other_videos(name: str, originals: Path) -> None:
    tested = []
    for split in (1, 2, 3):
        result = listing(name, originals / name, official_split=split)
        tested.append({video.key for video in result.videos if video.split == "test"})
        assert result.faults == ()
    assert all(tested) and not tested[0] & tested[1] and not tested[1] & tested[2]
    assert len(set.union(*tested)) == 3 * len(tested[0])


def test_hmdb_leaves_out_what_a_split_does_not_use(originals: Path) -> None:
    for split, used in ((1, False), (2, True)):
        result = listing("hmdb51", originals / "hmdb51", official_split=split)
        assert any("unused" in video.key for video in result.videos) is used


@pytest.mark.parametrize("name", NAMES)
def test_videos_in_another_form_keep_their_keys(name: str, copy, originals: Path) -> None:
    """As `mixtconv prepare` leaves them: another suffix, or a folder of pictures for a file."""
    root = copy(name)
    for number, video in enumerate(listing(name, root).videos):
        if video.path.is_dir():
            shutil.rmtree(video.path)
            video.path.with_name(video.path.name + ".mp4").touch()
        elif number % 2:
            video.path.rename(video.path.with_suffix(".mkv"))
        else:
            video.path.unlink()
            video.path.with_suffix("").mkdir()
    assert found(listing(name, root)) == found(listing(name, originals / name))


@pytest.mark.parametrize("name", NAMES)
def test_the_outer_folder_is_used_and_the_inner_one_refused(
    name: str, copy, originals: Path
) -> None:
    root = copy(name, to="outer/inner")
    assert found(listing(name, root.parent)) == found(listing(name, originals / name))
    folder = next(folder for folder in sorted(root.iterdir()) if folder.is_dir())
    if "plits" in folder.name or "list" in folder.name:
        folder = next(f for f in sorted(root.iterdir()) if f.is_dir() and f != folder)
    with pytest.raises(ValueError) as caught:
        listing(name, folder)
    assert f"give {root}" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_another_folder_is_refused_with_what_is_in_it(name: str, tmp_path: Path) -> None:
    for entry in ("holiday", "letters"):
        (tmp_path / "stuff" / entry).mkdir(parents=True)
    with pytest.raises(ValueError) as caught:
        listing(name, tmp_path / "stuff")
    message = str(caught.value)
    assert "found holiday/, letters/" in message and "looked for" in message
    assert "give the folder that holds" in message and "\n" not in message


@pytest.mark.parametrize("name", NAMES)
def test_symbolic_link_loops_are_survived(name: str, copy, originals: Path) -> None:
    root = copy(name)
    folders = [path for path in root.rglob("*") if path.is_dir()]
    for folder in (root, *folders):
        (folder / "loop").symlink_to(root)
        (folder / "itself").symlink_to(folder / "itself")
    assert found(listing(name, root)) == found(listing(name, originals / name))


def test_folders_may_be_links(copy, originals: Path, tmp_path: Path) -> None:
    root = copy("ucf101")
    (root / "UCF-101").rename(tmp_path / "elsewhere")
    (root / "UCF-101").symlink_to(tmp_path / "elsewhere")
    assert found(listing("ucf101", root)) == found(listing("ucf101", originals / "ucf101"))


def test_ucf_spellings_of_handstand_pushups_are_one(copy) -> None:
    root = copy("ucf101")
    (root / "UCF-101/HandstandPushups").rename(root / "UCF-101/HandStandPushups")
    for path in (root / "ucfTrainTestlist").glob("trainlist*.txt"):
        path.write_text(path.read_text().replace("HandstandPushups/", "HandStandPushups/"))
    result = listing("ucf101", root)
    assert result.faults == ()
    assert {video.class_name for video in result.videos} == set(result.classes or ())


def test_one_list_without_the_other_is_noted(copy) -> None:
    root = copy("something_v1")
    (root / "something-something-v1-validation.csv").unlink()
    result = listing("something_v1", root)
    assert {video.split for video in result.videos} == {"train"}
    assert any("no something-something-v1-validation.csv" in note for note in result.notes)


def test_videos_are_found_by_listing_folders_not_by_asking_for_each(
    originals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    for method in ("stat", "exists", "resolve"):
        before = getattr(Path, method)

        def count(self, *args, _before=before, **options):
            asked.append(self)
            return _before(self, *args, **options)

        monkeypatch.setattr(Path, method, count)
    result = listing("something_v2", originals / "something_v2")
    assert not {video.path for video in result.videos} & set(asked)
