"""Engines whose files are for one clip: what they make of several."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mixtconv.inference.engines.base import Array, Description
from mixtconv.inference.engines.one_by_one import OneByOneEngine
from mixtconv.inference.engines.past import State
from mixtconv.models.spec import ModelSpec


class _Sums(OneByOneEngine):
    """Gives sums over a frame and over its past, of one stream at a time."""

    def __init__(self) -> None:
        states = (State("past", (2, 4)),)
        description = Description(
            ModelSpec("tsn_resnet18", ("a", "b"), image_size=16), "1", states=states
        )
        super().__init__(Path("sums"), description, description.inputs, description.outputs)
        self.batches: list[int] = []
        self.next_past = np.zeros((1, 2, 4))

    def run_one(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.batches.append(len(inputs["frame"]))
        assert len(inputs["past"]) == 1
        total = inputs["frame"].sum(axis=(1, 2, 3)) + inputs["past"].sum(axis=(1, 2))
        np.add(inputs["past"], 1, out=self.next_past)  # as an engine that keeps its memory
        return {"logits": total[:, None], "next_past": self.next_past}


@pytest.mark.parametrize("batch", [1, 3])
def test_each_stream_runs_alone_and_gets_what_is_its_own(batch: int) -> None:
    random, engine = np.random.default_rng(0), _Sums()
    frames, past = random.random((batch, 3, 16, 16)), random.random((batch, 2, 4))
    results = engine.run({"frame": frames, "past": past})
    assert engine.batches == batch * [1]
    np.testing.assert_allclose(results["logits"][:, 0], frames.sum((1, 2, 3)) + past.sum((1, 2)))
    np.testing.assert_array_equal(results["next_past"], past + 1)
