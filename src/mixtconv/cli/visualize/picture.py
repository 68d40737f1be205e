"""What all pictures end with: the file is written, the numbers are printed, faults are named."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from mixtconv.cli.console import Format, print_json, print_table

if TYPE_CHECKING:
    from mixtconv.visualization.drawing import Drawing

logger = logging.getLogger(__name__)


def finish(drawing: "Drawing", path: Path, *, format: Format) -> int:
    """Write a drawing and print its numbers; the exit status is 1 if videos could not be read."""
    from mixtconv.visualization.drawing import write_drawing

    write_drawing(drawing, path)
    for video in drawing.unreadable:
        logger.warning("left out, cannot be read: %s (%s)", video.path, video.reason)
    if format == "json":
        unreadable = [{"path": item.path, "reason": item.reason} for item in drawing.unreadable]
        print_json({"files": [str(path)], **drawing.numbers, "unreadable": unreadable})
    elif drawing.rows:
        print_table(drawing.columns, drawing.rows, title=drawing.title)
    for note in drawing.notes:
        logger.info("%s", note)
    logger.info("wrote %s", path)
    return 1 if drawing.unreadable else 0
