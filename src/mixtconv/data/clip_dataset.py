"""Clips of labelled videos as a dataset of torch, for loops and trainers of one's own."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mixtconv.data.clip_labels import label_tensor
from mixtconv.data.dataset import ScoringViews, VideoItem
from mixtconv.data.epoch_sampler import SampleKey
from mixtconv.data.labels import choose_pairs
from mixtconv.data.listing import Label, VideoSample, labels_of
from mixtconv.data.protocol import Protocol
from mixtconv.data.training_clips import TrainingClips, Transform
from mixtconv.models.spec import ModelSpec
from mixtconv.video.pictures import UnreadableVideoError


class ClipDataset(Dataset[tuple[Tensor, Tensor]]):
    """A clip of each video, and its label.

    An item is a clip, uint8 (T, C, S, S), as `VideoClassifier.normalize` takes it, and its label,
    int64 (), or of several labels float32 (K,), 1 and 0.

    Args:
        samples: the videos, those to train or to validate on of `load_catalog`.
        spec: the clips that the model takes, `model.spec`.
        random: whether each time another clip is drawn, cropped and perhaps mirrored, by torch's
            generator, as in training; else it is that of the protocol `1x1`.
        mirror: whether a random clip may be mirrored; classes that name a side are exchanged then.
        transform: a change of random clips, uint8 (T, C, S, S) -> the same shape.

    Raises:
        ValueError: a label that is no class of the model.
        UnreadableVideoError: of an item, a video that cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from mixtconv import create_model, load_catalog
    >>> videos = [(np.zeros((12, 48, 64, 3), dtype=np.uint8), name) for name in ("wave", "jump")]
    >>> catalog = load_catalog(videos, val_fraction=0)
    >>> model = create_model("mstnet_resnet18", classes=catalog.classes, image_size=32)
    >>> clip, label = ClipDataset(catalog.train, model.spec)[0]
    >>> clip.shape, label
    (torch.Size([8, 3, 32, 32]), tensor(1))
    """

    def __init__(
        self,
        samples: Sequence[VideoSample],
        spec: ModelSpec,
        *,
        random: bool = False,
        mirror: bool = True,
        transform: Transform | None = None,
    ) -> None:
        if transform is not None and not random:
            raise ValueError("transform is for random clips: give random=True, or leave it out")
        highest = max((max(labels_of(each.label), default=0) for each in samples), default=0)
        if highest >= spec.num_classes:
            raise ValueError(
                f"the videos have a label {highest} and the model {spec.num_classes} classes; make "
                "it with classes=catalog.classes"
            )
        self.samples = samples
        mirroring = choose_pairs(spec.classes, "auto") if mirror else None
        self._random = (
            TrainingClips(samples, spec, mirroring=mirroring, transform=transform)
            if random
            else None
        )
        self._views = ScoringViews(samples, spec, Protocol.parse("1x1"))

    @property
    def targets(self) -> list[Label]:
        """The label of each video."""
        return [sample.label for sample in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        if not -len(self) <= number < len(self):
            raise IndexError(f"video {number} of {len(self)}")
        number %= len(self)
        if self._random is None:
            item = self._views[number]
        else:
            chance = int(torch.randint(2**31, ()))
            item = self._random[SampleKey(chance, number)]
        if not isinstance(item, VideoItem):
            raise UnreadableVideoError(item[1].path, item[1].reason)
        frames = item.frames if self._random is not None else item.frames[0]
        return frames, label_tensor([item.label])[0]
