"""The picture of samples shows what training is fed with."""

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.reporting.samples import draw_samples
from mixtconv.reporting.settings import SampleSettings
from mixtconv.training.data import VideoDataModule
from mixtconv.training.initial_weights import make_initial_model
from mixtconv.training.plan import plan_run


@pytest.mark.parametrize("epoch", [0, 2])
def test_it_is_the_first_batch_of_the_loader(tiny_settings, epoch: int) -> None:
    settings = tiny_settings(batch_size=6)
    drawing = draw_samples(settings, epoch=epoch)
    catalog = load_catalog(settings)
    module = VideoDataModule(
        plan_run(settings), make_initial_model(settings, catalog.classes).model.spec
    )
    module.trainer = SimpleNamespace(global_rank=0, world_size=1, current_epoch=epoch)
    batch = next(iter(module.train_dataloader()))
    shown = drawing.numbers["samples"]
    assert [item["path"] for item in shown] == [
        str(catalog.train[index].path) for index in batch.indices.tolist()
    ]
    assert [item["given_label"] for item in shown] == [
        catalog.classes[label] for label in batch.labels.tolist()
    ]
    assert drawing.numbers["clip_shape"] == list(batch.frames.shape[1:])
    assert len(drawing.figure.axes) == 6


def test_a_system_with_clips_of_its_own_is_shown_with_these(tiny_settings) -> None:
    settings = tiny_settings(model="i3d_resnet50", num_frames=None, batch_size=2)
    drawing = draw_samples(settings)
    spec = make_initial_model(settings, load_catalog(settings).classes).model.spec
    assert spec.num_frames == 32
    assert drawing.numbers["clip_shape"] == [32, 3, settings.image_size, settings.image_size]


def test_mirrored_clips_and_their_labels_are_said(tiny_settings) -> None:
    drawing = draw_samples(tiny_settings(batch_size=12, mixup=0.2))
    shown = drawing.numbers["samples"]
    mirrored = [item["mirrored"] for item in shown]
    assert any(mirrored) and not all(mirrored)
    pairs = {frozenset(pair) for pair in drawing.numbers["exchanged_by_mirroring"]}
    for item in shown:
        exchanged = item["label"] != item["given_label"]
        assert not exchanged or item["mirrored"]
        assert not exchanged or frozenset((item["label"], item["given_label"])) in pairs
    captions = " ".join(text.get_text() for text in drawing.figure.texts)
    assert captions.count("mirrored") == sum(mirrored)
    assert any("mixup" in note for note in drawing.notes)
    plain = draw_samples(tiny_settings(batch_size=12, flip=False))
    assert not any(item["mirrored"] for item in plain.numbers["samples"])


def test_a_clip_that_cannot_be_read_is_named(tiny_settings, tiny_dataset: Path, tmp_path) -> None:
    # Splits are given: chosen by a hash, they would depend on the folder that the test runs in.
    rows = [
        f"{path},{path.parent.name},{path.parent.parent.name}"
        for path in sorted(tiny_dataset.rglob("*.mp4"))
    ]
    label = next(iter(rows)).split(",")[1]
    (tmp_path / "bad.mp4").write_bytes(b"")
    table = tmp_path / "videos.csv"
    table.write_text("\n".join(["path,label,split", *rows, f"bad.mp4,{label},train"]))
    drawing = draw_samples(tiny_settings(data=str(table), batch_size=16))
    num_train = sum(row.endswith(",train") for row in rows)
    assert len(drawing.numbers["samples"]) == num_train >= 9
    assert [Path(video.path).name for video in drawing.unreadable] == ["bad.mp4"]


def test_its_flags_are_those_of_training_but_for_the_picture(tiny_settings) -> None:
    settings = SampleSettings(**asdict(tiny_settings()) | {"out": "a.png"})
    assert draw_samples(settings).numbers == draw_samples(tiny_settings()).numbers


def test_a_segment_is_named_with_its_times(tiny_settings, tiny_dataset: Path, tmp_path) -> None:
    videos = sorted((tiny_dataset / "train").glob("*/*.mp4"))[:2]
    rows = [f"{video},{'ab'[n]},0,{8 + n}" for n, video in enumerate(videos)]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["path,label,start_frame,end_frame", *rows]))
    drawing = draw_samples(tiny_settings(data=str(path), val_fraction=0))
    expected = {f"{video}#frame=0,{8 + n}" for n, video in enumerate(videos)}
    assert {row["path"] for row in drawing.numbers["samples"]} == expected
