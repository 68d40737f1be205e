"""Lists that give a video several labels, in each of their forms, and labels of overlaps."""

import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.checking.run import check
from mixtconv.data.datasets.catalog import load_catalog, load_labelled_videos
from mixtconv.data.datasets.scanning import list_videos
from mixtconv.data.labels import mirror_labels
from mixtconv.data.listing import DataSource, ListedVideo, VideoSample, labels_of
from mixtconv.data.preparation.run import prepare
from mixtconv.data.several_labels import LEAST_COVERED, with_overlapping_labels
from mixtconv.video.segment import Span

LABELS = [("walk", "wave"), ("walk",), (), ("wave",), ("walk", "wave"), ()]
BARS = "\n".join(f"{number}.mp4,{'|'.join(own)}" for number, own in enumerate(LABELS))
COLUMNS = "\n".join(
    f"{number}.mp4,x,{int('walk' in own)},{int('wave' in own)}" for number, own in enumerate(LABELS)
)
JSON = ", ".join(
    f'{{"video": "{number}.mp4", "label": {list(own)}}}'.replace("'", '"')
    for number, own in enumerate(LABELS)
)
WORDS = "\n".join(
    f"{number}.mp4,x,{'true' if 'walk' in own else 'false'},{'1' if 'wave' in own else ''}"
    for number, own in enumerate(LABELS)
)
FORMS = {
    "bars.csv": f"path,label\n{BARS}\n",
    "semicolons.csv": f"path;label\n{BARS.replace(',', ';')}\n",
    "columns.csv": f"path,note,walk,wave\n{COLUMNS}\n",
    "words.csv": f"video,note,walk,wave\n{WORDS}\n",
    "named.csv": f"path,labels\n{BARS}\n",
    "list.json": f"[{JSON}]",
}

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(name: str, text: str) -> Path:
        for number in range(12):
            (tmp_path / f"{number}.mp4").touch()
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def _named(samples: tuple[VideoSample, ...], classes: tuple[str, ...]) -> dict[str, tuple]:
    return {
        sample.path.stem: tuple(classes[number] for number in labels_of(sample.label))
        for sample in samples
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_labels(form: str, make: Make) -> None:
    catalog = load_catalog(make(form, FORMS[form]), val_fraction=0)
    assert catalog.several and catalog.classes == ("walk", "wave")
    assert _named(catalog.train, catalog.classes) == {
        str(number): own for number, own in enumerate(LABELS)
    }
    assert {sample.label for sample in catalog.train} == {(1, 1), (1, 0), (0, 0), (0, 1)}


def test_lines_that_repeat_a_video_add_labels_where_it_may_have_several(make: Make) -> None:
    data = make("lines.csv", "path,label\n0.mp4,walk\n1.mp4,wave\n0.mp4,wave\n0.mp4,walk\n")
    catalog = load_catalog(DataSource(str(data), labels="several"), val_fraction=0)
    assert _named(catalog.train, catalog.classes) == {"0": ("walk", "wave"), "1": ("wave",)}
    with pytest.raises(ValueError, match="in class 'wave' here and in 'walk' on line 2"):
        load_catalog(data)
    data.write_text("path,label,split\n0.mp4,walk,train\n1.mp4,,train\n0.mp4,wave,val\n")
    with pytest.raises(ValueError, match="in split 'val' here and in 'train' on line 2"):
        load_catalog(DataSource(str(data), labels="several"))


def test_a_bar_belongs_to_the_name_without_a_header_or_on_request(
    make: Make, tmp_path: Path
) -> None:
    rows = "0.mp4,a|b\n1.mp4,c\n2.mp4,a|b\n3.mp4,c\n"
    for data in (
        make("bare.csv", rows),
        DataSource(str(make("h.csv", f"path,label\n{rows}")), labels="one"),
    ):
        catalog = load_catalog(data)
        assert not catalog.several and catalog.classes == ("a|b", "c")
    said = load_catalog(tmp_path / "h.csv")
    assert said.classes == ("a", "b", "c")
    assert any("--labels one takes it for a name" in note for note in said.notes)
    asked = load_catalog(DataSource(str(make("bare.csv", rows)), labels="several"))
    assert asked.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("path,label\n0.mp4,a||b\n1.mp4,a\n", "has an empty label"),
        ("path,walk,wave\n0.mp4,1,0\n1.mp4,2,0\n2.mp4,0,1\n", "give 0 or 1"),
        ("path,wa|lk,wave\n0.mp4,1,0\n1.mp4,0,1\n", "has a bar in its name"),
        ("path,label\n0.mp4,a|b\n1.mp4,a|b\n", "have the same labels, a, b"),
        ("path,label,split\n0.mp4,a|b,train\n1.mp4,a,train\n2.mp4,c|b,val\n", "training lacks"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(text: str, match: str, make: Make) -> None:
    with pytest.raises(ValueError, match=match):
        load_catalog(make("bad.csv", text))


def test_scoring_reads_the_data_as_the_model_gives_labels(make: Make) -> None:
    bars, columns = make("bars.csv", FORMS["bars.csv"]), make("c.csv", FORMS["columns.csv"])
    classes = ("wave", "other", "walk")
    for data in (bars, columns):
        samples = load_labelled_videos(data, classes=classes, several=True)
        assert samples[0].label == (1, 0, 1) and samples[2].label == (0, 0, 0)
    with pytest.raises(ValueError, match=r"unknown class 'walk\|wave'"):
        load_labelled_videos(bars, classes=classes)
    with pytest.raises(ValueError, match="a column of 0 and 1 for each class"):
        load_labelled_videos(columns, classes=classes)
    with pytest.raises(ValueError, match="--labels is one, and the model was trained with several"):
        load_labelled_videos(DataSource(str(bars), labels="one"), classes=classes, several=True)
    plain = make("plain.csv", "path,label\n0.mp4,wave\n1.mp4,\n")  # as one that names none twice
    samples = load_labelled_videos(plain, classes=classes, several=True)
    assert [sample.label for sample in samples] == [(1, 0, 0), (0, 0, 0)]


def test_sets_of_labels_are_spread_over_a_split_and_no_label_is_only_validated(make: Make) -> None:
    rows = "".join(f"{n}.mp4,{'|'.join(LABELS[n % 4])}\n" for n in range(12))
    catalog = load_catalog(make("many.csv", f"path,label\n{rows}"), val_fraction=0.34)
    for samples in (catalog.train, catalog.val):
        assert {sample.label for sample in samples} == {(1, 1), (1, 0), (0, 0), (0, 1)}


def _segment(path: str, start: int, end: int, label: str) -> ListedVideo:
    """From and to a hundredth of a second."""
    span = Span(Fraction(start, 100), Fraction(end, 100))
    return ListedVideo(Path(path), label, None, f"{path}#{span}", span=span, labels=(label,))


def test_a_segment_has_all_labels_that_cover_half_of_it() -> None:
    """Against plain sums over hundredths of a second."""
    chance = random.Random(0)
    segments = {}
    for _ in range(60):
        path, start = chance.choice(["a", "b"]), chance.randrange(300)
        end = start + chance.randrange(5, 90)
        segment = _segment(path, start, end, chance.choice("uvwxyz"))
        segments.setdefault((path, segment.span), segment)
    found = with_overlapping_labels(list(segments.values()))
    assert any(len(video.labels or ()) > 2 for video in found)
    for video in found:
        assert video.span is not None and video.labels is not None
        own = range(round(100 * video.span.start), round(100 * video.span.end))
        times: dict[str, set[int]] = {}
        for other in segments.values():
            if other.path == video.path and other.span is not None and other.labels:
                stretch = range(round(100 * other.span.start), round(100 * other.span.end))
                times.setdefault(other.labels[0], set()).update(set(own) & set(stretch))
        expected = {name for name, held in times.items() if len(held) >= LEAST_COVERED * len(own)}
        assert set(video.labels) == expected
        assert video.class_name == "|".join(video.labels)


def test_seconds_and_frames_are_compared_by_when_frames_are_shown(
    make: Make, tmp_path: Path, media: ModuleType
) -> None:
    """Frames of a rate that changes: 10 a second, then 40."""
    data = make(
        "mixed.csv",
        "video,label,start,end,start_frame,end_frame\n0.mp4,walk,1,2,,\n0.mp4,wave,,,10,50\n"
        "0.mp4,jump,,,0,15\n1.mp4,walk,0,1,,\n1.mp4,wave,,,0,10\n",
    )
    times = [60 * n for n in range(10)] + [600 + 15 * n for n in range(60)]  # of 1/600 s
    media.encode(tmp_path / "0.mp4", media.moving_frames(70), times=times)
    listing = list_videos(DataSource(str(data), labels="several"))
    # Seconds: walk 1 to 2, wave 1 to 2, jump 0 to 1.125; of the other file nothing is known.
    assert [video.labels for video in listing.videos] == [
        ("walk", "wave"),
        ("walk", "wave"),
        ("jump",),
        ("walk",),
        ("wave",),
    ]


def test_overlapping_segments_of_a_list_have_each_others_labels_on_request(make: Make) -> None:
    data = make(
        "segments.csv",
        "video,label,start,end\n0.mp4,walk,0,4\n0.mp4,wave,3,6\n0.mp4,jump,1,3\n1.mp4,jump,0,2\n"
        "1.mp4,,4,5\n",
    )
    with pytest.raises(ValueError, match="an empty label"):
        load_catalog(data, val_fraction=0)
    source = DataSource(str(data), labels="several")
    catalog = load_catalog(source, val_fraction=0)
    labels = [tuple(catalog.classes[i] for i in labels_of(s.label)) for s in catalog.train]
    assert labels == [("jump", "walk"), ("wave",), ("jump", "walk"), ("jump",), ()]
    data.write_text(data.read_text().replace("1.mp4,,4,5\n", ""))
    one = load_catalog(data, val_fraction=0)
    assert not one.several
    assert any("2 segments lie for half or more under another" in note for note in one.notes)


def test_a_mirror_exchanges_sides_among_several_labels() -> None:
    mirror = mirror_labels(["turn left", "jump", "turn right"])
    for label in ((1, 1, 0), (1, 0, 1), (0, 0, 0)):
        assert mirror.mirrored(label) == label[::-1]


def test_a_prepared_list_has_the_labels_of_its_original(
    make: Make, tmp_path: Path, media: ModuleType
) -> None:
    rows = "0.mp4,1,0\n1.mp4,0,0\n2.mp4,0,1\n"  # none has two
    data = make("columns.csv", f"path,walk,wave\n{rows}")
    for number in range(3):
        media.encode(tmp_path / f"{number}.mp4", media.moving_frames(2, seed=number))
    prepare(data, out=tmp_path / "out", workers=1)
    before, after = (
        load_catalog(path, val_fraction=0) for path in (data, tmp_path / "out" / "columns.csv")
    )
    assert [s.label for s in after.train] == [s.label for s in before.train]
    assert after.several and after.classes == before.classes


def test_check_reads_several_labels(make: Make) -> None:
    rows = "".join(f"{n}.mp4,{'|'.join(LABELS[n % 4])}\n" for n in range(12))
    report = check(make("many.csv", f"path,label\n{rows}"), quick=True, workers=1)
    assert {fault.kind for fault in report.faults} == {"unreadable"}  # the files are empty
    assert any("2 classes too small to judge: 'walk'" in note for note in report.notes)
