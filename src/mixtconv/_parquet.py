"""Tables in Parquet files, through pyarrow, which only they need."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixtconv._atomic_write import write_atomically
from mixtconv._optional import import_needed

SUFFIX = ".parquet"

KEY = b"mixtconv"
"""Key of our JSON in the metadata of a file."""


def require_pyarrow(path: object, *, without: str = ".csv and .jsonl need nothing") -> None:
    """Say before long work if Parquet files cannot be used.

    Args:
        path: the file.
        without: what the same can be written to or read from without pyarrow.

    Raises:
        ValueError: pyarrow is not installed.
    """
    import_needed("pyarrow.parquet", why=f"{path} is a Parquet file ({without}), and needs")


def write_parquet(
    path: Path,
    columns: Mapping[str, Any],
    *,
    types: Mapping[str, str] | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write a table; an earlier file is replaced only by a complete one.

    Args:
        path: the file.
        columns: name -> values, a list or an array; rows of an array (N, D) are lists of D.
        types: name -> type as pyarrow calls it, of columns whose values may all be missing.
        about: facts about it, as JSON in its metadata.

    Raises:
        ValueError: pyarrow is not installed.
        OSError: the file cannot be written.
    """
    require_pyarrow(path)
    import pyarrow  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    arrays = {}
    for name, values in columns.items():
        if getattr(values, "ndim", 1) == 2:
            flat = pyarrow.array(values.reshape(-1))
            arrays[name] = pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
        else:
            arrays[name] = pyarrow.array(values, type=(types or {}).get(name))
    table = pyarrow.table(arrays)
    if about is not None:
        table = table.replace_schema_metadata({KEY: json.dumps(about).encode()})
    content = io.BytesIO()
    pyarrow.parquet.write_table(table, content)
    write_atomically(path, content.getbuffer())


def read_parquet(path: Path) -> tuple[Any, dict[str, Any]]:
    """A table of pyarrow, and the facts about it.

    Raises:
        ValueError: pyarrow is not installed, or the file is no Parquet file.
    """
    require_pyarrow(path)
    import pyarrow  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path} is not a Parquet file: {error}") from error
    return table, json.loads((table.schema.metadata or {}).get(KEY, b"{}"))


def rows_of(path: Path) -> Sequence[dict[str, Any]]:
    """The rows of a table, column -> value.

    Raises:
        ValueError: as `read_parquet`.
    """
    rows: list[dict[str, Any]] = read_parquet(path)[0].to_pylist()
    return rows
