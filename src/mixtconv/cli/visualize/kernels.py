"""`mixtconv visualize kernels MODEL`."""

from mixtconv.cli.console import Format


def kernels(model: str, *, out: str = "kernels.png", format: Format = "table") -> int:
    """Draw the learned temporal kernels of a model, by block and group of channels.

    Args:
        model: Model file of a training run.
        out: File of the picture, .png or .svg; one that is there is replaced.
        format: How the numbers are printed, table or json.
    """
    from mixtconv.cli.visualize.picture import finish
    from mixtconv.visualization.drawing import STILL, check_picture_path
    from mixtconv.visualization.drawings import draw_kernels

    path = check_picture_path(out, STILL)
    return finish(draw_kernels(model), path, format=format)
