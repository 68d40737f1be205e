"""Loading the teachers of a run: what each is, and whether it fits the run."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open

from mixtconv.data.same_clip import sees_the_same
from mixtconv.evaluation.scores_file import SCORES_KEY, SavedScores, load_scores
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import ModelSpec, VideoClassifier, load_model
from mixtconv.models.location import find_model_file
from mixtconv.models.spec import is_exported
from mixtconv.models.systems.whole_clip import EnsembleClassifier
from mixtconv.training.plan import RunPlan
from mixtconv.training.teacher_content import (
    content_of_engine,
    content_of_model,
    content_of_scores,
)
from mixtconv.training.teachers import (
    EngineTeacher,
    EnsembleTeacher,
    FunctionTeacher,
    NetworkTeacher,
    ScoreClips,
    ScoresTeacher,
    Teacher,
    Teachers,
)

logger = logging.getLogger(__name__)

OwnTeacher = str | Path | VideoClassifier | SavedScores | ScoreClips
"""What `fit.train` takes as a teacher."""


def open_teachers(own: Sequence[OwnTeacher], plan: RunPlan, spec: ModelSpec) -> Teachers:
    """Load teachers and check that they fit a run.

    Args:
        own: the teachers: names as in the settings, or objects.
        plan: the run.
        spec: its student.

    Raises:
        ValueError: a teacher that cannot be used, or does not fit the classes, labels, videos or
            frames of the run.
    """
    members = tuple(_open(each, plan, spec) for each in own)
    specs: list[ModelSpec] = []
    places: list[int | None] = []
    for teacher in members:
        _refuse_unfit(teacher, plan, spec)
        wanted = teacher.spec
        if wanted is None or sees_the_same(spec, wanted):
            places.append(None)
            continue
        same = [place for place, other in enumerate(specs) if sees_the_same(other, wanted)]
        places.append(same[0] if same else len(specs))
        specs += [] if same else [wanted]
    for teacher in members:
        logger.info("teacher: %s", teacher.name)
    return Teachers(members, tuple(specs), tuple(places))


def _open(own: OwnTeacher, plan: RunPlan, spec: ModelSpec) -> Teacher:
    classes = plan.catalog.classes
    if isinstance(own, SavedScores):
        return ScoresTeacher("scores", own, classes, plan.mirroring)
    if isinstance(own, Recognizer):
        own = own.model
    if isinstance(own, VideoClassifier):
        return _of_network(own.spec.name, own, plan)
    if not isinstance(own, str | Path):
        return FunctionTeacher(own, classes, several=plan.catalog.several)
    name = str(own)
    if is_exported(name):
        with _naming_it(name):
            return EngineTeacher(name, classes)
    loaded = _load(name)
    if isinstance(loaded, SavedScores):
        return ScoresTeacher(name, loaded, classes, plan.mirroring)
    return _of_network(name, loaded, plan)


def content_of_teacher(name: str) -> str:
    """SHA-256 of what a teacher is that settings name: the same wherever it lies.

    Raises:
        ValueError: it cannot be read.
    """
    if is_exported(name):
        return content_of_engine(Path(name))
    loaded = _load(name)
    if isinstance(loaded, SavedScores):
        return content_of_scores(loaded)
    return content_of_model(loaded)


def _load(name: str) -> VideoClassifier | SavedScores:
    with _naming_it(name):
        path = find_model_file(name)
        if _holds_scores(path):
            return load_scores(path)
        with torch.random.fork_rng(devices=[]):  # a model is made of random weights before
            return load_model(path)


@contextmanager
def _naming_it(name: str) -> Iterator[None]:
    """Say of what cannot be read in the block that it was to be a teacher."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"the teacher {name} cannot be used: {error}") from error


def _of_network(name: str, model: VideoClassifier, plan: RunPlan) -> NetworkTeacher:
    frames = plan.settings.frame_labels
    if frames and not model.scores_frames:
        raise ValueError(
            f"the teacher {name} scores a clip as a whole, and with --frame-labels each frame has "
            "a label: give one that scores frames, such as mstnet_resnet18, or none"
        )
    kind = EnsembleTeacher if isinstance(model, EnsembleClassifier) else NetworkTeacher
    return kind(name, model, plan.catalog.classes, frames=frames)


def _refuse_unfit(teacher: Teacher, plan: RunPlan, spec: ModelSpec) -> None:
    settings = plan.settings
    words: dict[bool, Literal["several labels", "one label"]]
    words = {True: "several labels", False: "one label"}
    if teacher.several != plan.catalog.several:
        raise ValueError(
            f"the teacher {teacher.name} gives a video {words[teacher.several]}, and these have "
            f"{words[plan.catalog.several]}: give one of the same kind"
        )
    if settings.teacher_features and not teacher.gives_features:
        raise ValueError(
            f"--teacher-features compares features, and the teacher {teacher.name} gives scores "
            "alone: leave it out, or give the model file of a single network"
        )
    if not settings.frame_labels:
        return
    frames = None if teacher.spec is None else teacher.spec.num_frames
    if not isinstance(teacher, NetworkTeacher) or frames != spec.num_frames:
        raise ValueError(
            f"with --frame-labels a teacher scores each of the {spec.num_frames} frames, and "
            f"{teacher.name} "
            + ("scores clips" if frames is None else f"takes {frames} frames")
            + ": give a model file of as many frames, or none"
        )
    if settings.teacher_features:
        raise ValueError(
            "--teacher-features compares features of clips, and with --frame-labels frames are "
            "learned: leave one out"
        )


def _holds_scores(path: Path) -> bool:
    try:
        with safe_open(path, framework="pt") as file:
            return SCORES_KEY in (file.metadata() or {})
    except SafetensorError:
        return False  # `load_model` says what it is
