"""The whole service, from what the command line says to its end."""

import logging

from mixtconv.data.cores import usable_cores
from mixtconv.inference.loading import Precision
from mixtconv.serve.app import make_app
from mixtconv.serve.auth import TOKEN_VARIABLE, read_token
from mixtconv.serve.server import address_of, is_loopback, listen, make_server
from mixtconv.serve.service import open_service
from mixtconv.serve.settings import Batching, Binding, Limits
from mixtconv.serve.sources import AllowedSources

logger = logging.getLogger(__name__)


def run_service(
    model: str,
    *,
    binding: Binding,
    batching: Batching,
    limits: Limits,
    protocol: str = "1x1",
    workers: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
) -> None:
    """Serve a model until told to stop.

    Raises:
        ValueError: a setting, a token or a model that cannot be used.
        OSError: the address is in use.
    """
    token, sources = read_token(binding.token_file), AllowedSources.parse(binding.allow)
    with listen(binding.host, binding.port) as listening:
        is_private = is_loopback(listening)
        if not is_private and token is None:
            logger.warning(
                "everybody who reaches %s may use the service: give --token-file or set %s",
                address_of(listening),
                TOKEN_VARIABLE,
            )
        with open_service(
            model,
            limits=limits,
            batching=batching,
            workers=usable_cores() if workers is None else workers,
            sources=sources,
            allow_private=binding.allow_private,
            device=device,
            protocol=protocol,
            precision=precision,
        ) as service:
            app = make_app(
                service,
                token=token,
                hosts=binding.names(is_private=is_private),
                page=not binding.no_page,
            )
            logger.info("serving at %s (Ctrl-C ends it)", address_of(listening))
            make_server(app, limits).run(sockets=[listening])
    logger.info("stopped")
