"""The description of the service as a page, made from its OpenAPI document.

The usual viewers load their scripts from a server of others; a service inside a closed network, or
one that tells nobody of its users, needs a page of its own.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader


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
