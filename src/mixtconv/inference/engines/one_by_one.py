"""Engines that run one clip, or one frame of one stream, at a time."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from mixtconv.inference.engines.base import Array, Engine


class OneByOneEngine(Engine):
    """A network of batch size 1: of larger batches it runs one clip, or one stream, at a time.

    Formats for phones fix all sizes when a file is written: their engines plan memory beforehand.
    Where files leave the batch free, an engine may still be faster this way.
    """

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        batch = len(next(iter(inputs.values())))
        if batch == 1:
            return self.run_one(inputs)
        outputs: dict[str, Array] = {}
        for row in range(batch):
            results = self.run_one({name: array[row : row + 1] for name, array in inputs.items()})
            if not outputs:
                outputs = {
                    name: np.empty((batch, *result.shape[1:]), result.dtype)
                    for name, result in results.items()
                }
            for name, result in results.items():
                outputs[name][row] = result[0]  # before the next row may overwrite it
        return outputs

    @abstractmethod
    def run_one(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs, for inputs of batch size 1.

        New frames of rings may be overwritten by the thread's next call.
        """
