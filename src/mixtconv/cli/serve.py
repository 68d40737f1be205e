"""`mixtconv serve MODEL`."""

import logging

from mixtconv._types import Precision
from mixtconv.serve.settings import Batching, Binding, Limits

logger = logging.getLogger(__name__)


def serve(
    model: str,
    binding: Binding,
    batching: Batching,
    limits: Limits,
    *,
    protocol: str = "1x1",
    workers: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
) -> int:
    """Answer requests over HTTP, with a page for people; SIGTERM or Ctrl-C ends it.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub.
        binding: Where the service listens, and who may ask.
        batching: How requests pass the network together.
        limits: What the service takes on.
        protocol: Views of every video: clips x crops, such as 1x1, 2x3, 1x10 or 10x3, or
            nonlocal-10x3.
        workers: Processes that decode; default one a core.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
    """
    try:
        from mixtconv.serve.server import run_service
    except ImportError as error:
        raise ValueError(
            f"the service needs {error.name}: pip install 'mixtconv[serve]'"
        ) from error
    run_service(
        model,
        binding=binding,
        batching=batching,
        limits=limits,
        protocol=protocol,
        workers=workers,
        device=device,
        precision=precision,
    )
    return 0
