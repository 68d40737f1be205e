"""Engines whose files are for one clip, or one frame of one stream."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from mixtconv.inference.engines.base import Array, Engine


class OneByOneEngine(Engine):
    """A network of batch size 1: of larger batches it runs one clip, or one stream, at a time.

    Formats for phones fix all sizes when a file is written: their engines plan memory beforehand.
    """

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        batch = len(next(iter(inputs.values())))
        if batch == 1:
            return self.run_one(inputs)
        rows = [
            self.run_one({name: array[row : row + 1] for name, array in inputs.items()})
            for row in range(batch)
        ]
        return {name: np.concatenate([row[name] for row in rows]) for name in self._outputs}

    @abstractmethod
    def run_one(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs, for inputs of batch size 1."""
