"""MSTNet on a GPU in one script: is it right, and how fast beside copying and beside TSN?

    python benchmarks/gpu.py [--minutes 8] [--only SECTION ...] [--out gpu.json]
    python benchmarks/gpu.py --table gpu.json

Writes every figure to one file, with the machine, what was skipped for lack of time or memory, what
failed, and whether the goals are met; prints tables of it, as `--table` does later. Each section
has a share of the time. The sections run in a process of their own; one that fails, or leaves the
GPU useless, loses none of the others.

Without a GPU, `TRITON_INTERPRET=1` with `--small` runs everything once: the kernel in Triton's
interpreter, the rest on the host's clock. That proves the script and measures nothing.

Exit status: 0, 1 if a section failed or a result was wrong, 2 without a GPU, or for a file that
cannot be read or written.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gpu_sections.table import goals, tables

from mixtconv._atomic_write import refuse_unwritable, write_text_atomically

SHARES = {
    "correctness": 1.6,
    "operation": 1.0,
    "inference": 1.4,
    "training": 1.4,
    "streams": 0.6,
    "transformer": 1.0,
    "compiled": 3.0,
}
"""Section -> its share of the time; the one that compiles is last and gets what is left."""

LEAST_SECONDS = 20
"""Below this no other process is started."""


def main(words: Sequence[str] | None = None, *, context: Any = None) -> int:
    """Measure, or print tables; returns the exit status.

    Args:
        words: of the command line.
        context: of `multiprocessing`, how processes start; by default as new ones.
    """
    options = _parse(words)
    if options.table is not None:
        try:
            print(tables(json.loads(options.table.read_text())))
        except (ValueError, LookupError, TypeError):
            print(f"{options.table} is no file that this script has written", file=sys.stderr)
            return 2
        return 0
    interpret = os.environ.get("TRITON_INTERPRET") == "1"
    record: dict[str, Any] = {
        "measures_nothing": interpret or options.small,
        "environment": {},
        "minutes": options.minutes,
        "sections": {},
        "goals": [],
    }
    context = context or multiprocessing.get_context("spawn")
    if not _collect(record, options, interpret and options.small, context):
        print(
            "there is no CUDA device (torch.cuda.is_available() is False): run this on a machine "
            "with one, or with TRITON_INTERPRET=1 and --small to prove the script",
            file=sys.stderr,
        )
        return 2
    print(tables(record))
    print(f"written to {options.out}", file=sys.stderr)
    return int(_has_failed(record))


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8, help="time for all sections")
    parser.add_argument("--only", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--small", action="store_true", help="sizes that prove the script")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--table", type=Path, metavar="FILE", help="print tables of a recorded run")
    options = parser.parse_args(words)
    if not options.minutes > 0:
        parser.error(f"--minutes is {options.minutes:g}; give more than 0")
    if options.table is not None and not options.table.is_file():
        parser.error(f"there is no file {options.table}; give one that this script has written")
    try:
        refuse_unwritable(options.out)
    except OSError as error:
        parser.error(f"--out {options.out} cannot be written: {error.strerror}")
    return options


class _Collected:
    """What the sections send, kept in a file as it comes."""

    def __init__(self, record: dict[str, Any], path: Path) -> None:
        self.record, self.path = record, path
        self.running = ""
        self.has_device = True

    def take(self, kind: str, name: str, values: dict[str, Any]) -> None:
        """Note a message of the process that runs the sections."""
        if kind == "no device":
            self.has_device = False
        elif kind == "environment":
            self.record["environment"] = values
        elif kind == "start":
            self.running = name
            self._section(name)["started"] = time.monotonic()
            print(f"{name}: {values['seconds']:.0f} s", file=sys.stderr, flush=True)
        elif kind == "end":
            self.running = ""
            section = self._section(name)
            section["seconds"] = time.monotonic() - section.pop("started")
            self.record["goals"] = goals(self.record)
            self._write()
        else:
            self.note(kind, name, values)

    def note(self, kind: str, name: str, values: dict[str, Any]) -> None:
        """Note a row, what was skipped or an error, and write the file."""
        section = self._section(name)
        section[kind].append(values)
        if kind != "rows":
            words = " ".join(str(each) for key, each in values.items() if key != "trace")
            print(f"{name}: {kind}: {words}", file=sys.stderr, flush=True)
        self._write()

    def end_all(self, error: str) -> None:
        """Note how the process ended in the section that was running."""
        if self.running:
            self.note("errors", self.running, {"what": self.running, "error": error})
            self.take("end", self.running, {})

    def is_over(self, name: str) -> bool:
        """Whether a section was run, to its end or not."""
        return name in self.record["sections"]

    def _write(self) -> None:
        write_text_atomically(self.path, json.dumps(self.record, indent=1), alone=True)

    def _section(self, name: str) -> dict[str, Any]:
        empty: dict[str, Any] = {"rows": [], "skipped": [], "errors": []}
        return self.record["sections"].setdefault(name, empty)


def _collect(
    record: dict[str, Any], options: argparse.Namespace, interpret: bool, context: Any
) -> bool:
    """Run the sections and note what they send, in the file as well; False without a GPU."""
    end = time.monotonic() + 60 * options.minutes
    collected = _Collected(record, options.out)
    chosen = [name for name in SHARES if name in options.only]
    while waiting := [name for name in chosen if not collected.is_over(name)]:
        left = end - time.monotonic()
        if left < LEAST_SECONDS and len(waiting) < len(chosen):
            for name in waiting:
                collected.note("skipped", name, {"what": "all", "reason": "no time is left"})
            break
        shares = [(name, SHARES[name]) for name in waiting]
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(
            target=_work, args=(sender, shares, left, options.small, interpret)
        )
        process.start()
        sender.close()
        while True:
            try:
                # Late, since a compiler cannot be asked to stop.
                if not receiver.poll(max(0.0, end + LEAST_SECONDS - time.monotonic())):
                    process.kill()
                    collected.end_all("stopped: its time was up")
                    break
                collected.take(*receiver.recv())
            except EOFError:  # the process has ended
                process.join()
                collected.end_all(f"its process ended with {process.exitcode}")
                break
        process.join()
        if not collected.has_device:
            return False
        if not any(collected.is_over(name) for name in waiting):
            error = f"its process ended with {process.exitcode} before it began"
            collected.note("errors", waiting[0], {"what": waiting[0], "error": error})
    return True


def _work(
    connection: Connection,
    shares: list[tuple[str, float]],
    seconds: float,
    small: bool,
    interpret: bool,
) -> None:
    from gpu_sections.worker import work  # noqa: PLC0415 - the collecting process needs no torch

    work(connection, shares, seconds, small=small, interpret=interpret)


def _has_failed(record: dict[str, Any]) -> bool:
    return any(
        section["errors"] or not all(row.get("ok", True) for row in section["rows"])
        for section in record["sections"].values()
    )


if __name__ == "__main__":
    sys.exit(main())
