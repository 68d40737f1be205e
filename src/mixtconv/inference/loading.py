"""`load_recognizer` and `load_streaming_recognizer`: by the kind of file, torch or an engine."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixtconv._types import Precision
from mixtconv.inference.engines.base import import_engine
from mixtconv.models.spec import is_exported

if TYPE_CHECKING:
    from mixtconv.inference.predicting import VideoRecognizer
    from mixtconv.inference.streams import StreamRecognizer


def load_recognizer(
    model: str | Path,
    *,
    device: str = "auto",
    protocol: str = "1x1",
    precision: Precision = "auto",
) -> "VideoRecognizer":
    """Load a model, ready to predict on videos.

    Args:
        model: a model file, the folder of one or `hf:owner/name`; or a file of `mixtconv export`,
            of which only `.pt2` and `.pte` need torch.
        device: `auto`, `cpu`, `cuda`, `cuda:0`, `mps`; of exported models `auto`, or what their
            engine runs on.
        protocol: views of every video; of exported models `1x1`.
        precision: `auto`, `32`, `bf16` or `16`; of exported models `auto`, or
            what is fixed in their file.

    Raises:
        ValueError: as `Recognizer` and `EngineRecognizer`.
    """
    settings: dict[str, Any] = {"device": device, "protocol": protocol, "precision": precision}
    if is_exported(model):
        from mixtconv.inference.engine_recognizers import EngineRecognizer  # noqa: PLC0415

        return EngineRecognizer(model, **settings)
    import_engine("torch", model)
    from mixtconv.inference.torch_recognizers import Recognizer  # noqa: PLC0415

    return Recognizer(model, **settings)


def load_streaming_recognizer(
    model: str | Path,
    *,
    max_streams: int = 1,
    device: str = "auto",
    precision: Precision = "auto",
) -> "StreamRecognizer":
    """Load a causal model, ready for streams.

    Args:
        model: a model file of a causal model, or an exported one made with `--streaming`.
        max_streams: streams at once.
        device, precision: as for `load_recognizer`.

    Raises:
        ValueError: as `StreamingRecognizer` and `EngineStreamingRecognizer`.
    """
    settings: dict[str, Any] = {"device": device, "precision": precision}
    if is_exported(model):
        from mixtconv.inference.engine_recognizers import (  # noqa: PLC0415
            EngineStreamingRecognizer,
        )

        return EngineStreamingRecognizer(model, max_streams=max_streams, **settings)
    import_engine("torch", model)
    from mixtconv.inference.torch_recognizers import StreamingRecognizer  # noqa: PLC0415

    return StreamingRecognizer(model, max_streams=max_streams, **settings)
