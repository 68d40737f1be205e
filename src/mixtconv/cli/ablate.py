"""`mixtconv ablate DATA`."""

from mixtconv.cli.commands import Result, Table
from mixtconv.training.settings import AblationAxes, TrainingSettings


def ablate(settings: TrainingSettings, axes: AblationAxes) -> Result:
    """Train temporal operations on the same data with the same budget and several seeds.

    Without --operations these are the ten of the MixTConv paper, in the backbone of --model. What
    was trained before is not trained again. Writes ablation.json, ablation.svg and ablation.png.

    Args:
        settings: Data, backbone and recipe, the same for all.
        axes: What is compared.
    """
    from mixtconv.reporting.ablation import ablation_drawing, write_charts
    from mixtconv.training.ablation import ablate as run_ablation

    drawing = ablation_drawing(run_ablation(settings, axes))
    charts = [str(path) for path in write_charts(drawing, settings.out)]
    return Result(
        {**drawing.numbers, "charts": charts},
        [Table(drawing.columns, drawing.rows)],
        [*drawing.notes, f"drawn: {', '.join(charts)}"],
    )
