"""Datasets of a program: where their labels come from, and what they may give as a video."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset

from mixtconv.data.checking.preflight import check_catalog
from mixtconv.data.clips import read_clip
from mixtconv.data.contents import content_key
from mixtconv.data.datasets.catalog import catalog_of
from mixtconv.data.datasets.own import list_own
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.segment_frames import iterate_video, probe

FRAMES = np.random.default_rng(0).integers(0, 256, (6, 24, 32, 3), dtype=np.uint8)


class Counted(Dataset):
    """Counts how often an item is asked for."""

    def __init__(self, labels, **attributes) -> None:
        self.labels, self.asked = labels, 0
        vars(self).update(attributes)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int):
        self.asked += 1
        return torch.from_numpy(FRAMES).permute(0, 3, 1, 2), self.labels[number]


def _classes(listing) -> list[str]:
    return [video.class_name for video in listing.videos]


def test_labels_come_from_where_they_cost_least() -> None:
    told = Counted([1, 0, 2], targets=[1, 0, 2], classes=["walk", "wave", "jump"])
    assert _classes(list_own(told)) == ["wave", "walk", "jump"]
    assert _classes(list_own(Subset(told, [2, 0]), classes=["a", "b", "c"])) == ["c", "b"]
    assert told.asked == 0
    told.target_transform = lambda label: label  # items may say something else
    assert _classes(list_own(told)) == ["wave", "walk", "jump"] and told.asked == 3
    untold = Counted([np.int64(1), torch.tensor(0), 10])
    listing = list_own(untold)
    assert _classes(listing) == ["1", "0", "10"] and untold.asked == 3
    assert listing.classes == tuple(map(str, range(11)))
    catalog = catalog_of(list_own(Counted([1, 0, 1, 0]), val=Counted([0, 1])))
    assert [len(catalog.train), len(catalog.val)] == [4, 2]
    assert [sample.label for sample in catalog.val] == [0, 1]


def test_items_may_be_pairs_or_dictionaries_and_have_several_labels() -> None:
    items = [{"clip": FRAMES, "label": "b"}, (FRAMES, "a"), [FRAMES, "b"]]
    assert _classes(list_own(items)) == ["b", "a", "b"]
    several = list_own([(FRAMES, ["wave", "walk"]), (FRAMES, [])])
    assert [video.labels for video in several.videos] == [("walk", "wave"), ()]
    marked = list_own([(FRAMES, torch.tensor([1.0, 0, 1]))], classes=["x", "y", "z"])
    assert marked.videos[0].labels == ("x", "z")


def test_every_form_of_a_video_gives_the_same_frames(media, tmp_path: Path) -> None:
    file = media.encode(tmp_path / "a.mkv", FRAMES, codec="ffv1", pixel_format="bgr0")
    forms = [
        FRAMES,
        torch.from_numpy(FRAMES).permute(0, 3, 1, 2),
        list(FRAMES),
        file,
        str(file),
        file.read_bytes(),
        {"bytes": file.read_bytes(), "path": None},
        {"bytes": None, "path": str(file)},
    ]
    videos = list_own([(form, 0) for form in forms]).videos
    for listed in videos:
        video = listed.video
        assert np.array_equal(np.stack(list(iterate_video(video))), FRAMES)
        clip = read_clip(video, lambda num_frames: range(1, num_frames, 2))
        assert torch.equal(clip.frames.permute(0, 2, 3, 1), torch.from_numpy(FRAMES[1::2]))
        facts = probe(video)
        assert (facts.num_frames, facts.width, facts.height) == (6, 32, 24)
    assert len({content_key(listed.video) for listed in videos[:3]}) == 1
    assert content_key(videos[3].video) == content_key(videos[5].video) == content_key(file)


def test_what_is_no_video_is_found_before_training(tmp_path: Path) -> None:
    wrong = [FRAMES / 255, FRAMES.transpose(3, 0, 1, 2), tmp_path / "gone.mp4", 7, FRAMES]
    catalog = catalog_of(list_own([(form, n % 2) for n, form in enumerate(wrong)]), val_fraction=0)
    bad = {
        str(each.path): each.reason for each in check_catalog(catalog, modality="rgb").unreadable
    }
    assert list(bad) == ["data[0]", "data[1]", "data[2]", "data[3]"]
    assert "float64" in bad["data[0]"] and "(C, T, H, W)" in bad["data[1]"]
    assert "int" in bad["data[3]"]
    flow = check_catalog(catalog, modality="flow").unreadable
    assert len(flow) == 5 and "no optical flow" in flow[-1].reason
    with pytest.raises(UnreadableVideoError, match=r"data\[0\]: got frames of float64"):
        probe(catalog.train[0].video)


def test_frames_that_were_seen_with_their_labels_are_not_asked_for_again() -> None:
    dataset = Counted([0, 1, 0, 1])
    catalog = catalog_of(list_own(dataset), val_fraction=0)
    assert not check_catalog(catalog, modality="rgb").unreadable
    assert dataset.asked == 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([(FRAMES,)], r"item 0 is a tuple of 1; an item is a pair"),
        ([{"x": 1}], r"item 0 has the keys x"),
        ([(FRAMES, -1)], r"data\[0\]: the label is -1"),
        ([(FRAMES, True)], r"data\[0\]: the label is True"),
        ([(FRAMES, 0.5)], r"data\[0\]: the label is 0.5"),
        ([], "without items"),
        ({"train": []}, r"got a dict as a dataset, with train; give one of its parts"),
        (iter([]), r"got list_iterator as a dataset; give one with len\(\)"),
    ],
)
def test_what_is_no_dataset_is_said_in_one_line(data, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        list_own(data)
    assert "\n" not in str(caught.value)


def test_a_path_as_the_validation_part_of_a_dataset_is_named_as_one(tmp_path: Path) -> None:
    for path in ("clips", tmp_path):
        with pytest.raises(ValueError, match=r"val is '.*', a path beside a dataset; give"):
            list_own([(FRAMES, "a"), (FRAMES, "b")], val=path)


def test_labels_are_among_the_classes() -> None:
    with pytest.raises(ValueError, match=r"data\[0\]: the label is 2; .* its number of 2 classes"):
        list_own([(FRAMES, 2)], classes=["a", "b"])
    with pytest.raises(ValueError, match=r"unknown class 'wav'.*wave"):
        list_own([(FRAMES, "wav")], classes=["wave", "b"])


def test_a_dataset_of_hugging_face_tells_columns_and_names(media, tmp_path: Path) -> None:
    """By what the package documents: features by column, `cast_column`, columns of labels."""
    datasets = pytest.importorskip("datasets")
    file = media.encode(tmp_path / "a.mkv", FRAMES, codec="ffv1", pixel_format="bgr0")
    columns = {"film": [str(file)] * 2, "kind": [1, 0]}
    features = {"film": datasets.Video(), "kind": datasets.ClassLabel(names=["walk", "wave"])}
    listing = list_own(datasets.Dataset.from_dict(columns, features=datasets.Features(features)))
    assert _classes(listing) == ["wave", "walk"] and listing.classes == ("walk", "wave")
    assert np.array_equal(np.stack(list(iterate_video(listing.videos[0].video))), FRAMES)
    numbers = datasets.Dataset.from_dict({"frames": [FRAMES] * 2, "label": ["b", "a"]})
    listing = list_own(numbers)
    assert _classes(listing) == ["b", "a"]
    assert np.array_equal(np.stack(list(iterate_video(listing.videos[1].video))), FRAMES)
    with pytest.raises(ValueError, match="the dataset has the columns x, and none of videos"):
        list_own(datasets.Dataset.from_dict({"x": [1]}))


def test_columns_of_videos_stay_files() -> None:
    """A stand-in with just what is used of the package, which need not be installed."""

    class Table:
        def __init__(self, decode: bool) -> None:
            self.decode = decode
            video = type("Video", (), {"__init__": lambda self, decode: None})
            self.features = {"v": video(decode), "label": SimpleNamespace(names=["a", "b"])}

        def __len__(self) -> int:
            return 2

        def __getitem__(self, key):
            if key == "label":
                return [1, 0]
            assert not self.decode, "a video was decoded"
            return {"v": {"bytes": b"RIFF", "path": None}}

        def cast_column(self, name, feature):
            assert name == "v"
            return Table(decode=False)

    listing = list_own(Table(decode=True))
    assert _classes(listing) == ["b", "a"] and listing.classes == ("a", "b")
    item = listing.videos[1].item
    assert item is not None and item.give(item.number) == b"RIFF"


def test_numbers_mean_the_classes_of_their_own_dataset() -> None:
    train = Counted([0, 1, 2], classes=["a", "b", "c"])
    val = Subset(Counted([0, 1], classes=["a", "c"]), [0, 1])
    listing = list_own(train, val=val)
    assert _classes(listing) == ["a", "b", "c", "a", "c"] and listing.classes == ("a", "b", "c")


def test_strings_of_digits_are_names() -> None:
    listing = list_own([(FRAMES, "2015"), (FRAMES, "07")])
    assert listing.classes is None and _classes(listing) == ["2015", "07"]
    with pytest.raises(ValueError, match=r"data\[0\]: the label is 3000000; give `classes`"):
        list_own([(FRAMES, 3_000_000)])


def test_lists_of_class_numbers_of_hugging_face_are_names() -> None:
    inner = SimpleNamespace(names=["a", "b"])

    class Table:
        features = {"video": SimpleNamespace(), "label": SimpleNamespace(feature=inner)}  # noqa: RUF012

        def __len__(self) -> int:
            return 2

        def __getitem__(self, key):
            return [[0, 1], [1]] if key == "label" else {"video": FRAMES}

        def cast_column(self, *args):
            raise AssertionError

    assert [video.labels for video in list_own(Table()).videos] == [("a", "b"), ("b",)]


def test_a_dataset_may_read_from_another() -> None:
    inner = list_own([(FRAMES, 0), (FRAMES, 1)]).videos

    class Outer(Counted):
        def __getitem__(self, number: int):
            return read_clip(inner[number].video, range).frames, number

    video = list_own(Outer([0, 1], targets=[0, 1])).videos[1].video
    assert np.array_equal(np.stack(list(iterate_video(video))), FRAMES)


def test_what_a_dataset_raises_is_said_with_the_number() -> None:
    class Broken(Counted):
        def __getitem__(self, number: int):
            if number == 1:
                raise RuntimeError("no frame")
            return super().__getitem__(number)

    with pytest.raises(ValueError, match="item 1: the dataset raised RuntimeError: no frame"):
        list_own(Broken([0, 1]))
    catalog = catalog_of(list_own(Broken([0, 1, 0], targets=[0, 1, 0])), val_fraction=0)
    [bad] = check_catalog(catalog, modality="rgb").unreadable
    assert (str(bad.path), bad.reason) == ("data[1]", "the dataset raised RuntimeError: no frame")


def test_an_open_file_is_read_as_often_as_it_is_asked_for(media, tmp_path: Path) -> None:
    path = media.encode(tmp_path / "a.mkv", FRAMES, codec="ffv1", pixel_format="bgr0")
    with path.open("rb") as file:
        video = list_own([(file, 0)]).videos[0].video
        for _ in range(2):
            assert np.array_equal(np.stack(list(iterate_video(video))), FRAMES)
