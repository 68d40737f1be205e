"""A picture of the first training batch: augmented clips with their labels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mixtconv.data.clip_labels import label_in_clip
from mixtconv.data.dataset import VideoItem
from mixtconv.data.epoch_sampler import SampleKey
from mixtconv.data.labels import choose_pairs
from mixtconv.data.listing import label_text
from mixtconv.evaluation.complexity import abstract_model
from mixtconv.training.data import epoch_sampler, training_clips
from mixtconv.training.initial_weights import model_settings
from mixtconv.training.plan import training_catalog
from mixtconv.training.settings import TrainingSettings
from mixtconv.visualization.drawing import Drawing
from mixtconv.visualization.frame_sheet import FrameRow, frame_sheet, shown_frames


def draw_samples(settings: TrainingSettings, *, epoch: int = 0) -> Drawing:
    """Draw the first batch of an epoch of a run with these settings, in one process.

    Mixup and cutmix, which mix whole batches later, are not applied.

    Raises:
        ValueError: settings or data that cannot be used, or none of the clips can be read.
    """
    if epoch < 0:
        raise ValueError(f"--epoch is {epoch}; give 0 or more")
    catalog = training_catalog(settings)
    classes = catalog.classes
    model = abstract_model(settings.model, len(classes), **model_settings(settings))
    spec = replace(model.spec, classes=classes)
    mirroring = choose_pairs(classes, settings.flip_pairs)
    dataset = training_clips(catalog, spec, settings, mirroring=mirroring)
    sampler = epoch_sampler(catalog.train, settings)
    sampler.set_epoch(epoch)
    keys: list[SampleKey] = list(sampler)[: settings.batch_size]
    items = [dataset[key] for key in keys]
    clips = [item for item in items if isinstance(item, VideoItem)]
    unreadable = tuple(item[1] for item in items if not isinstance(item, VideoItem))
    if not clips:
        raise ValueError(f"none of the {len(items)} clips can be read: {unreadable[0]}")
    rows = [
        {
            "path": str(catalog.train[item.number].video),
            "label": label_text(catalog.train[item.number].label, classes),
            "given_label": label_text(label_in_clip(item.label), classes),
            "mirrored": item.mirrored,
        }
        for item in clips
    ]
    pairs = mirroring.pairs if settings.flip else ()
    return Drawing(
        title="Clips of the first training batch",
        description=f"The first batch of epoch {epoch}, after cropping and mirroring.",
        figure=frame_sheet(
            [
                FrameRow(shown_frames(item.frames.numpy(), spec), _caption(row))
                for item, row in zip(clips, rows, strict=True)
            ]
        ),
        numbers={
            "epoch": epoch,
            "clip_shape": list(clips[0].frames.shape),
            "exchanged_by_mirroring": [list(pair) for pair in pairs],
            "samples": rows,
        },
        columns=("video", "its label", "label given", "mirrored"),
        rows=tuple(
            (row["path"], row["label"], row["given_label"], "yes" if row["mirrored"] else "no")
            for row in rows
        ),
        notes=_notes(settings, pairs),
        unreadable=unreadable,
    )


def _caption(row: dict[str, Any]) -> tuple[str, ...]:
    name = "/".join(Path(row["path"]).parts[-2:])
    if not row["mirrored"]:
        return (row["given_label"], name)
    if row["given_label"] == row["label"]:
        return (row["given_label"], f"{name}, mirrored")
    return (row["given_label"], f"{name}, mirrored: was {row['label']}")


def _notes(settings: TrainingSettings, pairs: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    notes = [f"a mirror exchanges {first!r} and {second!r}" for first, second in pairs]
    if not settings.flip:
        notes.append("no clip is mirrored (--flip false)")
    if settings.mixup or settings.cutmix:
        notes.append("mixup and cutmix mix whole batches later and are not shown")
    return tuple(notes)
