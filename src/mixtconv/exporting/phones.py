"""Files of LiteRT and ExecuTorch, the engines of phones: for one clip, or one stream, at a time."""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mixtconv.exporting.network import PortableNetwork
from mixtconv.exporting.programs import refusal, without_reports
from mixtconv.inference.engines.litert import DESCRIPTION_FILE
from mixtconv.models.spec import METADATA_KEY


class _Named(nn.Module):
    """A network whose inputs and outputs have names: {name: tensor} -> {name: tensor}."""

    def __init__(self, network: nn.Module, outputs: Sequence[str]) -> None:
        super().__init__()
        self.network, self.outputs = network, outputs
        self.training = False  # as the program, which has no other mode to be put into

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        results = self.network(*inputs.values())
        results = (results,) if isinstance(results, Tensor) else results
        return dict(zip(self.outputs, results, strict=True))


def write_litert(
    program: torch.export.ExportedProgram, portable: PortableNetwork, path: Path
) -> None:
    import litert_torch  # noqa: PLC0415

    named = _Named(program.module(), list(portable.description.outputs))
    inputs = {name: values[:1] for name, values in portable.inputs.items()}
    try:
        with torch.no_grad(), without_reports(), _without_progress(litert_torch.config):
            litert_torch.convert(named, sample_kwargs=inputs).export(str(path))
    except Exception as error:  # any of several compilers may fail, each in its own way
        raise refusal(portable, "the converter of LiteRT", error) from error
    with zipfile.ZipFile(path, "a") as archive:  # after the network; see `engines/litert.py`
        archive.writestr(DESCRIPTION_FILE, portable.description.to_json())


@contextmanager
def _without_progress(config: Any) -> Iterator[None]:
    """Hide the steps that the converter of LiteRT prints to the standard output."""
    shown, config.show_progress = config.show_progress, False
    try:
        yield
    finally:
        config.show_progress = shown


def write_executorch(
    program: torch.export.ExportedProgram, portable: PortableNetwork, path: Path
) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (  # noqa: PLC0415
        XnnpackPartitioner,
    )
    from executorch.exir import to_edge_transform_and_lower  # noqa: PLC0415

    description = {METADATA_KEY: portable.description.to_json()}
    try:
        with torch.no_grad(), without_reports():
            lowered = to_edge_transform_and_lower(
                program, partitioner=[XnnpackPartitioner()], constant_methods=description
            )
            with path.open("wb") as file:
                lowered.to_executorch().write_to_file(file)
    except Exception as error:  # any of many passes may fail, each in its own way
        raise refusal(portable, "the compiler of ExecuTorch", error) from error
