"""`mixtconv synthesize --out DIR`."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from mixtconv._names import flag
from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress

if TYPE_CHECKING:
    from mixtconv.data.synthetic import LongDataset


@dataclass(frozen=True)
class LongSettings:
    """Long recordings with a list of their segments, instead of clips."""

    long: bool = False
    """Write recordings of many actions, with three times as much nothing between them, and
    segments.csv, which says what happens when."""
    train_recordings: int | None = None
    """Recordings in the split train; default 24."""
    val_recordings: int | None = None
    """Recordings in the split val; default 6."""
    test_recordings: int | None = None
    """Recordings in the split test; default 6."""
    seconds: int | None = None
    """Length of each recording; default 120."""
    overlap: float | None = None
    """Share of actions that overlap with another one, on average; default 0.1."""

    def __post_init__(self) -> None:
        if not self.long and (given := self.given()):
            flags = ", ".join(map(flag, given))
            raise ValueError(f"{flags}: for long recordings; give --long too")

    def given(self) -> dict[str, Any]:
        """The settings of recordings that are not left to their default."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {k: v for k, v in values.items() if k != "long" and v is not None}


def synthesize(
    recordings: LongSettings,
    *,
    out: str,
    level: Literal["easy", "hard"] = "easy",
    size: int = 64,
    train_clips: int | None = None,
    val_clips: int | None = None,
    seed: int = 0,
    workers: int | None = None,
) -> Result:
    """Write the synthetic dataset as video files.

    Args:
        recordings: Whether recordings are written, and which.
        out: Folder to write to.
        level: Easy has plain motions; hard needs short and long spans at once.
        size: Height and width of the videos in pixels, even.
        train_clips: Videos of each class in train/; default 60.
        val_clips: Videos of each class in val/; default 20.
        seed: The same seed gives the same files, byte for byte.
        workers: Processes; default one a core.
    """
    from mixtconv.data.synthetic import synthesize as write_clips
    from mixtconv.data.synthetic import synthesize_long as write_recordings

    counts = {"train_clips": train_clips, "val_clips": val_clips}
    clips: dict[str, Any] = {k: count for k, count in counts.items() if count is not None}
    if recordings.long and clips:
        flags = ", ".join(map(flag, clips))
        raise ValueError(f"{flags}: not for long recordings; give --train-recordings and the like")
    settings: dict[str, Any] = {"level": level, "size": size, "seed": seed, "workers": workers}
    with progress("writing videos") as show:
        settings["progress"] = show
        if recordings.long:
            return _of_recordings(write_recordings(out, **settings, **recordings.given()))
        dataset = write_clips(out, **settings, **clips)
    classes = [item.name for item in dataset.classes]
    return Result(
        {"out": out, "num_videos": dataset.num_videos, "classes": classes},
        [Table(["class", "its reverse"], dataset.pairs, title=out)],
    )


def _of_recordings(dataset: "LongDataset") -> Result:
    splits = dataset.summary()
    content = {
        "out": str(dataset.root),
        "segments": str(dataset.segments),
        "num_videos": len(dataset.recordings),
        "classes": [item.name for item in dataset.classes],
        "splits": splits,
    }
    columns = ["split", "recordings", "seconds", "actions", "overlapping", "seconds of action"]
    rows = [[split, *facts.values()] for split, facts in splits.items()]
    tables = [
        Table(["class", "its reverse"], dataset.pairs),
        Table(columns, rows, title=str(dataset.segments)),
    ]
    return Result(content, tables)
