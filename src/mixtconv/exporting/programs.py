"""Networks as programs of torch.export, which writers of files start from."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers import pos_embed
from torch import Tensor

from mixtconv._quiet import no_native_messages, only_errors
from mixtconv.exporting.network import PortableNetwork

_LARGEST_BATCH = 4096
_EXPORTER_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def as_program(
    portable: PortableNetwork, *, batch: int | None = None
) -> torch.export.ExportedProgram:
    """The network as a program of torch.export.

    Args:
        portable: the network.
        batch: clips or streams that the program takes at once; None for any number.

    Raises:
        ValueError: torch.export cannot trace it.
    """
    first, *states = (values[:batch] for values in portable.inputs.values())
    if batch is not None:
        return torch_program(portable, (first, *states))
    dim = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    axes: tuple[Any, ...] = ({0: dim},)
    if states:
        axes = ({0: dim}, tuple({0: dim} for _ in states))
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


@contextmanager
def without_reports(*packages: str) -> Iterator[None]:
    """Hide what compilers for other machines report of every step, in Python and in C++.

    If the block raises, the last lines of what they wrote to the standard error are shown.

    Args:
        packages: further loggers.
    """
    loggers = ("root", "jax", "torch.utils._pytree", *packages)
    with quietly(), only_errors(*loggers), no_native_messages(shown_if_failed=True):
        yield
