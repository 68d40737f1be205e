"""`mixtconv serve MODEL`."""

from importlib.util import find_spec

from mixtconv._optional import SERVICE, import_needed
from mixtconv.serve.settings import ServeSettings


def serve(model: str, settings: ServeSettings) -> int:
    """Answer requests over HTTP, with a page for people; SIGTERM or Ctrl-C ends it.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub.
        settings: Address, limits, batching and the engine.
    """
    if any(find_spec(name) is None for name in ("fcntl", "resource")):
        raise ValueError(
            "the service runs on Linux and macOS only; on Windows use it in WSL or a container"
        )
    import_needed(*SERVICE, why="the service needs")
    from mixtconv.serve.server import run_service

    run_service(model, settings)
    return 0
