"""The pages for people: `/`, which recognizes videos and the camera, and `/docs`, the API.

Both use the addresses that programs use, with the same limits and errors. Everything they load
comes from this service, and they hold no inline script or style: see `guard.SECURITY_HEADERS`.
"""

from importlib.resources import files

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader
from markdown_it import MarkdownIt
from markupsafe import Markup

from mixtconv.serve.routes import model_answer
from mixtconv.serve.service import Service
from mixtconv.video.crops import scoring_side

STATIC = str(files("mixtconv.serve") / "static")

TIMELINE = ("event_timeline.js", "event_timeline.css")
"""The timeline of events, which the pages of files have too. Its package, with which matplotlib
comes, is not imported."""

SWAGGER_PATH = "/static/swagger"
"""Where `fastapi_offline` puts the files of Swagger UI."""


def add_docs(app: FastAPI) -> None:
    """Add `/docs`: Swagger UI, whose files the application has at `SWAGGER_PATH`.

    FastAPI's own page starts it with an inline script, which the policy forbids.
    """
    app.mount("/static", StaticFiles(directory=STATIC))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(f"{STATIC}/docs.html")


def add_page(app: FastAPI, service: Service) -> None:
    """Add the page at `/`, which needs the files that `add_docs` mounts."""
    model = model_answer(service)
    environment = Environment(loader=PackageLoader("mixtconv.serve", "templates"), autoescape=True)
    environment.filters["number"] = "{:g}".format
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    card = model.card.partition("\n---\n")[2]  # without the metadata for the hub
    page = environment.get_template("page.html.j2").render(
        model=model,
        limits=service.settings,
        side=scoring_side(model.image_size),
        card=Markup(markdown.render(card)),
    )

    for name in TIMELINE:
        _add_timeline_file(app, name)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(page)


def _add_timeline_file(app: FastAPI, name: str) -> None:
    path = str(files("mixtconv") / "visualization" / name)

    @app.get(f"/timeline/{name}", include_in_schema=False)
    async def timeline_file() -> FileResponse:
        return FileResponse(path)
