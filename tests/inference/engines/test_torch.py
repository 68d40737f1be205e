"""Programs of torch.export that fail as they run."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mixtconv.inference.engines.torch import TorchEngine


def test_a_program_that_fails_as_it_runs_is_named() -> None:
    """As one whose types were changed inside, which nothing checks before."""
    engine = object.__new__(TorchEngine)
    engine._torch, engine._inputs, engine._path = torch, ["video"], Path("model.pt2")
    engine._network = lambda video: video @ torch.zeros(3, dtype=torch.int16)
    with pytest.raises(ValueError, match=r"^model\.pt2 fails in torch, is it damaged\? ") as error:
        engine.run({"video": np.zeros(3, np.float32)})
    assert "\n" not in str(error.value)
