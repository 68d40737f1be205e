"""The application: routes, page and description behind the guard."""

from fastapi import Security
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from mixtconv._version import __version__
from mixtconv.serve.errors import answer_faults
from mixtconv.serve.guard import Gate, Guard
from mixtconv.serve.page import SWAGGER_PATH, add_docs, add_page
from mixtconv.serve.routes import (
    health_routes,
    live_routes,
    model_routes,
    video_routes,
)
from mixtconv.serve.service import Service

ABOUT = (
    "Recognizes actions in video. Answers without a result have one form, "
    '`{"error": {"code": ..., "message": ...}}`, and the codes that each address lists.'
)


def make_app(
    service: Service,
    *,
    token: str | None = None,
    hosts: frozenset[str] | None = None,
    page: bool = True,
) -> ASGIApp:
    """Put the parts of a service together.

    Args:
        service: what is served, open.
        token: what requests must bring, None where they need nothing.
        hosts: names that requests may call the service by, None for any.
        page: whether there is a page for people.
    """
    app = FastAPIOffline(
        docs_url=None,  # its pages hold inline scripts: see `page.add_docs`
        redoc_url=None,
        static_url=SWAGGER_PATH,
        title="mixtconv",
        version=__version__,
        description=ABOUT,
    )
    answer_faults(app)
    # The guard checks the token; this is for the description.
    needs_token = [] if token is None else [Security(HTTPBearer(auto_error=False))]
    app.include_router(video_routes(service), dependencies=needs_token)
    app.include_router(model_routes(service), dependencies=needs_token)
    app.include_router(health_routes(service))
    app.include_router(live_routes(service))
    add_docs(app)
    if page:
        add_page(app, service)
    return Guard(app, gate=Gate(token), limits=service.limits, metrics=service.metrics, hosts=hosts)
