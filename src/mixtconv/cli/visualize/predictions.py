"""`mixtconv visualize predictions MODEL DATA`."""

from mixtconv.cli.console import Format, progress
from mixtconv.data.source import DataSource
from mixtconv.evaluation.reading import Reading


def predictions(
    model: str,
    data: DataSource,
    reading: Reading,
    *,
    num_wrong: int = 6,
    num_right: int = 4,
    out: str = "predictions.png",
    format: Format = "table",
) -> int:
    """Draw wrong and right predictions with their frames, of each kind the surest first.

    Args:
        model: Model file of a training run.
        data: The videos.
        reading: Which of them, and how they are read.
        num_wrong: Wrong predictions, at most.
        num_right: Right predictions, at most.
        out: File of the picture, .png or .svg; one that is there is replaced.
        format: How the numbers are printed, table or json.
    """
    from mixtconv.cli.visualize.picture import finish
    from mixtconv.visualization.drawing import STILL, check_picture_path
    from mixtconv.visualization.drawings import draw_predictions

    path = check_picture_path(out, STILL)
    with progress("scoring videos") as show:
        drawing = draw_predictions(
            model,
            data,
            reading=reading,
            num_wrong=num_wrong,
            num_right=num_right,
            progress=show,
        )
    return finish(drawing, path, format=format)
