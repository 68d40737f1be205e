"""`mixtconv train DATA`, `mixtconv train --recipe NAME --root ROOT`."""

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import is_interactive, progress
from mixtconv.training.settings import TrainingSettings


def train(settings: TrainingSettings) -> Result:
    """Train a recognizer on videos, by a recipe or with settings of your own.

    Args:
        settings: Data, model and recipe.
    """
    from mixtconv.training.recipes import load_recipe

    if settings.recipe is not None:
        load_recipe(settings.recipe).check(settings)
    from mixtconv.training.fit import train as fit
    from mixtconv.training.run_folder import plain_row

    with progress("looking at the videos") as check_progress:
        result = fit(settings, progress_bar=is_interactive(), check_progress=check_progress)
    model, best = str(result.files.model), result.best
    columns = ["model", "best epoch", "top-1 %", "top-5 %", "mean class %"]
    row = [model, best.epoch, best.top1, best.top5, best.mean_class_accuracy]
    return Result(
        {"model": model, "metrics": str(result.files.metrics), "best": plain_row(best)},
        [Table(columns, [row])],
    )
