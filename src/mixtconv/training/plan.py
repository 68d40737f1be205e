"""What a training run works out of its settings once, before its first step.

`plan_run` parses and validates the settings, `check_videos` opens every video and logs what the run
trains on. The data module, the Lightning module and the record take the `RunPlan`.
"""

import hashlib
import logging
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch

from mixtconv._atomic_write import encoded
from mixtconv._names import count_of, first_few
from mixtconv._optional import install_line
from mixtconv._processes import Launch, find_launch
from mixtconv._types import Progress
from mixtconv.data.background import BACKGROUND
from mixtconv.data.checking.preflight import CatalogReport, check_catalog
from mixtconv.data.datasets.catalog import VideoCatalog, catalog_of, load_catalog
from mixtconv.data.labels import MirrorLabels, choose_pairs, read_pairs
from mixtconv.data.listing import VideoListing
from mixtconv.data.protocol import Protocol
from mixtconv.data.recordings import annotated_recordings, parts_of
from mixtconv.data.stillness import camera_stands_still
from mixtconv.models.device import resolve_device, resolve_precision
from mixtconv.models.spec import Modality
from mixtconv.models.systems.factory import is_in_backbone
from mixtconv.training.initial_weights import is_recognizer
from mixtconv.training.run_folder import RunFiles, load_settings
from mixtconv.training.settings import TrainingSettings
from mixtconv.video.reader import DEFAULT_RATE, frame_rate
from mixtconv.video.segment import Video, segment_name

logger = logging.getLogger(__name__)


FRAME_LABEL_CLIP = 16
"""Frames of a clip whose frames have labels of their own, by default."""

FRAME_LABEL_RATE = 8
"""Frames a second of it, by default."""


@dataclass(frozen=True)
class RunPlan:
    """A training run, worked out of its settings."""

    settings: TrainingSettings
    """The settings, see `resolve_settings`."""
    catalog: VideoCatalog
    """Classes and videos."""
    protocol: Protocol
    """Views that validation scores."""
    mirroring: MirrorLabels
    """What a horizontal flip does to the labels."""
    device: torch.device
    """Where the model is trained; of several GPUs without a number."""
    precision: Literal["32", "bf16", "16"]
    """Arithmetic of the steps."""
    launch: Launch | None
    """The processes that torchrun or Slurm started; None if this one was started alone."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Path -> reason, of the videos that `check_videos` could not read."""

    @property
    def event_note(self) -> dict[str, Any] | None:
        """What the model file says of events before any are tuned: the rate of the frames."""
        if not self.settings.frame_labels:
            return None
        clip = next(sample for sample in self.catalog.train if sample.annotated is not None)
        rate = frame_rate(clip.path) or DEFAULT_RATE
        return {"times": {"fps": round(float(rate) / (self.settings.frame_stride or 1), 4)}}

    @property
    def clips_per_process(self) -> int:
        """Clips of an epoch in each process; where they do not divide evenly, some come twice."""
        return -(-len(self.catalog.train) // self.settings.num_processes)


def plan_run(settings: TrainingSettings, *, own: VideoListing | None = None) -> RunPlan:
    """Parse the settings of a run and list its videos; no video is opened.

    Args:
        settings: the settings.
        own: videos that datasets of the program give, in place of those that `data` names.

    Raises:
        ValueError: settings or data that cannot be used.
    """
    launch = find_launch()
    if settings.wandb and find_spec("wandb") is None:  # which is slow to import
        raise ValueError(f"--wandb needs wandb, which is not installed: {install_line('wandb')}")
    settings = resolve_settings(settings, launch)
    if own is None:
        catalog = training_catalog(settings)
    else:
        settings = _for_own_videos(settings)
        catalog = catalog_of(own, val_fraction=settings.val_fraction)
    settings.check_labels(several=catalog.several)
    protocol = Protocol.parse(settings.protocol)
    settings = with_modality(settings, catalog, protocol)
    if settings.frame_labels:
        settings, catalog = with_frame_labels(settings, catalog)
    mirroring = choose_pairs(catalog.classes, settings.flip_pairs)
    device = resolve_device(settings.device)
    precision = resolve_precision(settings.precision, device)
    if device.index is not None and settings.devices > 1:
        raise ValueError(
            f"--device {device} is one device and --devices is {settings.devices}; leave out one"
        )
    if 0 < len(catalog.val) < settings.num_processes:
        raise ValueError(
            f"{len(catalog.val)} validation videos cannot be sharded across "
            f"{settings.num_processes} processes; give fewer --devices or --nodes, or more videos"
        )
    return RunPlan(settings, catalog, protocol, mirroring, device, precision, launch)


_OF_FILES = ("root", "group", "background", "labels", "without")
"""Settings that say how data on the disk are read."""


def _for_own_videos(settings: TrainingSettings) -> TrainingSettings:
    """Settings for videos of datasets, of which no frames are kept.

    Raises:
        ValueError: settings for data on the disk.
    """
    for name in _OF_FILES:
        if getattr(settings, name) is not None:
            raise ValueError(f"{name} is for data on the disk; leave it out with a dataset")
    if settings.cache not in ("auto", "off"):
        raise ValueError(
            f"cache is {settings.cache!r}, and keeps frames of files; leave it out with a dataset"
        )
    return replace(settings, cache="off")


def resolve_settings(settings: TrainingSettings, launch: Launch | None) -> TrainingSettings:
    """Settings with flip pairs in place of their file, and the numbers of launched processes.

    A run is identified by the content of its pairs, so their file may move.

    Raises:
        ValueError: a file of pairs that cannot be used, or other processes than were launched.
    """
    if settings.flip_pairs not in ("auto", "none"):
        settings = replace(settings, flip_pairs=read_pairs(settings.flip_pairs))
    if launch is None:
        return settings
    request = (settings.devices, settings.nodes)
    started = (launch.devices, launch.nodes)
    if request not in ((1, 1), started):
        remedy = "" if launch.launcher == "torchrun" else ", and start one task a device with srun"
        raise ValueError(
            f"--devices is {request[0]} and --nodes {request[1]}, but {launch.launcher} started "
            f"{started[0]} on {started[1]}; leave both out{remedy}"
        )
    return replace(settings, devices=launch.devices, nodes=launch.nodes)


def with_modality(
    settings: TrainingSettings, catalog: VideoCatalog, protocol: Protocol
) -> TrainingSettings:
    """Settings with a modality where they leave it open.

    Where the camera stands still, what stands still tells a network with few videos apart by their
    places, not by what happens there: such videos are trained on as motion (docs/real-videos.md).
    Recipes, weights of a recognizer and models other than a family in a backbone have their own; a
    clip of one frame, or views of a frame each, have no motion.
    """
    is_open = settings.modality is None and settings.recipe is None
    if not is_open or is_recognizer(settings.weights) or not is_in_backbone(settings.model):
        return settings
    if settings.num_frames == 1 or protocol.placement == "snippets":
        return settings
    config = RunFiles(Path(settings.out)).config
    if settings.resume and config.exists():
        return replace(settings, modality=load_settings(config).modality)
    if not camera_stands_still([sample.video for sample in catalog.train]):
        return settings
    logger.info("the camera stands still: training on --modality motion; rgb keeps the pictures")
    return replace(settings, modality="motion")


def with_frame_labels(
    settings: TrainingSettings, catalog: VideoCatalog
) -> tuple[TrainingSettings, VideoCatalog]:
    """Settings and videos of a run whose frames have labels of their own.

    Its videos are parts of the recordings: to train on, each as long as two clips, one of which is
    drawn; to validate on, each as long as one.

    Raises:
        ValueError: videos of which no part is annotated, or that have no times.
    """
    whole = [sample for sample in (*catalog.train, *catalog.val) if sample.span is None]
    if whole:
        raise ValueError(
            f"--frame-labels is for recordings with segments, and {whole[0].path} is one clip as a "
            "whole: give a list of video,label,start,end, or leave it out"
        )
    classes, nothing = catalog.classes, None
    if not catalog.several:
        classes = classes if BACKGROUND in classes else (*classes, BACKGROUND)
        nothing = classes.index(BACKGROUND)
    recordings = {
        name: annotated_recordings(samples, without=[] if nothing is None else [nothing])
        for name, samples in (("train", catalog.train), ("val", catalog.val))
    }
    readable = [each for each in recordings["train"] if each.error is None]
    pictures = [each for each in readable if not each.seconds]
    if pictures or not readable:
        each = (pictures or recordings["train"])[0]
        why = each.error or f"{each.path}: pictures, which have no times"
        raise ValueError(f"--frame-labels needs recordings with times of frames: {why}")
    rate = float(frame_rate(readable[0].path) or DEFAULT_RATE)
    rates = sorted({round(float(frame_rate(each.path) or DEFAULT_RATE)) for each in readable})
    if rates[-1] > 1.1 * rates[0]:
        logger.warning(
            "recordings have %d to %d frames a second: every %s-th frame is further apart in some "
            "than in others, and events are found at the rate of %s; mixtconv prepare --recordings "
            "true --fps %g gives all one rate",
            rates[0],
            rates[-1],
            settings.frame_stride or "n",
            readable[0].path.name,
            rate,
        )
    num_frames = settings.num_frames or FRAME_LABEL_CLIP
    stride = settings.frame_stride or max(1, round(rate / FRAME_LABEL_RATE))
    seconds = Fraction(num_frames * stride) / Fraction(str(round(rate, 6)))
    train, val = (
        tuple(
            part
            for each in recordings[name]
            for part in parts_of(
                each, seconds, num_classes=len(classes), nothing=nothing, overlap=name == "train"
            )
        )
        for name in ("train", "val")
    )
    logger.info(
        "frames have labels of their own: %s in %s of %.3g s, %.3g frames a second",
        count_of(len(recordings["train"]), "recording"),
        count_of(len(train), "clip"),
        float(seconds),
        rate / stride,
    )
    settings = replace(
        settings, sampling="dense", num_frames=num_frames, frame_stride=stride, cache="off"
    )
    return settings, replace(catalog, classes=classes, train=train, val=val)


def training_catalog(settings: TrainingSettings) -> VideoCatalog:
    """The videos of a run.

    Raises:
        ValueError: the data cannot be used, or a listed video is missing; with `skip_unreadable` a
            missing one is kept, and left out later as unreadable.
    """
    return load_catalog(
        settings, val_fraction=settings.val_fraction, keep_missing=settings.skip_unreadable
    )


def check_videos(
    plan: RunPlan,
    *,
    modality: Modality = "rgb",
    others: Mapping[Modality, str] | None = None,
    known: Container[Video] = (),
    progress: Progress | None = None,
) -> RunPlan:
    """Open every video once before the first step, and log what the run trains on.

    Args:
        plan: the run; its videos.
        modality: what is read of a video: frames, optical flow or both.
        others: what teachers read of those to train on, beside, each with who does.
        known: videos that were read before and are not opened again for the modality.
        progress: called with the number of checked videos and of all.

    Returns:
        The plan with the unreadable videos, which its catalog has no more among those for training.

    Raises:
        ValueError: videos that cannot be read and are not to be skipped, or fewer than two classes
            have training videos.
    """
    catalog = plan.catalog
    report = check_catalog(
        catalog, modality=modality, others=others, known=known, progress=progress
    )
    if report.unreadable and not plan.settings.skip_unreadable:
        raise _unreadable_videos(report, num_videos=len(catalog.train) + len(catalog.val))
    bad = {video.path for video in report.unreadable}
    train = tuple(sample for sample in catalog.train if sample.video not in bad)
    num_trained = len({sample.label for sample in train})
    if num_trained < 2:
        raise ValueError(
            f"{catalog.source}: of {len(catalog.classes)} classes {num_trained} have a readable "
            "training video; training takes two or more"
        )
    logger.info(
        "%s: %d classes, %d videos to train on, %d to validate (%s)",
        catalog.source,
        len(catalog.classes),
        len(train),
        len(catalog.val),
        catalog.split_rule,
    )
    for warning in report.warnings():
        logger.warning("%s", warning)
    if plan.settings.flip:
        _log_mirroring(plan.mirroring, plan.settings)
    return replace(
        plan,
        catalog=replace(catalog, train=train),
        unreadable={str(video.path): video.reason for video in report.unreadable},
    )


def _unreadable_videos(report: CatalogReport, *, num_videos: int) -> ValueError:
    videos = report.unreadable
    # One reason for all (another modality, say) is given once, different ones video by video.
    if len({video.reason for video in videos}) == 1:
        listed = f"{first_few([video.path for video in videos])}: {videos[0].reason}"
    else:
        listed = "; ".join(str(video) for video in videos[:5])
        listed += f" and {len(videos) - 5} more" if len(videos) > 5 else ""
    return ValueError(
        f"{len(videos)} of {num_videos} videos cannot be read: {listed}; repair or remove them, or "
        "train without them with --skip-unreadable"
    )


def _log_mirroring(mirroring: MirrorLabels, settings: TrainingSettings) -> None:
    for first, second in mirroring.pairs:
        logger.info(
            "a mirrored clip exchanges %r and %r (--flip-pairs FILE gives other pairs, "
            "--flip false turns it off)",
            first,
            second,
        )
    if mirroring.unpaired:
        logger.info("never mirrored, for lack of a partner: %s", ", ".join(mirroring.unpaired))
    if settings.flip_pairs == "auto" and not (mirroring.pairs or mirroring.unpaired):
        logger.info(
            "no class names a side: mirrored clips keep their labels (--flip-pairs FILE gives "
            "pairs, --flip false turns it off)"
        )
    if settings.flip_pairs == "none":
        logger.info("mirrored clips keep their labels, whatever these say (--flip-pairs none)")


def videos_by_name(catalog: VideoCatalog) -> dict[str, Path]:
    """The videos by their paths inside the data, so that moved data are the same data."""
    folder = catalog.source if catalog.source.is_dir() else catalog.source.parent
    paths = dict.fromkeys(sample.path for sample in (*catalog.train, *catalog.val))
    return {
        str(path.relative_to(folder) if path.is_relative_to(folder) else path): path
        for path in paths
    }


def fingerprint(catalog: VideoCatalog) -> str:
    """Hash of classes, videos and labels: whether a resumed run has the same data."""
    names = {path: name for name, path in videos_by_name(catalog).items()}
    lines = list(catalog.classes)
    for samples in (catalog.train, catalog.val):
        lines.append("--")
        annotated = {id(each.annotated): each.annotated for each in samples if each.annotated}
        for recording in annotated.values():
            lines += [f"{each.label} {each.start} {each.end}" for each in recording.stretches]
        lines += [f"{segment_name(names[s.path], s.span)}\t{s.label}" for s in samples]
    return hashlib.sha256(encoded("\n".join(lines))).hexdigest()
