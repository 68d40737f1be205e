"""The past of streams between two frames, as exported networks take it and give it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NUMBER = "frame_number"
"""Input of networks with rings: how many frames of each stream were before this one, int64 (B,)."""


@dataclass(frozen=True)
class Ring:
    """How the user of a network keeps a state in which every frame stays in one slot."""

    slots: int
    """Frames that it holds: D. Frame n is in slot n modulo D."""
    output: str
    """Name of the output that has the new frame, of all channels."""
    frame: tuple[int, int, int]
    """Shape (C, H, W) of that output for one stream."""
    start: int
    """First of the channels that are kept."""

    def put(
        self, state: npt.NDArray[np.float32], number: int, frame: npt.NDArray[np.float32]
    ) -> None:
        """Put a frame in its slot, which is that of the oldest one.

        Args:
            state: (C_m, D * H, W) of one stream; it is changed.
            number: of the frame.
            frame: (C, H, W), what the output has for that stream.
        """
        channels, rows = len(state), state.shape[1] // self.slots
        first = number % self.slots * rows
        state[:, first : first + rows] = frame[self.start : self.start + channels]


@dataclass(frozen=True)
class State:
    """The past frames that a part of a network remembers: an input, zeros at the start."""

    name: str
    """Name of the input."""
    shape: tuple[int, ...]
    """For one stream: a window (C, D, H, W), or as its format has it, such as (D * H, W, C), of
    tokens (D, L, C), the latest of D frames last; a ring (C, D * H, W), of tokens (1, D * L, C)."""
    ring: Ring | None = None
    """How a ring is kept; None for a window, whose successor is an output."""

    @property
    def next_name(self) -> str:
        """Name of the output that a window is replaced by."""
        return f"next_{self.name}"

    @property
    def output(self) -> tuple[str, tuple[int, ...]]:
        """Name and shape, for one stream, of the output by which it changes."""
        if self.ring is None:
            return self.next_name, self.shape
        return self.ring.output, self.ring.frame

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "State":
        """The inverse of `to_dict`, after JSON.

        Raises:
            KeyError, TypeError, ValueError: values that are no state.
        """
        values = values | {"shape": tuple(values["shape"])}
        if values.get("ring") is not None:
            ring = Ring(**values["ring"] | {"frame": tuple(values["ring"]["frame"])})
            values["ring"] = ring
            channels, height, width = ring.frame
            kept, *others = values["shape"]
            if not (
                ring.slots > 0
                and others == [ring.slots * height, width]
                and 0 <= ring.start <= channels - kept
            ):
                raise ValueError(f"{values['shape']} is no ring of {ring}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; of a window those of files of earlier versions."""
        values = asdict(self)
        return {name: value for name, value in values.items() if value is not None}


def has_rings(states: Iterable[State]) -> bool:
    """Whether the network of these states takes the number of the frame."""
    return any(state.ring for state in states)


class PastOfStreams:
    """The states of streams, kept between their frames.

    Args:
        states: of a description.
        num_streams: rows of every state; each stream is one, at its own frame.
    """

    def __init__(self, states: Sequence[State], num_streams: int) -> None:
        self._states = tuple(states)
        self._arrays = {
            state.name: np.zeros((num_streams, *state.shape), np.float32) for state in states
        }
        self._numbers = np.zeros(num_streams, np.int64)

    def before(self, rows: Sequence[int] | None = None) -> dict[str, npt.NDArray[Any]]:
        """Inputs of the network by name, to be used before `after`, which changes the arrays.

        Args:
            rows: the streams that have a new frame; by default all.
        """
        chosen = self._chosen(rows)
        numbers = {NUMBER: self._numbers[chosen]} if has_rings(self._states) else {}
        return numbers | {name: array[chosen] for name, array in self._arrays.items()}

    def after(
        self, results: dict[str, npt.NDArray[Any]], rows: Sequence[int] | None = None
    ) -> None:
        """Take what the network gave for the frames of streams.

        Args:
            results: its outputs by name; the arrays are the past's from then on, and may change.
            rows: the streams, as for `before`.
        """
        chosen = self._chosen(rows)
        numbers = self._numbers[chosen].tolist()
        for state in self._states:
            output, _ = state.output
            given, kept = results[output], self._arrays[state.name]
            if state.ring is not None:
                every = range(len(kept)) if rows is None else rows
                for row, number, frame in zip(every, numbers, given, strict=True):
                    state.ring.put(kept[row], number, frame)
            elif isinstance(chosen, slice):  # all of it, which need not be copied
                self._arrays[state.name] = np.require(given, np.float32, ["W"])
            else:
                kept[chosen] = given
        self._numbers[chosen] += 1

    def forget(self, row: int) -> None:
        """Begin a stream anew."""
        for array in self._arrays.values():
            array[row] = 0
        self._numbers[row] = 0

    def _chosen(self, rows: Sequence[int] | None) -> slice | list[int]:
        """Rows as an index that gives all of them in order as they are, without a copy."""
        if rows is None or list(rows) == list(range(len(self._numbers))):
            return slice(None)
        return list(rows)
