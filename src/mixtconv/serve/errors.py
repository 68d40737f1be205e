"""Errors of the API: one table of codes, with the status and the meaning of each.

A message tells the client what to do. It never holds a path, a traceback or data of another client.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as PlainHTTPException
from starlette.requests import ClientDisconnect

from mixtconv.serve.answers import ErrorAnswer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ErrorCode:
    """One reason why a request has no result."""

    status: int
    """Status of the answer."""
    meaning: str
    """Its meaning, for the OpenAPI description."""


ERRORS: dict[str, ErrorCode] = {
    "bad_request": ErrorCode(400, "The request cannot be read."),
    "unauthorized": ErrorCode(401, "The token is missing or wrong."),
    "forbidden": ErrorCode(
        403, "A page of another site sent the request, or the source is not allowed."
    ),
    "not_found": ErrorCode(404, "Nothing exists at this address."),
    "method_not_allowed": ErrorCode(405, "The address does not take this method."),
    "too_slow": ErrorCode(408, "The request was not sent in time."),
    "too_large": ErrorCode(413, "The file or the request is larger than allowed."),
    "not_a_video": ErrorCode(415, "The file is no video of a known format."),
    "wrong_host": ErrorCode(421, "The request names a host that this service is not."),
    "unreadable": ErrorCode(422, "The video is damaged, or its decoder failed on it."),
    "too_long": ErrorCode(422, "The video is longer, or has more windows, than allowed."),
    "too_many_pixels": ErrorCode(422, "The pictures of the video are larger than allowed."),
    "invalid": ErrorCode(422, "A parameter has no value that is allowed."),
    "gone": ErrorCode(499, "The client has disconnected."),
    "internal": ErrorCode(500, "The service has failed."),
    "source_failed": ErrorCode(502, "The allowed URL gave no file."),
    "busy": ErrorCode(503, "The service is overloaded; come back after Retry-After seconds."),
    "decode_timeout": ErrorCode(504, "Decoding, or fetching the source, took longer than allowed."),
}
"""Code -> status and meaning."""

RETRY_SECONDS = 2
"""Retry-After of an overloaded service."""


class ServiceError(HTTPException):
    """A request without a result; `code` is one of `ERRORS`."""

    def __init__(self, code: str, message: str, *, close: bool = False) -> None:
        headers = {"Retry-After": str(RETRY_SECONDS)} if code == "busy" else {}
        if code == "unauthorized":
            headers["WWW-Authenticate"] = 'Basic realm="mixtconv", Bearer'
        if close:  # the rest of the request is not waited for
            headers["Connection"] = "close"
        super().__init__(ERRORS[code].status, message, headers)
        self.code = code
        self.message = message

    def response(self) -> JSONResponse:
        """The response for the client."""
        return _response(self.code, self.message, self.status_code, dict(self.headers or {}))


def error_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for its OpenAPI description."""
    meanings: dict[int | str, list[str]] = {}
    for code in codes:
        meanings.setdefault(ERRORS[code].status, []).append(f"`{code}`: {ERRORS[code].meaning}")
    return {
        status: {"model": ErrorAnswer, "description": " ".join(texts)}
        for status, texts in meanings.items()
    }


def add_error_handlers(app: FastAPI) -> None:
    """Give every error of an application the same form."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return ServiceError("invalid", invalid_text(error.errors())).response()

    @app.exception_handler(PlainHTTPException)
    async def plain(request: Request, error: PlainHTTPException) -> JSONResponse:
        if isinstance(error, ServiceError):
            return error.response()
        codes = {404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "bad_request")
        headers = dict(error.headers or {})
        return _response(code, str(error.detail), error.status_code, headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return ServiceError("gone", ERRORS["gone"].meaning).response()

    @app.exception_handler(Exception)
    async def internal(request: Request, error: Exception) -> JSONResponse:
        return ServiceError("internal", ERRORS["internal"].meaning, close=True).response()


def invalid_text(errors: Sequence[Any]) -> str:
    """The first of several errors of pydantic in a line."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{place}: there is no such parameter here"
    return f"{place}: {first['msg']}"


def _response(code: str, message: str, status: int, headers: dict[str, str]) -> JSONResponse:
    content = {"error": {"code": code, "message": message}}
    return JSONResponse(content, status_code=status, headers=headers)
