"""Where a command will write, looked at before it reads anything: what fails late fails early."""

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from mixtconv._atomic_write import refuse_place
from mixtconv._names import flag

OUTPUTS = ("out", "scores", "page", "cache", "log_file")
"""Settings that name a place to write to, in any command; a list of files is read."""

FILL_FOLDERS = ("demo", "synthesize", "prepare", "fit", "train", "ablate")
"""Commands whose --out is a folder; of all others it is a file, but for some of `export`."""

_NO_PLACES = {"cache": ("auto", "off")}
"""Values of such a setting that are words."""


def refuse_outputs(name: str, values: Mapping[str, Any]) -> None:
    """Refuse a command that could not write what it is to write, and leave no trace.

    Args:
        name: of the command.
        values: its arguments.

    Raises:
        ValueError: the first place where nothing can be written, with its flag.
    """
    for setting, value in _settings(values):
        if setting not in OUTPUTS or not isinstance(value, str):
            continue
        if value in _NO_PLACES.get(setting, ()):
            continue
        is_page = name == "export" and values.get("to") == "web"
        is_folder = setting == "cache" or (
            setting == "out" and (is_page or _is_folder(name, value))
        )
        several = name == "predict" and setting == "out"
        for place in value.split(",") if several else [value]:
            try:
                refuse_place(Path(place.strip() if several else place), folder=is_folder)
            except OSError as error:
                raise ValueError(f"{flag(setting)} {place}: {error.strerror}") from error


def _is_folder(name: str, out: str) -> bool:
    """Whether --out of a command is a folder."""
    if name != "export":
        return name in FILL_FOLDERS
    from mixtconv.models.spec import EXPORTED_FOLDERS

    return Path(out).suffix in EXPORTED_FOLDERS


def _settings(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings of a command, those in a dataclass among them."""
    for name, value in values.items():
        if is_dataclass(value):
            yield from vars(value).items()
        else:
            yield name, value
