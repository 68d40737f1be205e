"""The files of requests: in one private folder, gone with the request, the service or its heir.

A file lives in a `with` block. The folder goes when the service stops. A service holds a lock on
its folder; one that was killed leaves it behind without, and the next one to start removes it.
Those who clean temporary folders by age, such as systemd-tmpfiles, leave a locked one alone too.

All that the service holds while it runs, opened and closed together.
"""

import fcntl
import logging
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mixtconv._types import Precision
from mixtconv.inference.loading import load_recognizer, load_streaming_recognizer
from mixtconv.models.spec import is_exported
from mixtconv.serve.decoder_pool import begin_start
from mixtconv.serve.live import LiveRecognition
from mixtconv.serve.metrics import Metrics
from mixtconv.serve.recognition import Recognition
from mixtconv.serve.settings import Batching, Limits
from mixtconv.serve.sources import AllowedSources

logger = logging.getLogger(__name__)

PREFIX = "mixtconv-serve-"


class Spool:
    """A folder for files that live as long as their request.

    >>> spool = Spool()
    >>> with spool.file() as path:
    ...     _ = path.write_bytes(b"a clip")
    >>> path.exists()
    False
    >>> spool.close()
    """

    def __init__(self) -> None:
        remove_abandoned(Path(tempfile.gettempdir()))
        while True:  # until it is locked before another that starts took it for abandoned
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
            with suppress(FileNotFoundError):
                self._lock = _locked(self.folder, fcntl.LOCK_EX)
                if self.folder.exists():
                    return
                os.close(self._lock)

    @contextmanager
    def file(self) -> Iterator[Path]:
        """A new, empty file, which is removed at the end of the block."""
        path = self.folder / secrets.token_hex(16)  # no suffix: it would be believed
        try:
            path.touch(mode=0o600, exist_ok=False)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of services of this user that ended without doing it."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held by a service that runs, or just being removed
            continue
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        logger.info("removed the files of a service that was killed")


def _locked(folder: Path, how: int) -> int:
    """A descriptor that holds the lock on a folder.

    Raises:
        OSError: it is held by another, or the folder is gone.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, how)
    except OSError:
        os.close(lock)
        raise
    return lock


@dataclass(frozen=True)
class Service:
    """What the routes work with."""

    recognition: Recognition
    """Recognizes files."""
    live: LiveRecognition | None
    """Recognizes live streams, where the model can."""
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
    begin_start(*(() if is_exported(model) else ("mixtconv.data.views",)))
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
