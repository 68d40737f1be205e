"""`mixtconv serve MODEL`."""

from mixtconv.serve.settings import ServeSettings


def serve(model: str, settings: ServeSettings) -> int:
    """Answer requests over HTTP, with a page for people; SIGTERM or Ctrl-C ends it.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub.
        settings: Address, limits, batching and the engine.
    """
    try:
        from mixtconv.serve.server import run_service
    except ImportError as error:
        if error.name in ("fcntl", "resource"):  # modules of Python on Linux and macOS
            raise ValueError(
                "the service runs on Linux and macOS only; on Windows use it in WSL or a container"
            ) from error
        raise ValueError(
            f"the service needs {error.name}: pip install 'mixtconv[serve]'"
        ) from error
    run_service(model, settings)
    return 0
