"""Miniature copies of the six known datasets, in the layout, names and formats of the originals.

`make_miniature` writes the layout in which a dataset was first distributed; `rename_as_current`
turns such a copy of something_v2, jester or kinetics400 into the other one that is in use.
"""

import colorsys
import csv
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 48, 64

DEFAULT_CLASSES = {
    "something_v1": (
        "Pulling something from left to right",
        "Pulling something from right to left",
        "Holding something",
        "Pushing something so that it almost falls off but doesn't",
    ),
    "something_v2": (
        "Pulling something from left to right",
        "Pulling something from right to left",
        "Putting number of something onto something",
        "Putting something, something and something on the table",
    ),
    "jester": ("Swiping Left", "Swiping Right", "Thumb Up", "Doing other things"),
    "ucf101": ("Archery", "Hammering", "HammerThrow", "HandstandPushups"),
    "hmdb51": ("brush_hair", "cartwheel", "shoot_ball"),
    "kinetics400": ("abseiling", "massaging person's head", "shooting goal (soccer)"),
}


@dataclass(frozen=True)
class _Video:
    """A video to be made, and the list that it goes to."""

    class_name: str
    number: int
    """Its number within the class, from 0."""
    split: str
    frames: np.ndarray
    """uint8 (T, H, W, 3)."""


def make_miniature(
    name: str,
    root: Path,
    *,
    classes: Sequence[str] | None = None,
    videos_per_class: int = 3,
    num_frames: int = 16,
    seed: int = 0,
) -> Path:
    """Write a small copy of a dataset to `root`, which may exist, and return `root`.

    About a third of the videos of every class, at least one, is for validation (in ucf101 and
    hmdb51 for the test of split 1). Something-Something and Jester also have a test list without
    labels, HMDB-51 a video that split 1 leaves unused, Kinetics a line whose video is not there.
    """
    names = DEFAULT_CLASSES[name] if classes is None else tuple(classes)
    root.mkdir(parents=True, exist_ok=True)
    _WRITERS[name](root, names, list(_videos(names, videos_per_class, num_frames, seed)), seed)
    return root


def rename_as_current(name: str, root: Path) -> Path:
    """Turn a miniature copy into the other layout in use: v2, Jester or Kinetics."""
    _RENAMERS[name](root)
    return root


def _videos(
    names: Sequence[str], videos_per_class: int, num_frames: int, seed: int
) -> Iterator[_Video]:
    num_val = max(1, round(videos_per_class / 3))
    for index, class_name in enumerate(names):
        for number in range(videos_per_class):
            split = "val" if number < num_val else "train"
            rng = np.random.default_rng([seed, index, number])
            yield _Video(class_name, number, split, _draw(index, class_name, num_frames, rng))


def _draw(index: int, name: str, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """A bright square that moves over a ground of the class's colour, with some texture."""
    colour = np.array(colorsys.hsv_to_rgb(0.37 * index % 1, 0.9, 0.6)) * 255
    noise = rng.integers(-24, 25, (HEIGHT // 4, WIDTH // 4, 1)).repeat(4, 0).repeat(4, 1)
    ground = np.clip(colour + noise, 0, 255).astype(np.uint8)
    backwards = name.lower().endswith("left") if "eft" in name else index % 2 == 1
    top = int(rng.integers(4, HEIGHT - 20))
    frames = np.stack([ground] * num_frames)
    for time in range(num_frames):
        left = round((WIDTH - 16) * time / max(num_frames - 1, 1))
        left = WIDTH - 16 - left if backwards else left
        frames[time, top : top + 16, left : left + 16] = 240
    return frames


def _write_pictures(folder: Path, frames: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, 1):
        Image.fromarray(frame).save(folder / f"{number:05d}.jpg", quality=90)


def _write_video(path: Path, frames: np.ndarray, codec: str, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"}}.get(codec, {})
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.bit_rate, stream.thread_count = 400_000, 1
        if codec == "mpeg4":
            stream.codec_tag = "XVID"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _write_lines(path: Path, lines: Sequence[str], end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + end for line in lines), encoding="utf-8", newline="")


def _numbered(videos: Sequence[_Video], seed: int) -> list[tuple[int, _Video]]:
    """The videos with numbers in no order, as they come from the crowd."""
    numbers = np.random.default_rng([seed, len(videos)]).permutation(9 * len(videos)) + 1
    return sorted(
        ((int(n), v) for n, v in zip(numbers, videos, strict=False)), key=lambda pair: -pair[0]
    )


def _write_20bn(
    root: Path, stem: str, names: Sequence[str], videos: Sequence[_Video], seed: int
) -> None:
    """Lists with semicolons and no header, and a folder of pictures a video."""
    folder = root / f"20bn-{stem.removeprefix('20bn-')}"
    numbered = _numbered(videos, seed)
    for number, video in numbered:
        _write_pictures(folder / str(number), video.frames)
    for split, word in (("train", "train"), ("val", "validation")):
        lines = [f"{n};{video.class_name}" for n, video in numbered if video.split == split]
        _write_lines(root / f"{stem}-{word}.csv", lines)
    unlabelled = 9 * len(videos) + 1
    _write_pictures(folder / str(unlabelled), videos[0].frames)
    _write_lines(root / f"{stem}-test.csv", [str(unlabelled)])
    _write_lines(root / f"{stem}-labels.csv", names)


def _write_something_v1(
    root: Path, names: Sequence[str], videos: Sequence[_Video], seed: int
) -> None:
    shuffled = [*names[1::2], *names[::2]]  # the labels file is in no order
    _write_20bn(root, "something-something-v1", shuffled, videos, seed)


def _write_jester(root: Path, names: Sequence[str], videos: Sequence[_Video], seed: int) -> None:
    _write_20bn(root, "jester-v1", names, videos, seed)


def _write_something_v2(
    root: Path, names: Sequence[str], videos: Sequence[_Video], seed: int
) -> None:
    folder, numbered = root / "20bn-something-something-v2", _numbered(videos, seed)
    for number, video in numbered:
        _write_video(folder / f"{number}.webm", video.frames, "libvpx-vp9", 12)
    for split, word in (("train", "train"), ("val", "validation")):
        entries = [_v2_entry(n, video.class_name) for n, video in numbered if video.split == split]
        _write_json(root / f"something-something-v2-{word}.json", entries)
    unlabelled = 9 * len(videos) + 1
    _write_video(folder / f"{unlabelled}.webm", videos[0].frames, "libvpx-vp9", 12)
    _write_json(root / "something-something-v2-test.json", [{"id": str(unlabelled)}])
    labels = {name: str(index) for index, name in enumerate(sorted(names))}
    _write_json(root / "something-something-v2-labels.json", labels)


def _v2_entry(number: int, class_name: str) -> dict[str, object]:
    """An entry whose template has square brackets about what the label fills in."""
    template = class_name.replace("something", "[something]").replace("number of", "[number of]")
    label = class_name.lower().replace("something", "a pen")
    pens = ["a pen"] * class_name.count("something")
    return {"id": str(number), "label": label, "template": template, "placeholders": pens}


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _write_ucf101(root: Path, names: Sequence[str], videos: Sequence[_Video], seed: int) -> None:
    lists = root / "ucfTrainTestlist"
    paths = {}
    for video in videos:
        # In the original the files of this one class spell it otherwise than its folder.
        spelling = video.class_name.replace("HandstandPushups", "HandStandPushups")
        file = f"{video.class_name}/v_{spelling}_g{video.number + 1:02d}_c01.avi"
        paths[video.class_name, video.number] = file
        _write_video(root / "UCF-101" / file, video.frames, "mpeg4", 25)
    lines = [f"{label} {name}" for label, name in enumerate(names, 1)]
    _write_lines(lists / "classInd.txt", lines, "\r\n")
    for split in (1, 2, 3):
        tested = _tested(videos, split)
        train = [
            f"{paths[video.class_name, video.number]} {names.index(video.class_name) + 1}"
            for video, test in zip(videos, tested, strict=True)
            if not test
        ]
        test = [
            paths[video.class_name, video.number]
            for video, test in zip(videos, tested, strict=True)
            if test
        ]
        _write_lines(lists / f"trainlist{split:02d}.txt", train, "\r\n" if split == 1 else "\n")
        _write_lines(lists / f"testlist{split:02d}.txt", test)


def _tested(videos: Sequence[_Video], split: int) -> list[bool]:
    """Which videos split 1, 2 or 3 tests: other ones each, where there are enough."""
    per_class = max(video.number for video in videos) + 1
    num_test = max(1, round(per_class / 3))
    return [(video.number - (split - 1) * num_test) % per_class < num_test for video in videos]


_HMDB_NAMES = (
    "#437_How_To_{0}_{0}_f_cm_np1_le_med_{1}.avi",
    "Blödsinn_auf_Deutsch!_{0}_f_nm_np1_ri_med_{1}.avi",
    "Crash_(2004)_[cut]_&_more_{0}_h_cm_np2_fr_bad_{1}.avi",
    "April_09_{0}_u_nm_np1_ba_goo_{1}.avi",
)


def _write_hmdb51(root: Path, names: Sequence[str], videos: Sequence[_Video], seed: int) -> None:
    lists = root / "testTrainMulti_7030_splits"
    files = {}
    for video in videos:
        file = _HMDB_NAMES[video.number % 4].format(video.class_name, video.number)
        files[video.class_name, video.number] = file
        _write_video(root / video.class_name / file, video.frames, "mpeg4", 30)
    unused = f"unused_{names[0]}_f_cm_np1_fr_bad_0.avi"
    _write_video(root / names[0] / unused, videos[0].frames, "mpeg4", 30)
    for split in (1, 2, 3):
        tested = _tested(videos, split)
        for name in names:
            lines = [
                f"{files[name, video.number]} {2 if test else 1} "
                for video, test in zip(videos, tested, strict=True)
                if video.class_name == name
            ]
            lines += [f"{unused} {0 if split == 1 else 1} "] if name == names[0] else []
            _write_lines(lists / f"{name}_test_split{split}.txt", lines)


_KINETICS_HEADER = ("label", "youtube_id", "time_start", "time_end", "split")


def _write_kinetics400(
    root: Path, names: Sequence[str], videos: Sequence[_Video], seed: int
) -> None:
    rows: dict[str, list[tuple[object, ...]]] = {"train": [], "val": [], "test": []}
    for index, video in enumerate(videos):
        start = 7 * index
        word = "validate" if video.split == "val" else "train"
        code = f"{'-_'[index % 2]}k{seed % 1000:03d}_{index:05d}"  # eleven letters, as theirs are
        rows[video.split].append((video.class_name, code, start, start + 10, word))
        path = root / word / video.class_name / f"{code}_{start:06d}_{start + 10:06d}.mp4"
        _write_video(path, video.frames, "libx264", 25)
    rows["train"].append((names[0], "gone_since_1", 5, 15, "train"))
    for split, file in (("train", "train.csv"), ("val", "validate.csv")):
        with (root / file).open("w", encoding="utf-8", newline="") as lines:
            writer = csv.writer(lines, lineterminator="\n")
            writer.writerows([_KINETICS_HEADER, *rows[split]])


def _rename_something_v2(root: Path) -> None:
    """`labels/train.json` and so on, as downloaded today."""
    (root / "labels").mkdir()
    for word in ("train", "validation", "test", "labels"):
        (root / f"something-something-v2-{word}.json").rename(root / "labels" / f"{word}.json")


def _rename_jester(root: Path) -> None:
    """`Train.csv` with a header and more columns, `Train/<id>`; no file of labels."""
    labels = (root / "jester-v1-labels.csv").read_text(encoding="utf-8").splitlines()
    header = ["video_id", "label", "frames", "label_id", "shape", "format"]
    for word in ("train", "validation", "test"):
        old = root / f"jester-v1-{word}.csv"
        rows = []
        for line in old.read_text(encoding="utf-8").splitlines():
            number, _, label = line.partition(";")
            folder = root / word.capitalize() / number
            folder.parent.mkdir(exist_ok=True)
            (root / "20bn-jester-v1" / number).rename(folder)
            label_id = sorted(labels).index(label) if label else ""
            size = f"({HEIGHT}, {WIDTH}, 3)"
            rows.append([number, label, len(list(folder.iterdir())), label_id, size, "jpg"])
        with (root / f"{word.capitalize()}.csv").open("w", encoding="utf-8", newline="") as lines:
            csv.writer(lines).writerows(
                [["id" if word == "test" else header[0], *header[1:]], *rows]
            )
        old.unlink()
    (root / "jester-v1-labels.csv").unlink()
    (root / "20bn-jester-v1").rmdir()


def _rename_kinetics400(root: Path) -> None:
    """`annotations/val.csv`, all videos of a split in one folder, one of them replaced."""
    (root / "annotations").mkdir()
    (root / "train.csv").rename(root / "annotations" / "train.csv")
    (root / "validate.csv").rename(root / "annotations" / "val.csv")
    for old, new in (("train", "train"), ("validate", "val")):
        folder = (root / old).rename(root / f"{old}-by-class")
        (root / new).mkdir()
        for path in sorted(folder.glob("*/*.mp4")):
            path.rename(root / new / path.name)
        shutil.rmtree(folder)
    replaced = root / "replacement" / "replacement_for_corrupted_k400"
    replaced.mkdir(parents=True)
    corrupt = min((root / "train").iterdir())
    corrupt.rename(replaced / corrupt.name)
    corrupt.write_bytes(b"")


_WRITERS: dict[str, Callable[[Path, Sequence[str], Sequence[_Video], int], None]] = {
    "something_v1": _write_something_v1,
    "something_v2": _write_something_v2,
    "jester": _write_jester,
    "ucf101": _write_ucf101,
    "hmdb51": _write_hmdb51,
    "kinetics400": _write_kinetics400,
}
_RENAMERS: dict[str, Callable[[Path], None]] = {
    "something_v2": _rename_something_v2,
    "jester": _rename_jester,
    "kinetics400": _rename_kinetics400,
}
