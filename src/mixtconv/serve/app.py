"""The application: API, live streams and pages, behind the checks of every request."""

from fastapi import Security
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from mixtconv._version import __version__
from mixtconv.serve.errors import add_error_handlers
from mixtconv.serve.guard import RequestLimits, TokenAuth
from mixtconv.serve.page import SWAGGER_PATH, add_docs, add_page
from mixtconv.serve.routes import model_routes, open_routes, video_routes
from mixtconv.serve.service import Service

ABOUT = (
    "Recognizes actions in video. Errors have one form, "
    '`{"error": {"code": ..., "message": ...}}`, and the codes that each address lists.'
)


def make_app(
    service: Service,
    *,
    token: str | None = None,
    hosts: frozenset[str] | None = None,
) -> ASGIApp:
    """Make the application of a service.

    Args:
        service: the service, open.
        token: what requests must send, None if they need no token.
        hosts: host names that requests may use, None for any.
    """
    app = FastAPIOffline(
        docs_url=None,  # its pages hold inline scripts: see `page.add_docs`
        redoc_url=None,
        static_url=SWAGGER_PATH,
        title="mixtconv",
        version=__version__,
        description=ABOUT,
    )
    add_error_handlers(app)
    # `RequestLimits` checks the token; this is for the OpenAPI description.
    needs_token = [] if token is None else [Security(HTTPBearer(auto_error=False))]
    app.include_router(video_routes(service), dependencies=needs_token)
    app.include_router(model_routes(service), dependencies=needs_token)
    app.include_router(open_routes(service))
    add_docs(app)
    if not service.settings.no_page:
        add_page(app, service)
    return RequestLimits(
        app,
        auth=TokenAuth(token),
        limits=service.settings,
        metrics=service.metrics,
        hosts=hosts,
    )
