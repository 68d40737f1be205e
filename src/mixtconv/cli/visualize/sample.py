"""`mixtconv visualize sample DATA`."""

from mixtconv.cli.console import Format
from mixtconv.training.sample_settings import SampleSettings


def sample(settings: SampleSettings, *, epoch: int = 0, format: Format = "table") -> int:
    """Draw the first batch that training would be fed with; takes the flags of mixtconv train.

    Args:
        settings: of the training run; `out` is the picture.
        epoch: The epoch whose first batch is drawn, counted from 0.
        format: How the numbers are printed, table or json.
    """
    from mixtconv.cli.visualize.picture import finish
    from mixtconv.training.sample_sheet import draw_samples
    from mixtconv.visualization.drawing import STILL, check_picture_path

    path = check_picture_path(settings.out, STILL)
    return finish(draw_samples(settings, epoch=epoch), path, format=format)
