"""ONNX files, as the exporter of torch writes them from a program of torch.export."""

from pathlib import Path

import torch

from mixtconv.exporting.network import PortableNetwork
from mixtconv.exporting.programs import quietly, refusal
from mixtconv.models.spec import METADATA_KEY


def write_onnx(
    program: torch.export.ExportedProgram, portable: PortableNetwork, path: Path
) -> None:
    """Write a program as a file of its own, with its weights and description in it.

    Raises:
        ValueError: the exporter refuses it.
    """
    try:
        with quietly():
            written = torch.onnx.export(
                program,
                input_names=list(portable.inputs),
                output_names=list(portable.description.outputs),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise refusal(portable, "the exporter of ONNX", error) from error
    assert written is not None
    written.model.metadata_props[METADATA_KEY] = portable.description.to_json()
    written.save(str(path), external_data=False)
