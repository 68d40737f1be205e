"""`mixtconv visualize SUBJECT`: each subject is a function, which draws one picture."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from mixtconv.cli.console import Format, print_json, print_table, progress
from mixtconv.data.listing import DataSource
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.reporting.settings import SampleSettings

if TYPE_CHECKING:
    from mixtconv.visualization.drawing import Drawing

logger = logging.getLogger(__name__)

SUBJECTS = {
    "kernels": "the learned temporal kernels of a model, against those that training started from",
    "tsne": "a map of the features of models, side by side, with their neighbourhood accuracy",
    "cam": "where in the frames of videos a model finds a class",
    "confusion": "the confusion matrix, with confused classes side by side",
    "sample": "what the loader gives to the network after augmentation",
    "predictions": "wrong and right predictions with their frames, the most confident first",
}
"""Name -> what it draws; the function of that name is the command."""


def kernels(model: str, *, out: str = "kernels.png", format: Format = "table") -> int:
    """Draw the learned temporal kernels of a model, by block and group of channels.

    Args:
        model: Model file of a training run.
        out: File of the picture, .png or .svg; one that is there is replaced.
        format: How the numbers are printed, table or json.
    """
    from mixtconv.visualization.drawing import IMAGE_SUFFIXES, check_picture_path
    from mixtconv.visualization.drawings import draw_kernels

    path = check_picture_path(out, IMAGE_SUFFIXES)
    return _finish(draw_kernels(model), path, format=format)


def tsne(
    models: list[str],
    data: DataSource,
    reading: EvaluationSettings,
    *,
    perplexity: float = 30.0,
    max_clips: int = 5000,
    seed: int = 0,
    out: str = "tsne.png",
    format: Format = "table",
) -> int:
    """Draw a map of the features before the last layer, for one model or several side by side.

    Args:
        models: Model files of training runs.
        data: The videos.
        reading: Which of them, and how they are read.
        perplexity: Perplexity of t-SNE: about how many neighbours of a clip stay near it.
        max_clips: Largest number of clips; of more videos, as many are chosen at random.
        seed: Seed of the choice of clips and of t-SNE.
        out: File of the picture, .png, .svg or .html; one that is there is replaced.
        format: How the numbers are printed, table or json.
    """
    from mixtconv.visualization.drawing import INTERACTIVE_SUFFIXES, check_picture_path
    from mixtconv.visualization.drawings import draw_tsne

    path = check_picture_path(out, INTERACTIVE_SUFFIXES)
    with progress("reading videos") as show:
        drawing = draw_tsne(
            models,
            data,
            reading=reading,
            perplexity=perplexity,
            max_clips=max_clips,
            seed=seed,
            progress=show,
        )
    return _finish(drawing, path, format=format)


def cam(
    model: str,
    videos: list[str],
    *,
    label: str | None = None,
    clips: int = 1,
    device: str = "auto",
    out: str = "cam.png",
    format: Format = "table",
) -> int:
    """Draw where in the frames of videos a model finds a class (Grad-CAM over the whole clip).

    Args:
        model: Model file of a training run.
        videos: Files, folders or patterns such as 'clips/*.mp4'.
        label: The class; default of each video the one that the model predicts.
        clips: Clips of each video; several show more of its frames.
        device: auto, cpu, cuda, cuda:0 or mps.
        out: File of the picture, .png or .svg, or of one video .mp4; one that is there is replaced.
        format: How the numbers are printed, table or json.
    """
    from mixtconv.video.find import find_videos
    from mixtconv.visualization.drawing import (
        ANIMATION_SUFFIXES,
        IMAGE_SUFFIXES,
        check_picture_path,
    )
    from mixtconv.visualization.drawings import draw_activation

    sources = find_videos(videos)
    path = check_picture_path(out, ANIMATION_SUFFIXES if len(sources) == 1 else IMAGE_SUFFIXES)
    with progress("reading videos") as show:
        drawing = draw_activation(
            model, sources, label=label, num_clips=clips, device=device, progress=show
        )
    return _finish(drawing, path, format=format)


def confusion(
    source: str,
    data: DataSource | None = None,
    *,
    reading: EvaluationSettings,
    out: str = "confusion.png",
    format: Format = "table",
) -> int:
    """Draw the confusion matrix, and list the largest confusions.

    Args:
        source: Model file, or without DATA a file of scores (mixtconv evaluate --scores).
        data: The labelled videos for a model.
        reading: Which of them, and how they are read.
        out: File of the picture, .png, .svg or .html; one that is there is replaced.
        format: How the numbers are printed, table or json.
    """
    from mixtconv.visualization.drawing import INTERACTIVE_SUFFIXES, check_picture_path
    from mixtconv.visualization.drawings import draw_confusion

    path = check_picture_path(out, INTERACTIVE_SUFFIXES)
    with progress("scoring videos") as show:
        drawing = draw_confusion(source, data, reading=reading, progress=show)
    return _finish(drawing, path, format=format)


def sample(settings: SampleSettings, *, epoch: int = 0, format: Format = "table") -> int:
    """Draw the first batch that training would get; takes the flags of mixtconv train.

    Args:
        settings: Of the training run; `out` is the picture.
        epoch: The epoch whose first batch is drawn, counted from 0.
        format: How the numbers are printed, table or json.
    """
    from mixtconv.reporting.samples import draw_samples
    from mixtconv.visualization.drawing import IMAGE_SUFFIXES, check_picture_path

    path = check_picture_path(settings.out, IMAGE_SUFFIXES)
    return _finish(draw_samples(settings, epoch=epoch), path, format=format)


def predictions(
    model: str,
    data: DataSource,
    reading: EvaluationSettings,
    *,
    num_wrong: int = 6,
    num_right: int = 4,
    out: str = "predictions.png",
    format: Format = "table",
) -> int:
    """Draw wrong and right predictions with their frames, the most confident of each kind first.

    Args:
        model: Model file of a training run.
        data: The videos.
        reading: Which of them, and how they are read.
        num_wrong: Largest number of wrong predictions.
        num_right: Largest number of right predictions.
        out: File of the picture, .png or .svg; one that is there is replaced.
        format: How the numbers are printed, table or json.
    """
    from mixtconv.visualization.drawing import IMAGE_SUFFIXES, check_picture_path
    from mixtconv.visualization.drawings import draw_predictions

    path = check_picture_path(out, IMAGE_SUFFIXES)
    with progress("scoring videos") as show:
        drawing = draw_predictions(
            model,
            data,
            reading=reading,
            num_wrong=num_wrong,
            num_right=num_right,
            progress=show,
        )
    return _finish(drawing, path, format=format)


def _finish(drawing: "Drawing", path: Path, *, format: Format) -> int:
    """Write a drawing and print its numbers; the exit status is 1 if a video could not be read."""
    from mixtconv.visualization.drawing import write_drawing

    write_drawing(drawing, path)
    for video in drawing.unreadable:
        logger.warning("left out, cannot be read: %s (%s)", video.path, video.reason)
    if format == "json":
        unreadable = [video.to_dict() for video in drawing.unreadable]
        print_json({"files": [str(path)], **drawing.numbers, "unreadable": unreadable})
    elif drawing.rows:
        print_table(drawing.columns, drawing.rows, title=drawing.title)
    for note in drawing.notes:
        logger.info("%s", note)
    logger.info("wrote %s", path)
    return 1 if drawing.unreadable else 0
