"""`mixtconv calibrate MODEL DATA`."""

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress
from mixtconv.data.listing import DataSource
from mixtconv.evaluation.settings import EvaluationSettings


def calibrate(
    model: str,
    data: DataSource,
    reading: EvaluationSettings,
    *,
    keep: float | None = None,
    out: str | None = None,
) -> Result:
    """Make the scores of a recognizer as often right as they say, and let it reject videos.

    The logits are divided by the temperature that fits labelled videos, in the model file itself:
    labels and their order stay, scores change, also of what is exported from it. With --keep,
    thresholds are chosen below which a video shows none of the classes: predict, stream and serve
    then give it no label. Calibrate on videos that the model was not trained on: by default those
    of the split val.

    Args:
        model: Model file, or the folder of one.
        data: Labelled videos.
        reading: Which of them, and how they are read.
        keep: Share of the recognized videos that keep their label, such as 0.95; default no
            thresholds, so that every video has a label.
        out: Model file to write; default MODEL itself.
    """
    from mixtconv.evaluation.calibrate import calibrate_model

    with progress("scoring videos") as show:
        result = calibrate_model(model, data, keep=keep, out=out, settings=reading, progress=show)
    table = Table(
        ["", "calibration error %", "negative log-likelihood"],
        [
            [name, each.calibration_error, f"{each.negative_log_likelihood:.3f}"]
            for name, each in (("before", result.before), ("after", result.after))
        ],
        title=f"temperature {result.temperature:.3f}, on {result.num_videos} videos",
    )
    tables = [table]
    if result.thresholds is not None:
        rows = [[name, f"{value:.3f}"] for name, value in result.thresholds.items()]
        tables.append(Table(["class", "rejected below"], rows))
    notes = [*result.notes, f"calibrated: {result.out}"]
    notes += [f"left out, cannot be read: {video}" for video in result.unreadable]
    return Result(result.to_dict(), tables, notes, status=1 if result.unreadable else 0)
