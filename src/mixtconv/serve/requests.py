"""Work for a client that may hang up meanwhile.

The file that a request sends, in a form field `file`.

What may be asked, as schemas of the OpenAPI description.
"""

import asyncio
import errno
import shutil
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile

from mixtconv.serve.errors import FAULTS, ServiceError
from mixtconv.serve.service import Spool
from mixtconv.video.windows import WindowPlan

Result = TypeVar("Result")


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of some work, which is given up when the client is gone.

    The body of the request must have been read.

    Raises:
        ServiceError: the client is gone.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ServiceError("gone", FAULTS["gone"].meaning)
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


MULTIPART: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "The video."}
                    },
                }
            }
        },
    }
}
"""The body, for the description of a route. A route reads it itself: so there is one file at most,
and no other field."""


@asynccontextmanager
async def received_file(request: Request, spool: Spool) -> AsyncIterator[Path]:
    """The file of a request, which is gone at the end of the block; its name is not looked at.

    Raises:
        ServiceError: there is none.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise ServiceError("invalid", "send the video as multipart/form-data, in a field 'file'")
    with spool.file() as path:
        try:
            async with request.form(max_files=1, max_fields=0) as form:
                upload = form.get("file")
                if not isinstance(upload, UploadFile):
                    raise ServiceError("invalid", "there is no file in a field 'file'")
                await asyncio.to_thread(_copy, upload, path)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ServiceError("busy", "there is no room for the file; come back later") from error
        yield path


def _copy(upload: UploadFile, path: Path) -> None:
    with path.open("r+b") as file:  # which fails where the request has meanwhile ended
        shutil.copyfileobj(upload.file, file, 1 << 20)


_DURATION = r"^([0-9]+(\.[0-9]+)?|\.[0-9]+)(s|f|ms|m)?$"


class PredictOptions(BaseModel):
    """How a video is labelled."""

    top_k: int = Field(5, ge=1, le=1000, description="How many labels.")
    frames: bool = Field(False, description="Whether to send the sampled frames as well.")


class TimelineOptions(BaseModel):
    """How a video gets a timeline."""

    top_k: int = Field(5, ge=1, le=1000, description="How many labels of each window.")
    window: str = Field(
        "4s",
        max_length=16,
        pattern=_DURATION,
        description="Length of a window: 4s, 500ms, 1m or 32f (frames).",
    )
    stride: str | None = Field(
        None,
        max_length=16,
        pattern=_DURATION,
        description="From one window to the next, in the same unit; default its length.",
    )
    merge: bool = Field(False, description="Make one segment of neighbours with the same label.")

    def plan(self) -> WindowPlan:
        """The windows.

        Raises:
            ServiceError: they have two units, or no length.
        """
        try:
            return WindowPlan.parse(self.window, self.stride)
        except ValueError as error:  # it says the names of flags
            raise ServiceError("invalid", str(error).replace("--", "")) from error


class SourceRequest(BaseModel):
    """A video that lies where the service may read it."""

    source: str = Field(
        min_length=1, max_length=4096, description="A URL or an absolute path that is allowed."
    )
