"""All that the service holds while it runs, opened and closed together."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixtconv.inference.engines.engine import is_exported
from mixtconv.inference.loading import Precision, load_recognizer, load_streaming_recognizer
from mixtconv.serve.decoder_pool import begin_start
from mixtconv.serve.live import LiveRecognition
from mixtconv.serve.metrics import Metrics
from mixtconv.serve.recognition import Recognition
from mixtconv.serve.settings import Batching, Limits
from mixtconv.serve.sources import AllowedSources
from mixtconv.serve.spool import Spool

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """What the routes work with."""

    recognition: Recognition
    """Recognises files."""
    live: LiveRecognition | None
    """Recognises live streams, where the model can."""
    live_refused: str | None
    """Why it cannot."""
    spool: Spool
    """The files of requests."""
    sources: AllowedSources
    """What requests may name."""
    allow_private: bool
    """Whether URLs may lead into private networks."""
    limits: Limits
    """What is taken on."""
    metrics: Metrics
    """What is counted."""


@contextmanager
def open_service(
    model: str,
    *,
    limits: Limits,
    batching: Batching,
    workers: int,
    sources: AllowedSources | None = None,
    allow_private: bool = False,
    device: str = "auto",
    protocol: str = "1x1",
    precision: Precision = "auto",
) -> Iterator[Service]:
    """Load a model and start the decoders; at the end of the block all is ended and removed.

    Raises:
        ValueError: what is no model, or one that the service has no use for; an unknown device or
            protocol.
    """
    begin_start(*(() if is_exported(model) else ("mixtconv.data.tensor_views",)))
    recognizer = load_recognizer(model, device=device, protocol=protocol, precision=precision)
    metrics = Metrics()
    recognition = Recognition(
        recognizer, limits=limits, batching=batching, workers=workers, metrics=metrics
    )
    live, spool = None, None
    try:
        recognition.decoders.wait_ready()
        live, refused = _open_live(model, limits, batching, metrics, device, precision)
        spool = Spool()
        yield Service(
            recognition=recognition,
            live=live,
            live_refused=refused,
            spool=spool,
            sources=sources or AllowedSources(),
            allow_private=allow_private,
            limits=limits,
            metrics=metrics,
        )
    finally:
        recognition.close()
        if live is not None:
            live.close()
        if spool is not None:
            spool.close()


def _open_live(
    model: str,
    limits: Limits,
    batching: Batching,
    metrics: Metrics,
    device: str,
    precision: Precision,
) -> tuple[LiveRecognition | None, str | None]:
    try:
        recognizer = load_streaming_recognizer(
            model, max_streams=limits.max_streams, device=device, precision=precision
        )
    except ValueError as error:  # the model has loaded before: it is not for streams
        logger.info("no live streams: %s", error)
        return None, _without_path(str(error), model)
    live = LiveRecognition(recognizer, limits=limits, batching=batching, metrics=metrics)
    return live, None


def _without_path(reason: str, model: str) -> str:
    """A reason as clients may read it, which shall not learn where the model lies."""
    for path in (model, str(Path(model))):
        whole = rf"(?<![\w./-]){re.escape(path)}(?![\w/-])"  # a short one lies in many words
        reason = re.sub(whole, "the model", reason)
    return reason
