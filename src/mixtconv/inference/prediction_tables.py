"""The labels of many videos as a table: CSV, JSON, JSON Lines or Parquet."""

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mixtconv._atomic_write import refuse_unwritable, write_text_atomically
from mixtconv._parquet import SUFFIX, require_pyarrow, write_parquet
from mixtconv._strict_json import to_json
from mixtconv.data.several_labels import SEPARATOR
from mixtconv.inference.predicting import VideoPrediction
from mixtconv.video.in_memory import is_address


def relative_path(video: Path, folder: Path) -> str:
    """A video as a list in a folder names it: from there if it is below, else in full."""
    full, base = video.absolute(), folder.absolute()
    return str(full.relative_to(base)) if full.is_relative_to(base) else str(full)


def check_tables(out: str) -> list[Path]:
    """The files that `--out` names for the labels of videos.

    Raises:
        ValueError: an unknown suffix, or Parquet without pyarrow.
        OSError: one cannot be written.

    >>> check_tables("labels.csv")
    [PosixPath('labels.csv')]
    """
    paths = [Path(name) for name in out.split(",")]
    for path in paths:
        if path.suffix.lower() not in _WRITERS:
            raise ValueError(
                f"--out is {path}, of labels of videos one of {', '.join(_WRITERS)}; with --window "
                "or --events also subtitles and videos"
            )
        if path.suffix.lower() == SUFFIX:
            require_pyarrow(path)
        refuse_unwritable(path)
    return paths


def write_predictions(found: Sequence[VideoPrediction], path: Path) -> None:
    """Write a table of one row a video, in the format of the suffix.

    Its columns are video, label, score, label_2, score_2 and so on, as many as there are, and
    error; of a recognizer of several labels `labels`, joined by `|`, and `scores`. Cells are empty
    of a video without a label. So it is a list that commands read as data. JSON and JSON Lines have
    what `VideoPrediction.to_dict` gives.

    Raises:
        OSError: the file cannot be written.
    """
    _WRITERS[path.suffix.lower()](path, found)


def _columns(found: Sequence[VideoPrediction], path: Path) -> dict[str, list[Any]]:
    videos = [
        each.source if is_address(each.source) else relative_path(Path(each.source), path.parent)
        for each in found
    ]
    columns: dict[str, list[Any]] = {"video": videos}
    if any(each.several for each in found):
        for name, key in (("labels", "label"), ("scores", "score")):
            columns[name] = [
                SEPARATOR.join(_text(getattr(label, key)) for label in each.predictions)
                for each in found
            ]
    else:
        for rank in range(max((len(each.predictions) for each in found), default=0) or 1):
            suffix = f"_{rank + 1}" if rank else ""
            best = [each.predictions[rank : rank + 1] for each in found]
            columns[f"label{suffix}"] = [one[0].label if one else None for one in best]
            columns[f"score{suffix}"] = [one[0].score if one else None for one in best]
    columns["error"] = [each.error for each in found]
    return columns


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _write_csv(path: Path, found: Sequence[VideoPrediction]) -> None:
    columns = _columns(found, path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow(map(_text, row))
    write_text_atomically(path, text.getvalue())


def _write_parquet(path: Path, found: Sequence[VideoPrediction]) -> None:
    columns = _columns(found, path)
    # Said, as a column without a value would else have a type of its own, and tables not join.
    types = {
        name: "double" if re.fullmatch(r"score(_\d+)?", name) else "string" for name in columns
    }
    write_parquet(path, columns, types=types)


def _write_json(path: Path, found: Sequence[VideoPrediction]) -> None:
    write_text_atomically(path, to_json([each.to_dict() for each in found], indent=2) + "\n")


def _write_lines(path: Path, found: Sequence[VideoPrediction]) -> None:
    lines = (to_json(each.to_dict()) for each in found)
    write_text_atomically(path, "".join(f"{line}\n" for line in lines))


_WRITERS: dict[str, Callable[[Path, Sequence[VideoPrediction]], None]] = {
    ".csv": _write_csv,
    ".json": _write_json,
    ".jsonl": _write_lines,
    SUFFIX: _write_parquet,
}
