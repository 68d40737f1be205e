"""All parts of a running service, opened and closed together, and its temporary files.

Every file of a request has its own `with` block in one private folder, which is removed when the
service stops. A service holds a lock on its folder; that of a killed service is not locked, and
the next service that starts removes it. Programs that clean temporary folders by age, such as
systemd-tmpfiles, leave a locked one alone too.
"""

import fcntl
import logging
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mixtconv.inference.loading import load_recognizer, load_streaming_recognizer
from mixtconv.models.spec import is_exported
from mixtconv.serve.decoder_pool import begin_start
from mixtconv.serve.events import EventRecognition
from mixtconv.serve.live import LiveRecognition
from mixtconv.serve.metrics import Metrics
from mixtconv.serve.recognition import Recognition, num_workers
from mixtconv.serve.settings import ServeSettings
from mixtconv.serve.sources import AllowedSources

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """What the routes work with."""

    recognition: Recognition
    """Recognizes files."""
    live: LiveRecognition | None
    """Recognizes live streams, None if the model cannot."""
    live_refused: str | None
    """Why it cannot."""
    events: EventRecognition | None
    """Finds events in files, None if the settings in the model file are damaged."""
    events_refused: str | None
    """Why it cannot."""
    spool: "Spool"
    """Temporary files of requests."""
    sources: AllowedSources
    """What requests may name instead of sending a file."""
    settings: ServeSettings
    """Limits and the other settings."""
    metrics: Metrics
    """Counters."""


@contextmanager
def open_service(model: str, settings: ServeSettings) -> Iterator[Service]:
    """Load a model and start the decoders; the end of the block ends and removes everything.

    Raises:
        ValueError: the model does not exist or cannot be served; an unknown device, protocol or
            source.
    """
    sources = AllowedSources.parse(settings.allow, allow_private=settings.allow_private)
    begin_start(*(() if is_exported(model) else ("mixtconv.data.views",)))
    recognizer = load_recognizer(
        model,
        device=settings.device,
        protocol=settings.protocol,
        precision=settings.precision,
    )
    metrics = Metrics()
    with ExitStack() as opened:
        spool = opened.enter_context(closing(Spool()))
        recognition = Recognition(recognizer, settings=settings, metrics=metrics)
        opened.enter_context(closing(recognition))
        recognition.decoders.wait_ready()
        live, refused = _open_live(model, settings, metrics)
        if live is not None:
            opened.callback(live.close)
        try:
            events, damage = EventRecognition(recognition, live, settings=settings), None
        except ValueError as error:
            logger.warning("no events: %s", error)
            events, damage = None, str(error)
        yield Service(recognition, live, refused, events, damage, spool, sources, settings, metrics)


def _open_live(
    model: str, settings: ServeSettings, metrics: Metrics
) -> tuple[LiveRecognition | None, str | None]:
    try:
        recognizer = load_streaming_recognizer(
            model,
            max_streams=settings.max_streams + num_workers(settings),  # those of files besides
            device=settings.device,
            precision=settings.precision,
        )
    except ValueError as error:  # the model has loaded before: it does not support streams
        logger.info("no live streams: %s", error)
        return None, _without_path(str(error), model)
    return LiveRecognition(recognizer, settings=settings, metrics=metrics), None


def _without_path(reason: str, model: str) -> str:
    """A reason for clients, without the path of the model."""
    for path in (model, str(Path(model))):
        whole = rf"(?<![\w./-]){re.escape(path)}(?![\w/-])"  # a short path is part of many words
        reason = re.sub(whole, "the model", reason)
    return reason


PREFIX = "mixtconv-serve-"


class Spool:
    """A private folder for temporary files.

    >>> spool = Spool()
    >>> with spool.file() as path:
    ...     _ = path.write_bytes(b"a clip")
    >>> path.exists()
    False
    >>> spool.close()
    """

    def __init__(self) -> None:
        remove_abandoned(Path(tempfile.gettempdir()))
        while True:  # another service that starts may remove the folder before it is locked
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
            with suppress(FileNotFoundError):
                self._lock = _locked(self.folder, fcntl.LOCK_EX)
                if self.folder.exists():
                    return
                os.close(self._lock)

    @contextmanager
    def file(self) -> Iterator[Path]:
        """A new, empty file, which is removed at the end of the block."""
        path = self.folder / secrets.token_hex(16)  # no suffix, which readers would trust
        try:
            path.touch(mode=0o600, exist_ok=False)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder and its files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of killed services of this user."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # locked by a running service, or being removed
            continue
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        logger.info("removed the files of a service that was killed")


def _locked(folder: Path, how: int) -> int:
    """A descriptor that holds the lock on a folder.

    Raises:
        OSError: another process holds it, or the folder does not exist.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, how)
    except OSError:
        os.close(lock)
        raise
    return lock
