"""`mixtconv demo`."""

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress


def demo(
    *,
    out: str = "mixtconv-demo",
    quick: bool = False,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
) -> Result:
    """Make the synthetic dataset, train TSN, TSM and MSTNet on it, score them and write a report.

    Args:
        out: Folder for all files, new or empty.
        quick: A few classes and steps, to check that everything works; its scores mean little.
        seed: Seed of the videos and of training.
        workers: Processes that write and read videos; default one a core.
        device: auto, cpu, cuda or mps.
    """
    from mixtconv.reporting.demo import run_demo

    result = run_demo(
        out, quick=quick, seed=seed, workers=workers, device=device, progress=progress
    )
    columns = ["model", "top-1 %", "top-5 %", "params", "MACs", "seconds"]
    models = result.figures()
    return Result(
        {"models": models, "report": str(result.report), "seconds": result.seconds},
        [Table(columns, [list(model.values()) for model in models])],
        [f"done in {result.seconds:.0f} s; open {result.report}"],
    )
