"""`mixtconv demo`."""

import logging

from mixtconv.cli.console import Format, print_json, print_table, progress

logger = logging.getLogger(__name__)


def demo(
    *,
    out: str = "mixtconv-demo",
    quick: bool = False,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
    format: Format = "table",
) -> int:
    """Make the synthetic dataset, train TSN, TSM and MSTNet on it, score them and write a report.

    Args:
        out: Folder for all files, new or empty.
        quick: A few classes and steps, to check that everything works; its scores mean little.
        seed: Seed of the videos and of training.
        workers: Processes that write and read videos; default one a core.
        device: auto, cpu, cuda or mps.
        format: How the result is printed, table or json.
    """
    from mixtconv.reporting.demo import run_demo

    result = run_demo(
        out, quick=quick, seed=seed, workers=workers, device=device, progress=progress
    )
    if format == "json":
        print_json(
            {
                "models": result.figures(),
                "report": str(result.report),
                "seconds": result.seconds,
            }
        )
    else:
        print_table(
            ["model", "top-1 %", "top-5 %", "params", "MACs", "seconds"],
            [list(figures.values()) for figures in result.figures()],
        )
    logger.info("done in %.0f s; open %s", result.seconds, result.report)
    return 0
