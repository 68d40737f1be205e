"""What the tests of the operations share."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture
def randn() -> Callable[..., Tensor]:
    """Normal numbers, the same in every run."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return draw


@pytest.fixture
def randomise(randn: Callable[..., Tensor]) -> Callable[[nn.Module], nn.Module]:
    """Replace every parameter by normal numbers, so that no tap is zero or one."""

    def replace(module: nn.Module) -> nn.Module:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(randn(*parameter.shape))
        return module

    return replace
