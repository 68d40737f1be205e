"""`mixtconv synthesize --out DIR`."""

from typing import Literal

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress


def synthesize(
    *,
    out: str,
    level: Literal["easy", "hard"] = "easy",
    size: int = 64,
    train_clips: int = 60,
    val_clips: int = 20,
    seed: int = 0,
    workers: int | None = None,
) -> Result:
    """Write the synthetic dataset as video files.

    Args:
        out: Folder to write to.
        level: Easy has plain motions; hard needs short and long spans at once.
        size: Height and width of the videos in pixels, even.
        train_clips: Videos of each class in train/.
        val_clips: Videos of each class in val/.
        seed: The same seed gives the same files, byte for byte.
        workers: Processes; default one a core.
    """
    from mixtconv.data.synthetic import synthesize as write

    with progress("writing videos") as show:
        dataset = write(
            out,
            level=level,
            size=size,
            train_clips=train_clips,
            val_clips=val_clips,
            seed=seed,
            workers=workers,
            progress=show,
        )
    classes = [item.name for item in dataset.classes]
    return Result(
        {"out": out, "num_videos": dataset.num_videos, "classes": classes},
        [Table(["class", "its reverse"], dataset.pairs, title=out)],
    )
