"""`mixtconv visualize SUBJECT`: each subject is a function, which draws one picture."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress
from mixtconv.data.listing import DataSource
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.reporting.settings import SampleSettings

if TYPE_CHECKING:
    from mixtconv.visualization.drawing import Drawing

SUBJECTS = {
    "kernels": "the learned temporal kernels of a model, against those that training started from",
    "tsne": "a map of the features of models, side by side, with their neighbourhood accuracy",
    "cam": "where in the frames of videos a model finds a class",
    "confusion": "the confusion matrix, with confused classes side by side",
    "sample": "what the loader gives to the network after augmentation",
    "predictions": "wrong and right predictions with their frames, the most confident first",
}
"""Name -> what it draws; the function of that name is the command."""


def kernels(model: str, *, out: str = "kernels.png") -> Result:
    """Draw the learned temporal kernels of a model, by block and group of channels.

    Args:
        model: Model file of a training run.
        out: File of the picture, .png or .svg; one that is there is replaced.
    """
    from mixtconv.visualization.drawing import IMAGE_SUFFIXES
    from mixtconv.visualization.drawings import draw_kernels

    return _drawn(partial(draw_kernels, model), out, IMAGE_SUFFIXES)


def tsne(
    models: list[str],
    data: DataSource,
    reading: EvaluationSettings,
    *,
    perplexity: float = 30.0,
    max_clips: int = 5000,
    seed: int = 0,
    out: str = "tsne.png",
) -> Result:
    """Draw a map of the features before the last layer, for one model or several side by side.

    Args:
        models: Model files of training runs.
        data: The videos.
        reading: Which of them, and how they are read.
        perplexity: Perplexity of t-SNE: about how many neighbours of a clip stay near it.
        max_clips: Largest number of clips; of more videos, as many are chosen at random.
        seed: Seed of the choice of clips and of t-SNE.
        out: File of the picture, .png, .svg or .html; one that is there is replaced.
    """
    from mixtconv.visualization.drawing import INTERACTIVE_SUFFIXES
    from mixtconv.visualization.drawings import draw_tsne

    draw = partial(
        draw_tsne,
        models,
        data,
        reading=reading,
        perplexity=perplexity,
        max_clips=max_clips,
        seed=seed,
    )
    return _drawn(draw, out, INTERACTIVE_SUFFIXES, doing="reading videos")


def cam(
    model: str,
    videos: list[str],
    *,
    label: str | None = None,
    clips: int = 1,
    device: str = "auto",
    out: str = "cam.png",
) -> Result:
    """Draw where in the frames of videos a model finds a class (Grad-CAM over the whole clip).

    Args:
        model: Model file of a training run.
        videos: Files, folders or patterns such as 'clips/*.mp4'.
        label: The class; default of each video the one that the model predicts.
        clips: Clips of each video; several show more of its frames.
        device: auto, cpu, cuda, cuda:0 or mps.
        out: File of the picture, .png or .svg, or of one video .mp4; one that is there is replaced.
    """
    from mixtconv.video.find import find_videos
    from mixtconv.visualization.drawing import ANIMATION_SUFFIXES, IMAGE_SUFFIXES
    from mixtconv.visualization.drawings import draw_activation

    sources = find_videos(videos)
    draw = partial(draw_activation, model, sources, label=label, num_clips=clips, device=device)
    suffixes = ANIMATION_SUFFIXES if len(sources) == 1 else IMAGE_SUFFIXES
    return _drawn(draw, out, suffixes, doing="reading videos")


def confusion(
    source: str,
    data: DataSource | None = None,
    *,
    reading: EvaluationSettings,
    out: str = "confusion.png",
) -> Result:
    """Draw the confusion matrix, and list the largest confusions.

    Args:
        source: Model file, or without DATA a file of scores (mixtconv evaluate --scores).
        data: The labelled videos for a model.
        reading: Which of them, and how they are read.
        out: File of the picture, .png, .svg or .html; one that is there is replaced.
    """
    from mixtconv.visualization.drawing import INTERACTIVE_SUFFIXES
    from mixtconv.visualization.drawings import draw_confusion

    draw = partial(draw_confusion, source, data, reading=reading)
    return _drawn(draw, out, INTERACTIVE_SUFFIXES, doing="scoring videos")


def sample(settings: SampleSettings, *, epoch: int = 0) -> Result:
    """Draw the first batch that training would get; takes the flags of mixtconv train.

    Args:
        settings: Of the training run; `out` is the picture.
        epoch: The epoch whose first batch is drawn, counted from 0.
    """
    from mixtconv.reporting.samples import draw_samples
    from mixtconv.visualization.drawing import IMAGE_SUFFIXES

    return _drawn(partial(draw_samples, settings, epoch=epoch), settings.out, IMAGE_SUFFIXES)


def predictions(
    model: str,
    data: DataSource,
    reading: EvaluationSettings,
    *,
    num_wrong: int = 6,
    num_right: int = 4,
    out: str = "predictions.png",
) -> Result:
    """Draw wrong and right predictions with their frames, the most confident of each kind first.

    Args:
        model: Model file of a training run.
        data: The videos.
        reading: Which of them, and how they are read.
        num_wrong: Largest number of wrong predictions.
        num_right: Largest number of right predictions.
        out: File of the picture, .png or .svg; one that is there is replaced.
    """
    from mixtconv.visualization.drawing import IMAGE_SUFFIXES
    from mixtconv.visualization.drawings import draw_predictions

    draw = partial(
        draw_predictions, model, data, reading=reading, num_wrong=num_wrong, num_right=num_right
    )
    return _drawn(draw, out, IMAGE_SUFFIXES, doing="scoring videos")


def _drawn(
    draw: Callable[..., "Drawing"], out: str, suffixes: Sequence[str], *, doing: str | None = None
) -> Result:
    """Draw, write the picture and give its numbers; status 1 if a video could not be read.

    With `doing`, a bar of that name shows how far the drawing has read its videos.
    """
    from mixtconv.visualization.drawing import check_picture_path, write_drawing

    path = check_picture_path(out, suffixes)
    if doing is None:
        drawing = draw()
    else:
        with progress(doing) as show:
            drawing = draw(progress=show)
    write_drawing(drawing, path)
    return Result(
        {
            "files": [str(path)],
            **drawing.numbers,
            "unreadable": [video.to_dict() for video in drawing.unreadable],
        },
        [Table(drawing.columns, drawing.rows, drawing.title)] if drawing.rows else [],
        [
            *(f"left out, cannot be read: {video}" for video in drawing.unreadable),
            *drawing.notes,
            f"wrote {path}",
        ],
        status=1 if drawing.unreadable else 0,
    )
