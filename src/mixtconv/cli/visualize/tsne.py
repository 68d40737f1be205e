"""`mixtconv visualize tsne MODEL... DATA`."""

from mixtconv.cli.console import Format, progress
from mixtconv.data.source import DataSource
from mixtconv.evaluation.reading import Reading


def tsne(
    models: list[str],
    data: DataSource,
    reading: Reading,
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
        perplexity: About how many neighbours of a clip t-SNE keeps near it.
        max_clips: Clips of the map; of more videos so many are chosen by chance.
        seed: Seed of the choice of clips and of t-SNE.
        out: File of the picture, .png, .svg or .html; one that is there is replaced.
        format: How the numbers are printed, table or json.
    """
    from mixtconv.cli.visualize.picture import finish
    from mixtconv.visualization.drawing import INTERACTIVE, check_picture_path
    from mixtconv.visualization.drawings import draw_tsne

    path = check_picture_path(out, INTERACTIVE)
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
    return finish(drawing, path, format=format)
