"""The description of the service as a page, made from its OpenAPI document.

The usual viewers load their scripts from a server of others; a service inside a closed network, or
one that tells nobody of its users, needs a page of its own.

The page for people, of Gradio's parts: drop a video, or let the camera look.

Gradio gives the layout, the parts and the looks. Videos and frames go through the addresses that
programs use, with the same limits and the same clear answers, and never through Gradio's own:
those would keep files of their own, and tell their paths. They are closed. Nothing is loaded from
outside, fonts are those of the system, and nothing is reported to anybody.
"""

import html
import os
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader
from starlette.types import ASGIApp, Receive, Scope, Send

from mixtconv.serve.errors import ServiceError
from mixtconv.serve.routes import model_answer
from mixtconv.serve.service import Service
from mixtconv.video.crops import scoring_side

if TYPE_CHECKING:
    import gradio


def add_docs(app: FastAPI) -> None:
    """Give an application the page `/docs`."""
    page: list[str] = []

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    async def docs() -> str:
        if not page:
            page.append(render_docs(app.openapi()))
        return page[0]


def render_docs(description: dict[str, Any]) -> str:
    """An OpenAPI document as a page.

    >>> info = {"title": "a <b>", "version": "1", "description": ""}
    >>> "<h1>a &lt;b&gt; 1</h1>" in render_docs({"info": info, "paths": {}})
    True
    """
    environment = Environment(
        loader=PackageLoader("mixtconv.serve", "templates"), autoescape=True, trim_blocks=True
    )
    environment.filters["kind"] = _kind
    return environment.get_template("docs.html.j2").render(
        info=description["info"],
        paths=description["paths"],
        schemas=description.get("components", {}).get("schemas", {}),
    )


def _kind(schema: dict[str, Any]) -> str:
    """A type as people say it."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    if schema.get("format") == "binary":
        return "file"
    return str(schema.get("type", "any"))


DEFAULT_WINDOW = "2s"

_FILE = """
<label id="drop" for="video-file">
  <strong>Drop a video here</strong> or choose one
  <input type="file" id="video-file" accept="video/*,.mkv,.avi,.ts,.wmv,.gif">
</label>
<video id="preview" aria-label="The video" controls muted hidden></video>
<p id="video-status" role="status"></p>
"""

_LIVE = """
<div id="live" data-side="{side}">
  <video id="camera" aria-label="The camera" playsinline muted></video>
  <p><button type="button" id="live-start">Start the camera</button>
  <label>frames a second <input type="number" id="live-rate" value="8" min="1" max="60"></label></p>
  <p id="live-status" role="status"></p>
  <ol id="live-labels" aria-label="Labels now"></ol>
  <p id="live-frame"></p>
</div>
"""

_NOT_LIVE = '<p id="live-refused">There are no live streams: {reason}.</p>'

_RECOGNIZE = "(length, stride) => window.mixtconv.recognize(length, stride)"


def add_page(app: FastAPI, service: Service) -> None:
    """Put the page at `/`, behind the addresses that the application has already."""
    # Both are read at the import. Folders that Gradio makes are to go with the service.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(service.spool.folder / "gradio")
    try:
        import gradio  # noqa: PLC0415
    except ImportError as error:
        raise ValueError(
            "the page needs Gradio: pip install 'mixtconv[serve]', or give --no-page"
        ) from error
    own = files("mixtconv.serve") / "static"
    script = (own / "page.js").read_text(encoding="utf-8")
    mounted = gradio.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        _make_page(service),
        path="/",
        theme=gradio.themes.Base(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        css=(own / "page.css").read_text(encoding="utf-8"),
        head=f"<script>{script}</script>",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        show_error=False,
    )
    app.router.default = _OnlyThePage(mounted)


def _make_page(service: Service) -> "gradio.Blocks":
    import gradio  # noqa: PLC0415

    about = model_answer(service)
    card = about.card.partition("\n---\n")[2]  # behind what is for the hub
    with gradio.Blocks(title="mixtconv", analytics_enabled=False) as page:
        gradio.Markdown(
            f"# What happens in the video?\n{about.name}, {len(about.classes)} classes. "
            "Programs ask [these addresses](docs)."
        )
        with gradio.Tab("Video"):
            gradio.HTML(_FILE)
            with gradio.Row():
                window = gradio.Textbox(DEFAULT_WINDOW, label="Window", info="such as 2s or 32f")
                stride = gradio.Textbox("", label="Stride", info="empty: the window's length")
            start = gradio.Button("Recognize", variant="primary", elem_id="recognize")
            labels = gradio.Label(label="Labels", elem_id="labels")
            timeline = gradio.HTML(elem_id="timeline")
            frames = gradio.HTML(elem_id="frames")
            start.click(None, [window, stride], [labels, timeline, frames], js=_RECOGNIZE)
        with gradio.Tab("Live"):
            if service.live_refused is None:
                gradio.HTML(_LIVE.format(side=scoring_side(about.image_size)))
            else:
                gradio.HTML(_NOT_LIVE.format(reason=html.escape(service.live_refused)))
        with gradio.Tab("Model"):
            gradio.Markdown(card)
    return page


class _OnlyThePage:
    """Lets the page and its files be read, and nothing else of Gradio be reached."""

    _OPEN = ("/assets/", "/static/")
    _FILES = ("", "/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt")

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        is_open = path in self._FILES or path.startswith(self._OPEN)
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and is_open:
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        error = ServiceError("not_found", "there is nothing at this address")
        await error.answer()(scope, receive, send)
