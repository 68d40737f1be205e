"""Features of a frozen trunk: of every video computed once, and kept on disk.

A file holds the feature maps of some views of one video, (V, T, C, H, W) in half precision: those
that a protocol scores, or random crops. Its name is made of the content of the video, the weights
of the trunk and everything else that decides the maps, so that nothing is computed twice, a moved
video is found, and changed weights are not mistaken for others.
"""

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import Dataset

from mixtconv._atomic_write import refuse_unwritable, remove_leftovers, write_atomically
from mixtconv.data.contents import content_key
from mixtconv.data.dataset import ScoringViews, UnreadableItem, VideoItem, item_loader
from mixtconv.data.epoch_sampler import SampleKey
from mixtconv.data.frame_cache import LEFT_SECONDS
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.listing import VideoSample
from mixtconv.data.training_clips import TrainingClips
from mixtconv.models import VideoClassifier
from mixtconv.ops import fold_time
from mixtconv.video.pictures import Unreadable, UnreadableVideoError
from mixtconv.video.segment import Video, named

logger = logging.getLogger(__name__)

FORMAT = "1"
SECONDS_BETWEEN_LINES = 10.0
_DECISIVE = (
    *("num_frames", "image_size", "sampling", "frame_stride", "modality", "feature_stage"),
    *("mean", "std", "channel_order", "flow_mean"),
)
"""Fields of `ModelSpec` that decide a trunk's features, beside its weights."""


@dataclass(frozen=True)
class FeatureStore:
    """Features of the views of some videos."""

    folder: Path
    name: str
    """Of the trunk and the views, in the names of the files."""
    keys: Mapping[Video, str]
    """Hash of the content of each video that could be read."""
    reasons: Mapping[Video, str]
    """Why the others could not be read."""

    def file(self, video: Video) -> Path:
        """The file of a video."""
        return _file(self.folder, self.keys[video], self.name)

    def read(self, video: Video, view: int | slice = slice(None)) -> Tensor:
        """Features of a view (T, C, H, W), or of several (V, T, C, H, W), on the CPU."""
        with safe_open(self.file(video), framework="pt") as file:
            return file.get_slice("features")[view]

    def mirrored(self, video: Video) -> list[bool]:
        """Whether each view is a mirror image."""
        with safe_open(self.file(video), framework="pt") as file:
            return file.get_tensor("mirrored").tolist()

    def unreadable(self, sample: VideoSample) -> Unreadable:
        """A video without features, with the reason."""
        return Unreadable(named(sample.video), self.reasons[sample.video])

    def size(self) -> int:
        """Bytes of its files."""
        return sum(path.stat().st_size for path in {self.file(video) for video in self.keys})


class RandomCrops(Dataset):
    """Random clips of each video, V of them at once; of a video they depend on its content alone.

    Args:
        clips: the random clips.
        keys: hash of the content of each video.
        num_crops: V.
    """

    def __init__(self, clips: TrainingClips, keys: Mapping[Video, str], num_crops: int) -> None:
        self.clips, self.keys, self.num_crops = clips, keys, num_crops

    def __getitem__(self, index: int) -> tuple[VideoItem, list[bool]] | UnreadableItem:
        sample = self.clips.samples[index]
        own = self.clips.of(sample, seed=int(self.keys[sample.video][:12], 16))
        items = [own[SampleKey(number, 0)] for number in range(self.num_crops)]
        views = [item for item in items if isinstance(item, VideoItem)]
        if len(views) < len(items):
            unreadable = next(item for item in items if not isinstance(item, VideoItem))
            return index, unreadable[1]
        frames = torch.stack([view.frames for view in views])  # (V, T, C, S, S)
        return VideoItem(frames, sample.label, index), [view.mirrored for view in views]


class ScoredViews(Dataset):
    """The views of a protocol, of which the protocol knows which are mirrored.

    Args:
        views: the views.
    """

    def __init__(self, views: ScoringViews) -> None:
        self.views = views

    def __getitem__(self, index: int) -> tuple[VideoItem, list[bool]] | UnreadableItem:
        item = self.views[index]
        mirrored = list(self.views.reader.protocol.mirrored)
        return (item, mirrored) if isinstance(item, VideoItem) else item


def content_keys(samples: Sequence[VideoSample]) -> dict[Video, str]:
    """Hash of the content of each video; without those that cannot be read."""
    keys: dict[Video, str] = {}
    for path in dict.fromkeys(sample.video for sample in samples):
        try:
            keys[path] = content_key(path)
        except UnreadableVideoError as error:
            logger.warning("left out, cannot be read: %s (%s)", path, error.reason_in(path))
    return keys


def trunk_key(model: VideoClassifier) -> str:
    """Hash of the weights of the trunk and of the clips that it takes."""
    spec = model.spec
    facts = {name: getattr(spec, name) for name in _DECISIVE}
    facts["causal"] = spec.causal and spec.modality == "motion"  # its median is a running one
    digest = hashlib.blake2b(json.dumps(facts).encode(), digest_size=16)
    for name, tensor in model.backbone.get_submodule("trunk").state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


@torch.inference_mode()
def trunk_features(model: VideoClassifier, views: Tensor, *, batch_size: int = 8) -> Tensor:
    """Feature maps of views: uint8 (V, T, C, S, S) -> (V, T, C', H, W), in half precision.

    In single precision where a value is beyond the range of half precision.
    """
    trunk = model.backbone.get_submodule("trunk")
    maps = []
    for clips in views.split(max(1, batch_size)):
        frames = fold_time(model.normalize(clips))  # (V * T, C, S, S)
        if frames.device.type == "cpu":
            frames = frames.contiguous(memory_format=torch.channels_last)
        maps.append(trunk(frames).float().cpu())
    features = torch.cat(maps).unflatten(0, views.shape[:2])
    half = features.half().contiguous()
    return half if bool(half.isfinite().all()) else features.contiguous()


def keep_features(
    model: VideoClassifier,
    dataset: RandomCrops | ScoredViews,
    samples: Sequence[VideoSample],
    keys: Mapping[Video, str],
    *,
    folder: Path,
    views: Mapping[str, Any],
    batch_size: int = 8,
    workers: int = 0,
) -> FeatureStore:
    """Compute the features of the videos that are not kept yet.

    Args:
        model: a recognizer with a trunk, in evaluation mode, on the device to use.
        dataset: views of the samples, uint8 (V, T, C, S, S).
        samples: the videos.
        keys: hash of the content of each video that can be read.
        folder: of the features, made if it does not exist.
        views: everything that decides the views.
        batch_size: views in one pass of the trunk.
        workers: processes that read videos; 0 reads in this one.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    refuse_unwritable(folder / "features.safetensors")
    described = json.dumps({"trunk": trunk_key(model), "format": FORMAT, **views}, sort_keys=True)
    name = hashlib.blake2b(described.encode(), digest_size=16).hexdigest()
    numbers: dict[str, int] = {}  # one sample for each content
    for number, sample in enumerate(samples):
        if sample.video in keys:
            numbers.setdefault(keys[sample.video], number)
    missing = [number for key, number in numbers.items() if not _is_whole(_file(folder, key, name))]
    reasons = {sample.video: "cannot be read" for sample in samples if sample.video not in keys}
    failed: dict[str, str] = {}
    last = start = time.monotonic()
    for done, item in enumerate(item_loader(dataset, missing, workers=workers), start=1):
        if isinstance(item[1], Unreadable):
            failed[keys[samples[item[0]].video]] = item[1].reason
            continue
        video, mirrored = item
        features = trunk_features(model, video.frames, batch_size=batch_size)
        tensors = {"features": features, "mirrored": torch.tensor(mirrored)}
        key = keys[samples[video.number].video]
        remove_leftovers(_file(folder, key, name), seconds=LEFT_SECONDS)
        write_atomically(_file(folder, key, name), save(tensors))
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            logger.info("features computed: %d of %d videos", done, len(missing))
    logger.info(
        "features of %d videos computed in %.0f s, of %d found in %s",
        len(missing) - len(failed),
        time.monotonic() - start,
        len(numbers) - len(missing),
        folder,
    )
    reasons |= {path: failed[key] for path, key in keys.items() if key in failed}
    paths = {sample.video for sample in samples}
    usable = {path: key for path, key in keys.items() if path in paths and key not in failed}
    return FeatureStore(folder, name, usable, reasons)


class FeatureClips(Dataset):
    """Features of one view of a video, drawn for every epoch; in place of `TrainingClips`.

    Args:
        samples: the videos.
        stores: features of their views.
        mirroring: how mirroring changes the labels.
        seed: seed of the choice.
    """

    def __init__(
        self,
        samples: Sequence[VideoSample],
        stores: Sequence[FeatureStore],
        *,
        mirroring: MirrorLabels,
        seed: int,
    ) -> None:
        self.samples, self.stores, self.mirroring, self.seed = samples, stores, mirroring, seed
        self._views: dict[int, list[tuple[FeatureStore, int, bool]]] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: SampleKey) -> VideoItem | UnreadableItem:
        epoch, index, draw = key
        sample = self.samples[index]
        for store in self.stores:
            if sample.video not in store.keys:
                return index, store.unreadable(sample)
        if index not in self._views:
            self._views[index] = self._views_of(sample.video)
        views = self._views[index]
        chance = np.random.default_rng([self.seed, epoch, index, *([draw] if draw else [])])
        store, view, mirrored = views[int(chance.integers(len(views)))]
        label = self.mirroring.mirrored(sample.label) if mirrored else sample.label
        return VideoItem(store.read(sample.video, view), label, index, mirrored)

    def _views_of(self, video: Video) -> list[tuple[FeatureStore, int, bool]]:
        return [
            (store, view, mirrored)
            for store in self.stores
            for view, mirrored in enumerate(store.mirrored(video))
        ]


class FeatureViews(Dataset):
    """Features of all views of a video, in place of `ScoringViews`.

    Args:
        samples: the videos.
        store: features of their views.
    """

    def __init__(self, samples: Sequence[VideoSample], store: FeatureStore) -> None:
        self.samples, self.store = samples, store

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> VideoItem | UnreadableItem:
        sample = self.samples[index]
        if sample.video not in self.store.keys:
            return index, self.store.unreadable(sample)
        return VideoItem(self.store.read(sample.video), sample.label, index)


def _file(folder: Path, key: str, name: str) -> Path:
    return folder / key[:2] / f"{key}_{name}.safetensors"


def _is_whole(path: Path) -> bool:
    """Whether a file can be used; one that is cut has another length than its header says."""
    try:
        with safe_open(path, framework="pt") as file:
            return {"features", "mirrored"} <= set(file.keys())
    except (OSError, SafetensorError):
        return False
