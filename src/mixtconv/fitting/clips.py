"""The clips of a fit: which of the data, decoded once, without those that cannot be read."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from mixtconv._names import count_of, first_few
from mixtconv.data.datasets.catalog import VideoCatalog, load_catalog
from mixtconv.data.datasets.scanning import list_videos
from mixtconv.data.frame_cache import FrameCache, cache_pays, default_folder, fill_cache
from mixtconv.data.listing import VideoSample
from mixtconv.data.stillness import evenly_chosen
from mixtconv.fitting.ladder import form_of, small_recipe
from mixtconv.fitting.settings import FitSettings
from mixtconv.fitting.survey import LOOK_FORM, MAX_SURVEYED
from mixtconv.reporting.scored_runs import ShowStage
from mixtconv.video.segment import as_listed

logger = logging.getLogger(__name__)


def training_part(settings: FitSettings) -> tuple[VideoCatalog, bool]:
    """The clips that all choices are made from, and whether the data hold out others.

    By absolute paths and with times as the lists of the trainings name them, so that these find the
    kept frames.

    Raises:
        ValueError: data that cannot be used, or that give a video several labels.
    """
    catalog = load_catalog(settings, keep_missing=settings.skip_unreadable)
    if catalog.several:
        raise ValueError(
            f"{catalog.source} gives a video several labels, and fit takes one label a video: "
            "mixtconv train takes them"
        )
    catalog = replace(catalog, train=_as_listed(catalog.train), val=_as_listed(catalog.val))
    listing = list_videos(settings, classes=catalog.classes, keep_missing=True)
    if any(video.split not in (None, "train") for video in listing.videos):
        return catalog, True
    return replace(catalog, train=(*catalog.train, *catalog.val), val=()), False


def _as_listed(samples: Sequence[VideoSample]) -> tuple[VideoSample, ...]:
    return tuple(
        replace(
            sample,
            path=sample.path.absolute(),
            span=None if sample.span is None else as_listed(sample.span),
        )
        for sample in samples
    )


def decode(
    catalog: VideoCatalog, settings: FitSettings, progress: ShowStage
) -> tuple[FrameCache, Sequence[VideoSample]]:
    """The clips decoded and shrunk once, as all trainings of the small networks take them.

    Where they would take too much of the disk (`cache_pays`), at most `MAX_SURVEYED` that are
    spread over all of them are looked at.

    Returns:
        The frames, and the clips that were decoded.
    """
    form, folder = form_of(small_recipe(settings), catalog.classes), default_folder()
    assert form is not None  # of pictures
    samples: Sequence[VideoSample] = catalog.train
    if not cache_pays([sample.video for sample in samples], form, folder):
        form, samples = LOOK_FORM, evenly_chosen(samples, MAX_SURVEYED)
    with progress("decoding the clips") as show:
        frames = fill_cache([sample.video for sample in samples], folder, form, progress=show)
    return frames, samples


def readable(
    catalog: VideoCatalog, seen: Sequence[VideoSample], frames: FrameCache, *, skip: bool
) -> VideoCatalog:
    """The catalog without the clips that could not be decoded, if there may be any.

    Args:
        catalog: the clips.
        seen, frames: those that were decoded, and their frames.
        skip: whether some may be left out.

    Raises:
        ValueError: some could not be decoded, and none may be, or those of a class.
    """
    bad = {sample.video for sample in seen if sample.video not in frames}
    names = sorted(map(str, bad))
    if bad and not skip:
        raise ValueError(
            f"{count_of(len(bad), 'video')} cannot be read: {first_few(names)}; mixtconv "
            "check says why; repair or remove them, or leave them out with --skip-unreadable"
        )
    for name in names:
        logger.warning("left out, cannot be read: %s", name)
    found = tuple(sample for sample in catalog.train if sample.video not in bad)
    there = {sample.label for sample in found}
    if len(there) < 2:
        raise ValueError(
            f"{catalog.source}: of {len(catalog.classes)} classes {len(there)} have a readable "
            "video; a fit takes two or more (mixtconv check says what is wrong with the others)"
        )
    lost = [name for label, name in enumerate(catalog.classes) if label not in there]
    if lost:
        raise ValueError(
            f"{catalog.source}: no video of {first_few(lost)} can be read; repair them, or leave "
            "these classes out of the data"
        )
    return replace(catalog, train=found)
