"""`mixtconv ablate DATA`."""

import logging

from mixtconv.cli.console import Format, print_json, print_table
from mixtconv.training.settings import AblationAxes, TrainingSettings

logger = logging.getLogger(__name__)


def ablate(settings: TrainingSettings, axes: AblationAxes, *, format: Format = "table") -> int:
    """Train temporal operations on the same data with the same budget and several seeds.

    Without --operations these are the ten of the MixTConv paper, in the backbone of --model. What
    was trained before is not trained again. Writes ablation.json, ablation.svg and ablation.png.

    Args:
        settings: Data, backbone and recipe, the same for all.
        axes: What is compared.
        format: How the result is printed, table or json.
    """
    from mixtconv.reporting.ablation import ablation_drawing, write_charts
    from mixtconv.training.ablation import ablate as run_ablation

    drawing = ablation_drawing(run_ablation(settings, axes))
    charts = [str(path) for path in write_charts(drawing, settings.out)]
    if format == "json":
        print_json({**drawing.numbers, "charts": charts})
    else:
        print_table(drawing.columns, drawing.rows)
        for note in drawing.notes:
            logger.info("%s", note)
        logger.info("drawn: %s", ", ".join(charts))
    return 0
