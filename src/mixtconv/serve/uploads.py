"""The file that a request sends, in a form field `file`."""

import asyncio
import errno
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from mixtconv.serve.faults import ServiceError
from mixtconv.serve.spool import Spool

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
