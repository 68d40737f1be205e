"""Packet tables of the files that a process has read, so that an epoch need not list them again.

A worker of a DataLoader reads the same files every epoch, and for sparse frames of a well prepared
file the list of its packets is a good part of the work. Tables are kept until their room is full,
and then no more are added: files come in a new random order every epoch, for which the table of
any file is as good to keep as that of any other, and throwing one out for another gains nothing.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixtconv.data.packet_table import PacketTable, read_packet_table

MOST_BYTES = 64 * 2**20
"""Room for tables in one process: some ten thousand videos of ten seconds."""

SETTLED_SECONDS = 2
"""Age from which the table of a file is kept, since the times of change of a younger one may not
tell when it changes again."""

_Stamp = tuple[int, int, int, int]


class TableMemory:
    """Packet tables by file, as long as the file stays as it was.

    Args:
        most_bytes: room for tables.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.num_bytes = 0
        self._tables: dict[str, tuple[_Stamp, PacketTable]] = {}

    def get(self, path: str | Path) -> PacketTable | None:
        """The packet table of a file, if it is kept and the file is as it was."""
        if str(path) not in self._tables:
            return None
        stamp, table = self._tables[str(path)]
        try:
            return table if stamp == _stamp(path) else None
        except OSError:  # opening the file says what is the matter
            return None

    def read(self, path: str | Path, container: Any, stream: Any) -> PacketTable:
        """Read the packet table of an open file, and keep it if there is room."""
        stamp = _stamp(path)
        table = read_packet_table(container, stream)
        _, before = self._tables.pop(str(path), (None, None))
        if before is not None:
            self.num_bytes -= before.num_bytes
        settled = time.time_ns() - max(stamp[2:]) > SETTLED_SECONDS * 10**9
        if settled and self.num_bytes + table.num_bytes <= self.most_bytes:
            self.num_bytes += table.num_bytes
            self._tables[str(path)] = (stamp, table)
        return table

    def count(self, path: str | Path, table: PacketTable, num_pictures: int) -> None:
        """Say how many pictures there are where packets do not tell, so that none counts again."""
        stamp, kept = self._tables.get(str(path), (None, None))
        if stamp is not None and kept is table and not table.trusted:
            counted = replace(table, num_pictures=num_pictures, counted=True)
            self._tables[str(path)] = (stamp, counted)


def _stamp(path: str | Path) -> _Stamp:
    """What changes with a file: its identity, its size and its times of change."""
    status = Path(path).stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


KNOWN_TABLES = TableMemory()
"""The tables of this process."""
