"""Networks as programs of torch.export, which writers of files start from."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers import pos_embed
from torch import Tensor

from mixtconv._quiet import only_errors
from mixtconv.exporting.network import PortableNetwork

_LARGEST_BATCH = 4096
_EXPORTER_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def as_program(portable: PortableNetwork) -> torch.export.ExportedProgram:
    """The network as a program of torch.export, for any batch size.

    Raises:
        ValueError: torch.export cannot trace it.
    """
    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    first, *states = portable.inputs.values()
    axes: tuple[Any, ...] = ({0: batch},)
    if states:
        axes = ({0: batch}, tuple({0: batch} for _ in states))
    return torch_program(portable, (first, *states), axes, "torch.export, for batches of any size,")


def torch_program(
    portable: PortableNetwork,
    examples: tuple[Tensor, ...],
    axes: Any = None,
    who: str = "torch.export",
) -> torch.export.ExportedProgram:
    """A network as a program of torch.export.

    Args:
        portable: the network.
        examples: its inputs.
        axes: which of their sizes are free, as `dynamic_shapes`; by default none.
        who: the exporter, for errors.

    Raises:
        ValueError: torch.export cannot trace it.
    """
    try:
        with torch.no_grad(), quietly(), _at_one_size():
            return torch.export.export(
                portable.network, examples, dynamic_shapes=axes, strict=False
            )
    except (RuntimeError, TypeError, ValueError, torch._dynamo.exc.UserError) as error:
        raise refusal(portable, who, error) from error


def refusal(portable: PortableNetwork, who: str, error: Exception) -> ValueError:
    """The error of a network that an exporter refuses, in one line.

    Args:
        portable: the network.
        who: refuses it.
        error: what it said.
    """
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return ValueError(f"{portable.description.spec.name} cannot be exported: {who} says {reason}")


@contextmanager
def _at_one_size() -> Iterator[None]:
    """Let timm's embeddings of places, made for the size of the pictures, be as they are.

    timm resamples them in every program of torch.export, also to the size that they have, so that
    pictures of any size could be given: an operator that OpenVINO does not have.
    """
    asked = getattr(pos_embed, "is_exporting", None)
    if asked is not None:
        pos_embed.is_exporting = lambda: False
    try:
        yield
    finally:
        if asked is not None:
            pos_embed.is_exporting = asked


@contextmanager
def quietly() -> Iterator[None]:
    """Hide warnings and logs of the exporters that concern their developers."""
    with warnings.catch_warnings(), only_errors(*_EXPORTER_LOGGERS):
        warnings.simplefilter("ignore")
        yield
