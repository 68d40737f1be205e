"""`mixtconv visualize confusion MODEL DATA`, `mixtconv visualize confusion SCORES`."""

from mixtconv.cli.console import Format, progress
from mixtconv.data.source import ClassOrder, DataSource
from mixtconv.evaluation.reading import Reading


def confusion(
    source: str,
    data: str | None = None,
    *,
    reading: Reading,
    root: str | None = None,
    official_split: int = 1,
    class_order: ClassOrder = "published",
    out: str = "confusion.png",
    format: Format = "table",
) -> int:
    """Draw which class is taken for which, and list the largest confusions.

    Args:
        source: Model file, or without DATA a file of scores (mixtconv evaluate --scores).
        data: Labelled videos for a model: a folder, a CSV, or with --root a known dataset.
        reading: Which of them, and how they are read.
        root: Folder of the known dataset.
        official_split: Which of the known dataset's splits, where it has several.
        class_order: Order of a known dataset's classes.
        out: File of the picture, .png, .svg or .html; one that is there is replaced.
        format: How the numbers are printed, table or json.
    """
    from mixtconv.cli.visualize.picture import finish
    from mixtconv.visualization.drawing import INTERACTIVE, check_picture_path
    from mixtconv.visualization.drawings import draw_confusion

    path = check_picture_path(out, INTERACTIVE)
    videos = None if data is None else DataSource(data, root, official_split, class_order)
    with progress("scoring videos") as show:
        drawing = draw_confusion(source, videos, reading=reading, progress=show)
    return finish(drawing, path, format=format)
