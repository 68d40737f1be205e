"""Training a recognizer: from settings to the files of a run."""

import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from mixtconv._names import as_keywords, unknown_name
from mixtconv._processes import is_rank_zero
from mixtconv._stopping import Stopped, StopSignals
from mixtconv._types import Progress
from mixtconv.data.contents import recorded_contents, refuse_changed, write_contents
from mixtconv.data.datasets.own import describe, list_own
from mixtconv.data.datasets.scanning import is_own
from mixtconv.data.frame_cache import FrameCache
from mixtconv.data.training_clips import Transform
from mixtconv.evaluation.multi_label import DEFAULT_THRESHOLD
from mixtconv.evaluation.scoring import check_protocol
from mixtconv.models import VideoClassifier
from mixtconv.models.device import HALF
from mixtconv.models.field_types import require_type
from mixtconv.models.frozen_trunk import freeze_trunk, hold_in_half
from mixtconv.training.checkpoint import naming_what_is_kept
from mixtconv.training.data import VideoDataModule, cache_frames, form_of_run, frames_in_words
from mixtconv.training.head_run import make_trunk, prepare_head_run
from mixtconv.training.initial_weights import InitialModel, make_initial_model
from mixtconv.training.loss import LossOfLogits
from mixtconv.training.module import ClassifierModule
from mixtconv.training.mutual import PartnerRecord, make_partner
from mixtconv.training.open_teachers import OwnTeacher
from mixtconv.training.optimizer import MakeOptimizer
from mixtconv.training.own_parts import OwnParts, listed, named_teachers, refuse_own
from mixtconv.training.plan import RunPlan, check_videos, plan_run, videos_by_name
from mixtconv.training.quiet import quiet_lightning
from mixtconv.training.recipes import load_recipe
from mixtconv.training.record import RunRecord
from mixtconv.training.run_folder import (
    EpochRecord,
    RunFiles,
    alone_in_run,
    begin_run,
    find_checkpoint,
    refuse_folder,
)
from mixtconv.training.run_origin import (
    RunOrigin,
    begins_at_random,
    frames_of_checkpoint,
    refuse_other_teachers,
)
from mixtconv.training.settings import TrainingSettings
from mixtconv.training.trainer import make_trainer
from mixtconv.video.segment import Video

if TYPE_CHECKING:
    from mixtconv.inference.torch_recognizers import Recognizer

logger = logging.getLogger(__name__)

CHANNELS_LAST_PAYS = ("cpu", "cuda")
"""Devices whose convolutions train faster on channels-last feature maps."""


@dataclass(frozen=True)
class TrainingResult:
    """The files and scores of a finished run."""

    files: RunFiles
    best: EpochRecord
    """The epoch that the model file holds: the best, or the last one if that is kept."""
    epochs: tuple[EpochRecord, ...]

    def recognizer(self, **options: Any) -> "Recognizer":
        """The trained model, ready to predict; `options` are those of `Recognizer`."""
        from mixtconv.inference.torch_recognizers import Recognizer  # noqa: PLC0415

        return Recognizer(self.files.model, **options)


def train(
    settings: TrainingSettings | str | Path | Any,
    *,
    val: Any = None,
    classes: Sequence[str] | None = None,
    transform: Transform | None = None,
    frames: FrameCache | None = None,
    progress_bar: bool = False,
    check_progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    loss: LossOfLogits | None = None,
    optimizer: str | MakeOptimizer | None = None,
    teacher: OwnTeacher | Sequence[OwnTeacher] | None = None,
    **values: Any,
) -> TrainingResult:
    """Train a recognizer on videos, and write model, record, settings, checkpoints and logs.

    Args:
        settings: data, model and recipe; or the data alone, a folder or a list on the disk, or a
            dataset: whatever has `len()` and gives a pair of a video and its label for a number,
            such as one of torch or Hugging Face, or a list of pairs. A video is what
            `Recognizer.predict` takes. In the folder of the run its videos have numbers alone.
        val: another dataset, to validate on; by default a part of the first one is held out.
        classes: what numbers of a dataset's labels mean; by default as the dataset says.
        transform: called with each clip of training, uint8 (T, 3, S, S), after the other changes;
            returns one of the same shape. Chance of torch depends on the clip and the epoch alone.
            With a teacher's clips of the same kind, such as pictures of another size, too.
        frames: of the videos, kept before; used if they are in the form that the model takes.
        progress_bar: show the steps of every epoch on standard error.
        check_progress: called with the number of checked videos and of all, before training.
        callbacks: of Lightning, beside those of the run.
        loggers: of Lightning, beside TensorBoard's.
        loss: called with the logits (B, K) and the labels, int64 (B,), or of mixed clips, frames
            with labels and several labels the shares or 1 and 0 of the classes (B, K); returns the
            mean. In place of the cross entropy.
        optimizer: `adamw` or `sgd`, as in the settings; or a function of the groups of parameters,
            dictionaries with `params`, `lr` and `weight_decay` by the settings, that returns the
            optimiser.
        teacher: one or several that the model learns from: names as in the settings, recognizers,
            `SavedScores`, or functions of clips as the model takes them, uint8 (B, T, C, S, S), to
            logits (B, K) in the order of the classes.
        values: fields of `TrainingSettings`, such as `model="mstnet_resnet50"`, in place of those
            of `settings`.

    Raises:
        ValueError: settings or data that cannot be used, or an unreadable training video.
        OSError: a file of the run cannot be written; files written before are complete.
        Stopped: Ctrl-C or SIGTERM has ended it, between two steps and with a checkpoint; a
            `KeyboardInterrupt`.
    """
    with _in_words_of(settings, values):
        if isinstance(optimizer, str):
            values["optimizer"], optimizer = optimizer, None
        listing = None
        if is_own(settings):
            listing = list_own(settings, val=val, classes=classes)
            settings = describe(settings)
        elif val is not None or classes is not None:
            own_name = "val" if val is not None else "classes"
            raise ValueError(
                f"{own_name} belongs to a dataset, and the data are on the disk, which say it "
                "themselves: leave it out"
            )
        names, objects = named_teachers(teacher)
        if names:
            values["teacher"] = names if len(names) > 1 else names[0]  # as on the command line
        settings = given_settings(settings, values)
        own = OwnParts(listed(callbacks), listed(loggers), loss, optimizer, transform, objects)
        refuse_own(own, settings)
        files = RunFiles(Path(settings.out))
        with alone_in_run(files), naming_what_is_kept(files, epochs=settings.epochs):
            refuse_folder(settings, files)
            plan = plan_run(settings, own=listing)
            return _train(plan, files, frames, progress_bar, check_progress, own)


@contextmanager
def _in_words_of(settings: Any, values: Mapping[str, Any]) -> Iterator[None]:
    """Name settings in errors as the caller has, who gives them by keyword or as flags."""
    try:
        yield
    except ValueError as error:
        is_command = isinstance(settings, TrainingSettings) and not values
        is_text = len(error.args) == 1 and isinstance(error.args[0], str)
        if type(error) is ValueError and is_text and not is_command:
            names = {field.name for field in fields(TrainingSettings)}
            error.args = (as_keywords(error.args[0], names),)
        raise


def _train(
    plan: RunPlan,
    files: RunFiles,
    frames: FrameCache | None,
    progress_bar: bool,
    check_progress: Progress | None,
    own: OwnParts,
) -> TrainingResult:
    settings = plan.settings
    checkpoint = find_checkpoint(settings, files)
    torch.manual_seed(settings.seed)
    is_head = settings.train == "head"
    initial = _initial_model(plan, checkpoint)
    if settings.train == "temporal":
        freeze_trunk(initial.model)
    spec = initial.model.spec
    second = make_partner(settings, initial.model, is_resumed=checkpoint is not None)
    partner = None if second is None else second.model
    for each in filter(None, (initial.model, partner)):
        _refuse_unfit(plan, each)
    teachers = own.open_teachers(plan, spec)
    refuse_other_teachers(checkpoint, teachers.described(), out=settings.out)
    others = teachers.specs
    if frames is not None and frames.form != form_of_run(plan, spec, others):
        frames = None
    plan = check_videos(
        plan,
        modality=spec.modality,
        others=teachers.modalities,
        known=frames or (),
        progress=check_progress,
    )
    teachers.begin(plan.catalog.train)
    before = None if checkpoint is None else frames_of_checkpoint(checkpoint)
    cache = frames or cache_frames(plan, spec, as_before=before, others=others)
    _keep_to_contents(plan, files, known=cache.keys if cache else {}, checkpoint=checkpoint)
    views = plan.protocol.describe(spec)
    logger.info("validation protocol: %s", views)

    if plan.device.type in CHANNELS_LAST_PAYS:
        for each in filter(None, (initial.model, partner)):
            each.to(memory_format=torch.channels_last)
    model = initial.model
    data = VideoDataModule(plan, spec, cache, transform=own.transform, others=others)
    origin = RunOrigin(initial.weights, frames_in_words(cache), teachers=teachers.described())
    if is_head:
        begin_run(settings, files)  # what is stopped before its first epoch can be resumed too
        head = prepare_head_run(plan, files, initial, cache)
        model, plan, data = head.model, head.plan, head.data
        origin = replace(origin, head=asdict(head.chosen))
    module = ClassifierModule(
        model,
        plan,
        loss=own.loss,
        optimizer=own.optimizer,
        teachers=teachers,
        partner=partner,
    )
    if settings.train != "all":
        origin = replace(origin, trunk=_describe_trunk(module.recognizer, settings))
    is_found_again = settings.train == "temporal" and model.frozen_trunk is not None
    if is_found_again and plan.precision in HALF and not settings.whole_file:
        hold_in_half(model, HALF[plan.precision])
    of_partner = None
    if second is not None:
        of_partner = PartnerRecord(plan, files.partner, weights=second.weights)
    record = RunRecord(plan, files, views=views, origin=origin, partner=of_partner)
    _fit(module, data, record, settings, checkpoint, progress_bar, own)
    assert record.kept is not None
    return TrainingResult(files, record.kept, tuple(record.epochs))


def _fit(
    module: ClassifierModule,
    data: VideoDataModule,
    record: RunRecord,
    settings: TrainingSettings,
    checkpoint: Path | None,
    progress_bar: bool,
    own: OwnParts,
) -> None:
    """Train from the beginning or from a checkpoint to the end, or until a signal comes."""
    plan, files = data.plan, record.files  # of a head that is trained, with its settings
    with quiet_lightning(), StopSignals() as signals:
        trainer = make_trainer(plan, files, record, progress_bar, own, signals)
        begin_run(settings, files)
        try:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        except OSError as error:
            if error.filename is not None or error.errno is None:
                raise
            raise OSError(error.errno, error.strerror, str(files.folder)) from error
        except SystemExit as stop:  # Lightning's answer to a KeyboardInterrupt
            number = signals.received or signal.SIGINT
            raise Stopped("", go_on="never", signal_number=number) from stop
        if signals.received is not None:  # after the last step
            raise Stopped("", go_on="never", signal_number=signals.received)


def given_settings(
    settings: TrainingSettings | str | Path, values: Mapping[str, Any]
) -> TrainingSettings:
    """Settings with some values in place of theirs, those of a recipe among them.

    Raises:
        ValueError: a setting that does not exist, or values that cannot be used.

    >>> given_settings("clips", {"epochs": 3}).epochs
    3
    """
    types = {field.name: field.type for field in fields(TrainingSettings)}
    values = {name: _plain(value) for name, value in values.items()}
    for name, value in values.items():
        if name not in types:
            raise unknown_name("setting", name, types)
        require_type(name, value, types[name])
    if isinstance(settings, TrainingSettings):
        return replace(settings, **values)
    if (recipe := values.get("recipe")) is not None:
        values = {**load_recipe(recipe).values, **values}
    return TrainingSettings(**{**values, "data": str(settings)})


def _plain(value: Any) -> Any:
    """A setting as a file of settings holds it: a path is a text, NumPy's number a number."""
    if isinstance(value, tuple):
        return [*map(_plain, value)]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value


def _initial_model(plan: RunPlan, checkpoint: Path | None) -> InitialModel:
    """The model before its first step; of a head its trunk."""
    settings, classes = plan.settings, plan.catalog.classes
    start = settings
    if checkpoint is not None and (settings.train == "all" or begins_at_random(checkpoint)):
        start = replace(settings, weights="none")  # it holds them all
    initial = (make_trunk if settings.train == "head" else make_initial_model)(start, classes)
    if plan.catalog.several:
        thresholds = (DEFAULT_THRESHOLD,) * len(classes)
        initial.model.spec = replace(initial.model.spec, label_thresholds=thresholds)
    return initial


def _describe_trunk(model: VideoClassifier, settings: TrainingSettings) -> dict[str, Any] | None:
    """Log what is trained and what the model file will hold; where the trunk comes from."""
    sizes = {name: each.numel() for name, each in model.named_parameters()}
    trained = sum(sizes[name] for name, each in model.named_parameters() if each.requires_grad)
    frozen = model.frozen_trunk
    logger.info("training %d of %d parameters, the others are frozen", trained, sum(sizes.values()))
    if frozen is None:
        logger.info("the model file will hold all weights: those of the backbone are not published")
    elif not settings.whole_file:
        logger.info(
            "the model file will hold the trained part alone, and name the backbone, %s "
            "(--whole-file stores it, too)",
            frozen.origin,
        )
    return None if frozen is None else frozen.to_dict()


def _refuse_unfit(plan: RunPlan, model: VideoClassifier) -> None:
    """Refuse settings that do not fit the model, whose facts are only known when it is made.

    Raises:
        ValueError: changes of pictures for a model that takes flow by itself, or a protocol of
            clips or crops that it does not take.
    """
    plan.settings.refuse_changes_of_flow(model.spec.modality)
    if plan.settings.frame_labels and not model.scores_frames:
        raise ValueError(
            f"--frame-labels needs a model that scores each frame, and {model.spec.name} scores a "
            "clip as a whole: choose a family in a 2D backbone, such as mstnet_resnet18"
        )
    check_protocol(plan.protocol, model)


def _keep_to_contents(
    plan: RunPlan, files: RunFiles, *, known: Mapping[Video, str], checkpoint: Path | None
) -> None:
    """Record what the videos hold, or refuse others than a run that goes on was begun with."""
    if not is_rank_zero():
        return
    contents = recorded_contents(videos_by_name(plan.catalog), known=known)
    if checkpoint is None and not files.heads.exists():
        write_contents(files.videos, contents)
    else:  # one that was begun before contents were recorded has none
        refuse_changed(files.videos, contents, begun=f"the run in {files.folder}")
