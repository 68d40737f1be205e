"""Clients of the service that are slow or silent, do not read, flood, hang up, or send garbage.

Each is a function of one attempt that tells how the service ended it, on plain sockets: a library
would do what it should. For `serve_hostile.py`.
"""

import asyncio
import base64
import os
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

ENDED_SECONDS = 150.0
"""An attempt of a hostile client that has not ended by then counts as "not ended"."""

PING, TEXT_PART, CONTINUED, BINARY = 0x89, 0x01, 0x00, 0x82


class Connection:
    """Bytes to the service and from it."""

    def __init__(self, port: int, *, reads: bool = True) -> None:
        self._socket = socket.socket()
        if not reads:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2000)
        self._socket.setblocking(False)
        self._port = port

    async def __aenter__(self) -> "Connection":
        await asyncio.get_running_loop().sock_connect(self._socket, ("127.0.0.1", self._port))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._socket.close()

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def receive(self, size: int = 65536) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._socket, size)

    async def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = await self.receive(size - len(data))
            if not part:
                raise ConnectionError("cut")
            data += part
        return data

    async def status(self) -> str:
        """The status of the answer, once the service has closed."""
        answer = b""
        while part := await self.receive():
            answer += part
        return answer[9:12].decode() or "cut"

    async def upgrade(self) -> None:
        """Become a WebSocket."""
        key = base64.b64encode(os.urandom(16)).decode()
        await self.send(
            head("GET /v1/live", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}")
        )  # fmt: skip
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += await self.exactly(1)

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame of the service; close is 8."""
        first, length = await self.exactly(2)
        if length == 126:
            (length,) = struct.unpack("!H", await self.exactly(2))
        return first & 15, await self.exactly(length)


def head(start: str, *lines: str) -> bytes:
    """The head of a request."""
    return "\r\n".join([f"{start} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode()


def post(content: bytes, *, stated: int | None = None) -> bytes:
    """A request for the labels of a file, closed after the answer."""
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body += content + (b"\r\n--x--\r\n" if stated is None else b"")
    length = f"Content-Length: {stated or len(body)}"
    kind = "Content-Type: multipart/form-data; boundary=x"
    return head("POST /v1/predict", kind, length, "Connection: close") + body


def masked(first: int, payload: bytes = b"") -> bytes:
    """A frame of a client, with a mask of zeros."""
    size = len(payload)
    long = (
        bytes([254]) + struct.pack("!H", size)
        if size < 65536
        else bytes([255]) + struct.pack("!Q", size)
    )
    return bytes([first]) + (bytes([128 | size]) if size < 126 else long) + bytes(4) + payload


# --- Hostile clients: each function is one attempt, and tells how the service ended it -----------


async def slow_head(port: int, video: bytes) -> str:
    async with Connection(port) as to:
        for byte in head("GET /v1/model", "X: " + "a" * 1000):
            await to.send(bytes([byte]))
            with suppress(TimeoutError, asyncio.TimeoutError):
                return "cut" if not await asyncio.wait_for(to.receive(), 0.5) else "answered"
        return "not ended"


async def slow_body(port: int, video: bytes) -> str:
    async with Connection(port) as to:
        await to.send(post(b"", stated=1_000_000))
        for _ in range(1000):
            await to.send(b"a")
            with suppress(TimeoutError, asyncio.TimeoutError):
                return (await asyncio.wait_for(to.receive(), 0.5))[9:12].decode() or "cut"
        return "not ended"


async def silent_body(port: int, video: bytes) -> str:
    async with Connection(port) as to:
        await to.send(post(b"", stated=1_000_000))
        return await to.status()


async def silent(port: int, video: bytes) -> str:
    async with Connection(port) as to:
        return await to.status()


async def unread_answers(port: int, video: bytes) -> str:
    async with Connection(port, reads=False) as to:
        while True:
            await to.send(head("GET /openapi.json") * 100)


async def unread_pings(port: int, video: bytes) -> str:
    async with Connection(port, reads=False) as to:
        await to.upgrade()
        while True:
            await to.send(masked(PING, bytes(125)) * 100)


async def slow_pings(port: int, video: bytes) -> str:
    async with Connection(port, reads=False) as to:
        await to.upgrade()
        while True:
            await to.send(masked(PING, bytes(125)))
            await asyncio.sleep(0.2)


async def empty_parts(port: int, video: bytes) -> str:
    async with Connection(port) as to:
        await to.upgrade()
        await to.send(masked(TEXT_PART) + masked(CONTINUED) * 5000)
        return await closing(to)


async def idle_stream(port: int, video: bytes) -> str:
    async with Connection(port) as to:
        await to.upgrade()
        return await closing(to)


async def no_frame(port: int, video: bytes) -> str:
    async with Connection(port) as to:
        await to.upgrade()
        await to.send(masked(BINARY, os.urandom(100)))
        return await closing(to)


async def closing(to: Connection) -> str:
    while True:
        opcode, payload = await to.frame()
        if opcode == 8:
            return f"close {int.from_bytes(payload[:2], 'big')}"


async def garbage_head(port: int, video: bytes) -> str:
    async with Connection(port) as to:
        await to.send(os.urandom(2000) + b"\r\n\r\n")
        return await to.status()


async def garbage_file(port: int, video: bytes) -> str:
    async with Connection(port) as to:
        await to.send(post(os.urandom(100_000)))
        return await to.status()


async def damaged_video(port: int, video: bytes) -> str:
    content = bytearray(video)
    for _ in range(random.randrange(1, 50)):
        content[random.randrange(len(content))] = random.randrange(256)
    async with Connection(port) as to:
        await to.send(post(bytes(content)))
        return await to.status()


async def hang_up(port: int, video: bytes) -> str:
    async with Connection(port) as to:
        await to.send(post(video)[: random.choice([1000, 10**9])])
        await asyncio.sleep(random.random() / 2)
        return "left"


HOSTILE = (
    slow_head, slow_body, silent_body, silent, unread_answers, unread_pings, slow_pings,
    empty_parts, idle_stream, no_frame, garbage_head, garbage_file, damaged_video, hang_up,
)  # fmt: skip


async def attack(
    attempt: Callable[[int, bytes], Awaitable[str]],
    port: int,
    video: bytes,
    end: float,
    to: Counter,
) -> None:
    """Attempts one after the other; those that the end of the run cuts off are not counted."""
    while time.monotonic() < end:
        try:
            outcome = await asyncio.wait_for(attempt(port, video), ENDED_SECONDS)
        except (TimeoutError, asyncio.TimeoutError):
            outcome = "not ended"
        except ConnectionError:
            outcome = "cut"
        to[attempt.__name__, outcome] += 1
        await asyncio.sleep(0.2)
