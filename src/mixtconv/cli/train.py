"""`mixtconv train DATA`, `mixtconv train --recipe NAME --root ROOT`."""

from mixtconv.cli.console import Format, is_interactive, print_json, print_table, progress
from mixtconv.training.settings import TrainingSettings


def train(settings: TrainingSettings, *, format: Format = "table") -> int:
    """Train a recognizer on videos, by a recipe or with settings of your own.

    Args:
        settings: Data, model and recipe.
        format: How the result is printed, table or json.
    """
    from mixtconv.training.recipes import load_recipe

    if settings.recipe is not None:
        load_recipe(settings.recipe).check(settings)
    from mixtconv.training.fit import train as fit
    from mixtconv.training.run_folder import plain_row

    with progress("looking at the videos") as check_progress:
        result = fit(settings, progress_bar=is_interactive(), check_progress=check_progress)
    summary = {
        "model": str(result.files.model),
        "metrics": str(result.files.metrics),
        "best": plain_row(result.best),
    }
    if format == "json":
        print_json(summary)
    else:
        best = result.best
        print_table(
            ["model", "best epoch", "top-1 %", "top-5 %", "mean class %"],
            [[summary["model"], best.epoch, best.top1, best.top5, best.mean_class_accuracy]],
        )
    return 0
