"""Other packages' words during a run: hints that are none of the user's concern are left out."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from mixtconv._quiet import only_errors


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's hints about hardware, workers and loggers out of the run's own lines."""
    with (
        warnings.catch_warnings(),
        only_errors("lightning.pytorch", "lightning.fabric"),
        _quiet_tensorboard(),
    ):
        warnings.filterwarnings("ignore", module=r"lightning|torch")
        yield


@contextmanager
def _quiet_tensorboard() -> Iterator[None]:
    """Let no thread of TensorBoard print that it cannot write: the main thread is told, too."""
    before = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        is_own = type(failure.thread).__module__.startswith("tensorboard.")
        if not (is_own and isinstance(failure.exc_value, OSError)):
            before(failure)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
