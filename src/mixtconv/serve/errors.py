"""Why a request gets no result: one table of codes, each with its status and what it means.

A message says what a client can do about it. It never holds a path, a traceback or anything of
another client.
"""

import logging
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
class Fault:
    """One reason for giving no result."""

    status: int
    """Status of the answer."""
    meaning: str
    """What it means, for the description of the service."""


FAULTS: dict[str, Fault] = {
    "bad_request": Fault(400, "The request cannot be read."),
    "unauthorized": Fault(401, "The token is missing or wrong."),
    "forbidden": Fault(403, "The page of another site asks, or the source is not allowed."),
    "not_found": Fault(404, "There is nothing at this address."),
    "method_not_allowed": Fault(405, "The address does not take this method."),
    "too_slow": Fault(408, "The request was not sent in time."),
    "too_large": Fault(413, "The file or the request is larger than allowed."),
    "not_a_video": Fault(415, "The file is no video of a known form."),
    "wrong_host": Fault(421, "The request names a host that this service is not."),
    "unreadable": Fault(422, "The video is damaged, or its decoder failed on it."),
    "too_long": Fault(422, "The video is longer, or has more windows, than allowed."),
    "too_many_pixels": Fault(422, "The pictures of the video are larger than allowed."),
    "invalid": Fault(422, "A parameter has no value that is allowed."),
    "gone": Fault(499, "The client has hung up; nobody reads this."),
    "internal": Fault(500, "The service has failed."),
    "source_failed": Fault(502, "The allowed URL gave no file."),
    "busy": Fault(503, "There is too much to do; come back after Retry-After seconds."),
    "decode_timeout": Fault(504, "Decoding, or fetching the source, took longer than allowed."),
}
"""Code -> status and meaning."""

RETRY_SECONDS = 2
"""What Retry-After says where there is too much to do."""


class ServiceError(HTTPException):
    """A request that gets no result; `code` is one of `FAULTS`."""

    def __init__(self, code: str, message: str, *, close: bool = False) -> None:
        headers = {"Retry-After": str(RETRY_SECONDS)} if code == "busy" else {}
        if code == "unauthorized":
            headers["WWW-Authenticate"] = 'Basic realm="mixtconv", Bearer'
        if close:  # what the client still sends is not waited for
            headers["Connection"] = "close"
        super().__init__(FAULTS[code].status, message, headers)
        self.code = code
        self.message = message

    def answer(self) -> JSONResponse:
        """The answer that says so."""
        return _answer(self.code, self.message, self.status_code, dict(self.headers or {}))


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """What the description of a route says of the faults that it may answer with."""
    meanings: dict[int | str, list[str]] = {}
    for code in codes:
        meanings.setdefault(FAULTS[code].status, []).append(f"`{code}`: {FAULTS[code].meaning}")
    return {
        status: {"model": ErrorAnswer, "description": " ".join(texts)}
        for status, texts in meanings.items()
    }


def answer_faults(app: FastAPI) -> None:
    """Give every answer without a result the same form."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return ServiceError("invalid", f"{place}: {first['msg']}").answer()

    @app.exception_handler(PlainHTTPException)
    async def plain(request: Request, error: PlainHTTPException) -> JSONResponse:
        if isinstance(error, ServiceError):
            return error.answer()
        codes = {404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "bad_request")
        headers = dict(error.headers or {})
        return _answer(code, str(error.detail), error.status_code, headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return ServiceError("gone", FAULTS["gone"].meaning).answer()

    @app.exception_handler(Exception)
    async def internal(request: Request, error: Exception) -> JSONResponse:
        return ServiceError("internal", FAULTS["internal"].meaning, close=True).answer()


def _answer(code: str, message: str, status: int, headers: dict[str, str]) -> JSONResponse:
    content = {"error": {"code": code, "message": message}}
    return JSONResponse(content, status_code=status, headers=headers)
