"""A run that trains a head alone: features of the frozen trunk, the choice of a head, its data.

What is trained is an ordinary recognizer that takes features in place of frames
(`FeatureClassifier`), by an ordinary run: only its data are features, and what it saves is the
recognizer of frames.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from mixtconv.data.dataset import (
    ScoringViews,
    collate,
    default_workers,
    video_loader,
)
from mixtconv.data.frame_cache import FrameCache, default_folder
from mixtconv.data.listing import VideoSample
from mixtconv.data.transforms import CROP_SCALES
from mixtconv.models import VideoClassifier, create_model
from mixtconv.models.feature_head import FeatureClassifier
from mixtconv.models.frozen_trunk import note_trunk
from mixtconv.models.spec import PixelSettings
from mixtconv.models.systems.factory import FAMILIES, is_in_backbone, split_name
from mixtconv.training.data import VideoDataModule, epoch_sampler, frames_in_words, training_clips
from mixtconv.training.features import (
    FeatureClips,
    FeatureStore,
    FeatureViews,
    RandomCrops,
    ScoredViews,
    content_keys,
    keep_features,
)
from mixtconv.training.head_search import (
    Candidate,
    candidates,
    read_search,
    search_heads,
    write_search,
)
from mixtconv.training.identity import changed_fields
from mixtconv.training.initial_weights import InitialModel, make_initial_model, model_settings
from mixtconv.training.plan import RunPlan
from mixtconv.training.run_folder import RunFiles
from mixtconv.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


def make_trunk(settings: TrainingSettings, classes: tuple[str, ...]) -> InitialModel:
    """The frozen backbone up to the stage, as a recognizer that averages its features.

    Raises:
        ValueError: a model that is not one of a backbone, or weights that cannot be used.
    """
    if not is_in_backbone(settings.model):
        raise ValueError(
            f"--train head puts a head on a 2D backbone, and {settings.model} is a system of its "
            f"own: give a backbone in one of {', '.join(FAMILIES)}, such as mstnet_resnet18"
        )
    plain = replace(
        settings,
        model=f"tsn_{split_name(settings.model)[1]}",
        feature_head="average",
        less_mean=False,
    )
    initial = make_initial_model(plain, classes)
    initial.model.eval().requires_grad_(False)
    return initial


def head_name(settings: TrainingSettings, candidate: Candidate) -> str:
    """The name of the recognizer with a head: only blocks hold the operation of the family."""
    if candidate.feature_head == "blocks":
        return settings.model
    return f"tsn_{split_name(settings.model)[1]}"


@dataclass(frozen=True)
class HeadRun:
    """What a run trains a head with."""

    model: FeatureClassifier
    """The head."""
    chosen: Candidate
    """What it is and how it is trained."""
    plan: RunPlan
    """The run with the settings of the chosen head."""
    data: "FeatureDataModule"
    """Features."""


def prepare_head_run(
    plan: RunPlan, files: RunFiles, trunk: InitialModel, cache: FrameCache | None
) -> HeadRun:
    """Compute the features that are not kept yet, and choose a head by cross-validation.

    A run that is resumed keeps its choice.

    Raises:
        ValueError: settings that leave no head, or too few videos to compare heads.
        OSError: features cannot be written.
    """
    recognizer = trunk.model.to(plan.device)
    stores = _features(plan, files, recognizer, cache)
    settings, samples = plan.settings, plan.catalog.train
    clips = FeatureClips(samples, stores.train, mirroring=plan.mirroring, seed=settings.seed)

    def make(candidate: Candidate) -> FeatureClassifier:
        model = FeatureClassifier(with_head(settings, candidate, recognizer))
        return model.to(memory_format=torch.channels_last)

    grid = candidates(settings)
    if len(grid) == 1:
        chosen = grid[0]
    elif settings.resume and files.heads.exists():
        chosen = read_search(files.heads)
    else:
        views = FeatureViews(samples, stores.scored_train)
        scores = search_heads(plan, clips, views, make)
        write_search(files.heads, scores)
        chosen = scores[0].candidate
    logger.info("head: %s", chosen)
    model = make(chosen)
    note_trunk(model.whole)
    settings = replace(chosen.settings(settings), model=model.spec.name)
    plan = replace(plan, settings=settings)
    return HeadRun(model, chosen, plan, FeatureDataModule(plan, model, clips, stores.val))


def with_head(
    settings: TrainingSettings, candidate: Candidate, trunk: VideoClassifier
) -> VideoClassifier:
    """The untrained recognizer of a candidate, with the trunk that there is."""
    values = model_settings(settings) | trunk.spec.fields_of(PixelSettings)
    values |= {"feature_stage": trunk.spec.feature_stage, "less_mean": candidate.less_mean}
    values |= {"feature_head": candidate.feature_head}
    torch.manual_seed(settings.seed)  # the same head in every place of a grid
    model = create_model(head_name(settings, candidate), classes=trunk.spec.classes, **values)
    model.spec = replace(model.spec, label_thresholds=trunk.spec.label_thresholds)
    model.backbone.trunk = trunk.backbone.get_submodule("trunk")
    return model


@dataclass(frozen=True)
class _Stores:
    train: tuple[FeatureStore, ...]
    """Views to train on: random crops, and those that are scored."""
    scored_train: FeatureStore
    """Views of the training videos that are scored in cross-validation."""
    val: FeatureStore
    """Of the validation videos."""


def _features(
    plan: RunPlan, files: RunFiles, model: VideoClassifier, cache: FrameCache | None
) -> _Stores:
    settings, catalog, spec = plan.settings, plan.catalog, model.spec
    workers = default_workers() if settings.workers is None else settings.workers
    folder = features_folder(settings, files)
    keys = content_keys((*catalog.train, *catalog.val))

    def keep(
        dataset: RandomCrops | ScoredViews,
        samples: tuple[VideoSample, ...],
        views: Mapping[str, Any],
    ) -> FeatureStore:
        return keep_features(
            model,
            dataset,
            samples,
            keys,
            folder=folder,
            views={**views, "frames": frames_in_words(cache)},
            batch_size=settings.batch_size,
            workers=workers,
        )

    def scored(samples: tuple[VideoSample, ...]) -> FeatureStore:
        views = ScoredViews(ScoringViews(samples, spec, plan.protocol, cache=cache))
        return keep(views, samples, {"protocol": asdict(plan.protocol)})

    train = [scored_train := scored(catalog.train)]
    if settings.crops:
        clips = training_clips(catalog, spec, settings, mirroring=plan.mirroring, cache=cache)
        crops = {
            "crops": settings.crops,
            "seed": settings.seed,
            "scales": settings.crop_scales or list(CROP_SCALES),
            "places": settings.crop_places,
            "jitter": changed_fields(clips.jitter, always=("time", "color", "degrees")),
            "mirrored": settings.flip and asdict(plan.mirroring),  # which clips, by their labels
        }
        random_crops = RandomCrops(clips, keys, settings.crops)
        train.append(keep(random_crops, catalog.train, crops))
    return _Stores(tuple(train), scored_train, scored(catalog.val))


def features_folder(settings: TrainingSettings, files: RunFiles) -> Path:
    """Where features are kept: in the folder of `--cache`, without one in that of the run."""
    if settings.cache == "off":
        return files.folder / "features"
    return (default_folder() if settings.cache == "auto" else Path(settings.cache)) / "features"


class FeatureDataModule(VideoDataModule):
    """Features of the videos in place of frames.

    Args:
        plan: the run.
        model: takes the features.
        clips: features to train on.
        store: features of the validation videos.
    """

    def __init__(
        self, plan: RunPlan, model: FeatureClassifier, clips: FeatureClips, store: FeatureStore
    ) -> None:
        super().__init__(plan, model.spec)
        self.clips = clips
        self.views = FeatureViews(plan.catalog.val, store)

    def train_dataloader(self) -> Any:
        sampler = epoch_sampler(self.clips.samples, self.plan.settings)
        self.begin_at(sampler)
        batch_size = self.plan.settings.batch_size
        return video_loader(self.clips, sampler, batch_size=batch_size, workers=0)

    def val_dataloader(self) -> Any:
        videos = max(1, self.plan.settings.batch_size // self.plan.protocol.num_views)
        return DataLoader(self.views, batch_size=videos, collate_fn=collate)
