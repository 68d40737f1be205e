"""Requests: the options that they may have, the file that they send, and clients that disconnect.

The options are schemas of the OpenAPI description.
"""

import asyncio
import errno
import shutil
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile

from mixtconv.detection.settings import EventOptions
from mixtconv.serve.errors import ERRORS, ServiceError
from mixtconv.serve.service import Spool
from mixtconv.video.windows import WindowPlan

Result = TypeVar("Result")

_DURATION = r"^([0-9]+(\.[0-9]+)?|\.[0-9]+)(s|f|ms|m)?$"


class Options(BaseModel):
    """Options of a request; others than these are refused."""

    model_config = ConfigDict(extra="forbid")


class PredictOptions(Options):
    """Options of `/v1/predict`."""

    top_k: int = Field(5, ge=1, le=1000, description="Number of labels.")
    frames: bool = Field(False, description="Whether to return the sampled frames too.")


class TimelineOptions(Options):
    """Options of `/v1/timeline`."""

    top_k: int = Field(5, ge=1, le=1000, description="Number of labels of each window.")
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
    merge: bool = Field(False, description="Merge adjacent segments with the same label.")

    def plan(self) -> WindowPlan:
        """The windows.

        Raises:
            ServiceError: their units differ, or one is 0.
        """
        try:
            return WindowPlan.parse(self.window, self.stride)
        except ValueError as error:  # it names flags
            raise ServiceError("invalid", str(error).replace("--", "")) from error


class EventParameters(Options):
    """Settings of events; what is left out is as the model file says."""

    fps: float | None = Field(
        None, gt=0, le=1000, description="Frames a second, of models that score frames."
    )
    window: str | None = Field(
        None, max_length=16, pattern=_DURATION, description="Length of a window, of other models."
    )
    stride: str | None = Field(
        None, max_length=16, pattern=_DURATION, description="From one window to the next."
    )
    enter: float | None = Field(None, ge=0, le=1, description="Score at which a class is active.")
    leave: float | None = Field(None, ge=0, le=1, description="Score below which it stops.")
    min_seconds: float | None = Field(None, ge=0, le=1e6, description="Least length of an event.")
    max_seconds: float | None = Field(None, gt=0, le=1e6, description="Longest length of one.")
    bridge_seconds: float | None = Field(None, ge=0, le=1e6, description="Gaps that are bridged.")
    cooldown_seconds: float | None = Field(
        None, ge=0, le=1e6, description="After an event, time without another one of its class."
    )
    smoothing_seconds: float | None = Field(
        None, ge=0, le=1e6, description="Time over which scores are averaged."
    )
    lag_seconds: float | None = Field(None, ge=0, le=1e6, description="How late scores are.")
    exclusive: bool | None = Field(None, description="Whether one class is active at a time.")

    def options(self) -> EventOptions:
        """The same for `mixtconv.detection`.

        Raises:
            ServiceError: values that do not fit each other.
        """
        names = EventParameters.model_fields
        try:
            return EventOptions(**{name: getattr(self, name) for name in names})
        except ValueError as error:  # it names flags
            raise ServiceError("invalid", str(error).replace("--", "")) from error


class EventsOptions(EventParameters):
    """Options of `/v1/events`."""

    scores: bool = Field(False, description="Whether to return the scores over time too.")


class LiveOptions(EventParameters):
    """Options of `/v1/live`."""

    top_k: int = Field(5, ge=1, le=1000, description="Number of labels of each frame.")
    events: bool = Field(False, description="Whether answers say which events start and end.")


class SourceRequest(BaseModel):
    """A video that the service can read itself."""

    source: str = Field(
        min_length=1, max_length=4096, description="A URL or an absolute path that is allowed."
    )


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
"""The body, for the OpenAPI description of a route. The route reads it itself, which limits it to
one file and no other field."""


@asynccontextmanager
async def received_file(request: Request, spool: Spool) -> AsyncIterator[Path]:
    """The file of a request, which is removed at the end of the block; its name is ignored.

    Raises:
        ServiceError: it has none, or the disk is full.
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
            raise ServiceError(
                "busy", "the disk of the service is full; come back later"
            ) from error
        yield path


def _copy(upload: UploadFile, path: Path) -> None:
    with path.open("r+b") as file:  # fails if the request has ended meanwhile
        shutil.copyfileobj(upload.file, file, 1 << 20)


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine, which is cancelled if the client disconnects.

    The body of the request must have been read.

    Raises:
        ServiceError: the client has disconnected.
    """
    result = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({result, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        raise ServiceError("gone", ERRORS["gone"].meaning)
    finally:
        for task in (result, disconnect):
            task.cancel()
        await asyncio.gather(result, disconnect, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
