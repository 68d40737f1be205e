"""Clients that make no progress lose their place, whatever they send; others keep theirs."""

import asyncio
import base64
import dataclasses
import os
import select
import socket
import struct
import time
from collections.abc import Callable

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from mixtconv.serve import connections
from mixtconv.serve.connections import (
    CONTROL_FRAMES,
    FRAMES_OF_A_MESSAGE,
    HttpConnection,
    LiveConnection,
)

PING, PONG, TEXT_PART, CONTINUED, BINARY = 0x89, 0x8A, 0x01, 0x00, 0x82


def connect(server, *, receive_bytes: int = 0) -> socket.socket:
    """A connection, with a small buffer for what is received if asked for."""
    address = httpx.URL(server.address)
    connection = socket.socket()
    connection.settimeout(10)
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.connect((address.host, address.port or 80))
    return connection


def upgraded(server, **options) -> socket.socket:
    """A WebSocket without a client library: what is sent on it are frames."""
    connection = connect(server, **options)
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET /v1/live HTTP/1.1\r\nHost: {httpx.URL(server.address).netloc.decode()}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1)
    assert answer.startswith(b"HTTP/1.1 101")
    return connection


def frame(head: int, payload: bytes = b"") -> bytes:
    """A frame of a client, with a mask of zeros."""
    length = len(payload)
    start = bytes([128 | length]) if length < 126 else bytes([254]) + struct.pack("!H", length)
    return bytes([head]) + start + bytes(4) + payload


def received(connection: socket.socket) -> tuple[int, bytes]:
    """Opcode and payload of the next frame of the service."""
    reader = connection.makefile("rb", buffering=0)
    head, length = reader.read(2)
    if length == 126:
        (length,) = struct.unpack("!H", reader.read(2))
    payload = b""
    while len(payload) < length:
        payload += reader.read(length - len(payload))
    return head & 15, payload


def num_live(server) -> float:
    (line,) = (
        line
        for line in server.service.metrics.text().decode().splitlines()
        if line.startswith("mixtconv_live_streams ")
    )
    return float(line.split()[1])


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def patient(service, running):
    """A service whose live streams may be idle for ever."""
    live = service.live
    before, live._settings = live._settings, dataclasses.replace(live._settings, idle_seconds=600)
    try:
        with running(service) as server:
            yield server
    finally:
        live._settings = before


PICTURE = struct.pack("<HH", 8, 8) + bytes(3 * 64)


def test_pings_that_nobody_reads_the_answers_of(patient) -> None:
    sockets = [upgraded(patient, receive_bytes=2000) for _ in range(2)]
    wait(lambda: num_live(patient) == 2)
    for each in sockets:
        each.sendall(frame(PING, bytes(125)) * (CONTROL_FRAMES + 30))
    wait(lambda: num_live(patient) == 0)  # long before they have been idle
    with upgraded(patient) as honest:
        honest.sendall(frame(BINARY, PICTURE))
        assert b'"predictions"' in received(honest)[1]
    for each in sockets:
        each.close()


@pytest.mark.parametrize(
    ("what", "number"),
    [
        (frame(PING), CONTROL_FRAMES + 30),
        (frame(PONG), CONTROL_FRAMES + 30),
        (frame(TEXT_PART) + frame(CONTINUED) * 10_000, 1),
        (frame(BINARY), 10_000),
    ],
    ids=["pings", "pongs", "parts of a message", "empty messages"],
)
def test_a_flood_is_stopped_and_told(patient, what: bytes, number: int) -> None:
    with upgraded(patient) as connection:
        connection.sendall(what * number)
        opcode = 10
        while opcode == 10:  # the pongs before
            opcode, payload = received(connection)
        assert opcode == 8 and int.from_bytes(payload[:2], "big") == 1008
        assert b"too many" in payload
    wait(lambda: num_live(patient) == 0)


def test_a_flood_after_the_end_is_cut_off(patient) -> None:
    with upgraded(patient) as connection:
        connection.sendall(frame(BINARY, b"no frame"))
        assert b'"invalid"' in received(connection)[1]
        assert received(connection)[0] == 8
        with pytest.raises(OSError):
            for _ in range(10_000):
                connection.sendall(frame(PING, bytes(125)) * 100)


def test_pings_and_messages_in_parts_are_welcome(patient) -> None:
    side = 20
    message = struct.pack("<HH", side, side) + bytes(3 * side**2)
    parts = [message[at : at + 1] for at in range(len(message))]
    assert CONTROL_FRAMES < len(parts) < FRAMES_OF_A_MESSAGE
    with upgraded(patient) as connection:
        for number in range(3):  # more parts in all than one message may have
            connection.sendall(
                frame(0x02, parts[0])
                + b"".join(frame(CONTINUED, each) for each in parts[1:-1])
                + frame(0x80, parts[-1])
            )
            assert f'"frame":{number}'.encode() in received(connection)[1]
            for word in (b"a", b"b"):
                connection.sendall(frame(PING, word))
                assert received(connection) == (10, word)


def test_a_live_client_that_does_not_read_loses_its_place(service) -> None:
    live = service.live
    told = []

    class Stuck:
        async def receive_bytes(self) -> bytes:
            return PICTURE

        async def send_json(self, content: dict) -> None:
            told.append(content)
            await asyncio.sleep(600)

    async def watch() -> None:
        work = asyncio.create_task(live.serve(Stuck(), top_k=1))
        while len(told) < 2:  # the answer, and the refusal, which it does not read either
            await asyncio.sleep(0.02)
        assert "not read" in told[1]["error"]["message"]
        assert live._num_open == 0 and not work.done()
        streams = [live._recognizer.start() for _ in range(service.settings.max_streams)]
        for stream in streams:
            stream.end()
        work.cancel()

    asyncio.run(asyncio.wait_for(watch(), 30))


def test_an_answer_that_nobody_reads(service, running) -> None:
    settings = dataclasses.replace(service.settings, send_seconds=0.3)
    path = "/static/swagger/swagger-ui-bundle.js"
    with running(dataclasses.replace(service, settings=settings)) as server:
        whole = len(server.client.get(path).content)
        with connect(server, receive_bytes=2000) as connection:
            # More than the system keeps for a connection, 4 MB at most by default.
            number = 30_000_000 // whole
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() * number)
            reset = select.poll()
            reset.register(connection, 0)  # errors and hanging up only
            assert reset.poll(20_000), "it holds its connection"
        assert len(server.client.get(path).content) == whole


class Transport:
    """One that is closed once its buffer is empty, which never happens."""

    def __init__(self) -> None:
        self.is_closed = self.is_aborted = False

    def get_extra_info(self, name: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.is_closed or self.is_aborted

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True


@pytest.mark.parametrize("kind", [HttpConnection, LiveConnection])
@pytest.mark.parametrize("state", ["reads", "falls behind", "reads on", "is closed"])
def test_who_is_let_go(kind: type, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections._AbandonsClients, "read_seconds", 0.2)

    async def aborted() -> bool:
        config = uvicorn.Config(lambda: None, ws=LiveConnection, http=HttpConnection)
        protocol = kind(config=config, server_state=ServerState(), app_state={})
        transport = Transport()
        protocol.connection_made(transport)
        for _ in range(12):
            if state in ("falls behind", "reads on"):
                protocol.pause_writing()
            if state == "reads on":  # slowly
                protocol.resume_writing()
                protocol.pause_writing()
            if state == "is closed":
                transport.close()
            await asyncio.sleep(0.05)
        protocol.connection_lost(None)
        return transport.is_aborted

    assert asyncio.run(aborted()) == (state in ("falls behind", "is closed"))


def test_a_head_that_does_not_end(server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    for start in (b"", b"GET /health/live HT"):
        with connect(server) as connection:
            connection.sendall(start)
            assert connection.recv(100) == b""
    host = server.address.removeprefix("http://")
    whole = f"GET /health/live HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    with connect(server) as connection:
        connection.sendall(whole)
        for _ in range(2):
            answer = b""
            while b'"live"}' not in answer:
                answer += connection.recv(10_000)
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(0.7)  # a kept connection may be silent
            connection.sendall(whole)
