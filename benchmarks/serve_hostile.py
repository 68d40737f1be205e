"""The service among honest and hostile clients: are honest requests answered, is all given back?

    python benchmarks/serve_hostile.py MODEL VIDEO --minutes 10

After a warm-up the honest clients are alone, and then all are there. Honest clients send the video,
and frames of it if the model recognizes streams, each as soon as it has the answer to the last;
answers must be those of the first. Hostile ones are slow or silent, do not read, flood, hang up,
and send garbage and damaged videos; how the service ends each attempt is counted. Memory and
descriptors of the service are compared before, at their peak and after. All share the processors
of this machine.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from statistics import quantiles

import av
import httpx

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


# --- Honest clients ------------------------------------------------------------------------------


class Honest:
    """What honest clients have seen."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[float] = []
        """Of the answers to files."""
        self._first: dict[str, float] | None = None

    async def files(self, address: str, video: bytes, end: float) -> None:
        """Ask for the labels of the video again and again."""
        async with httpx.AsyncClient(base_url=address, timeout=120) as http:
            while time.monotonic() < end:
                started = time.monotonic()
                try:
                    answer = await http.post("/v1/predict", files={"file": video})
                except httpx.HTTPError as error:
                    self.outcomes[type(error).__name__] += 1
                    continue
                self.seconds.append(time.monotonic() - started)
                self.outcomes[self._judged(answer)] += 1

    def _judged(self, answer: httpx.Response) -> str:
        if answer.status_code != 200:
            return str(answer.status_code)
        scores = {each["label"]: each["score"] for each in answer.json()["predictions"]}
        self._first = self._first or scores
        same = scores.keys() == self._first.keys() and all(
            abs(scores[label] - score) < 1e-3 for label, score in self._first.items()
        )
        return "right" if same else "WRONG"

    async def stream(self, port: int, frame: bytes, end: float) -> None:
        """Send frames on one connection."""
        async with Connection(port) as to:
            await to.upgrade()
            number = 0
            while time.monotonic() < end:
                await to.send(masked(BINARY, frame))
                opcode, payload = await to.frame()
                if opcode == 9:  # a ping
                    await to.send(masked(0x8A, payload))
                    opcode, payload = await to.frame()
                right = opcode == 1 and json.loads(payload).get("frame") == number
                self.outcomes["stream right" if right else f"stream WRONG {payload!r}"] += 1
                if not right:
                    return
                number += 1
                await asyncio.sleep(0.2)

    def report(self) -> dict:
        cuts = quantiles(self.seconds, n=100, method="inclusive")
        times = {f"p{p}_ms": round(1000 * cuts[p - 1]) for p in (50, 95, 99)}
        return {"outcomes": dict(self.outcomes), **times, "max_ms": round(1000 * max(self.seconds))}


# --- The run -------------------------------------------------------------------------------------


def start(model: str) -> tuple[subprocess.Popen, str]:
    """Start a service and wait until it answers."""
    command = [sys.executable, "-m", "mixtconv", "serve", model, "--port", "0", "--no-page"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if match := re.search(r"serving at (http://\S+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, match[1]
    raise SystemExit(f"the service did not start: {' '.join(command)}")


def gauges(address: str) -> dict[str, float]:
    """Memory, descriptors and what is open in the service."""
    text = httpx.get(f"{address}/metrics", timeout=60).text
    names = {
        "memory_mb": "process_resident_memory_bytes",
        "descriptors": "process_open_fds",
        "in_flight": "mixtconv_requests_in_flight",
        "live_streams": "mixtconv_live_streams",
    }
    found = {
        key: float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])
        for key, name in names.items()
    }
    return {**found, "memory_mb": round(found["memory_mb"] / 1e6, 1)}


async def watch(address: str, end: float, peak: dict[str, float], ready: list[float]) -> None:
    """Ask for the state every second."""
    while time.monotonic() < end:
        started = time.monotonic()
        now = await asyncio.to_thread(gauges, address)
        ready.append(time.monotonic() - started)
        for key, value in now.items():
            peak[key] = max(value, peak.get(key, 0))
        await asyncio.sleep(1)


async def trial(address: str, video: Path, options: argparse.Namespace) -> dict:
    """Honest clients alone, then with the hostile ones; plain values."""
    port, content = int(address.rpartition(":")[2]), video.read_bytes()
    with av.open(str(video)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24", width=64, height=64)
    frame = struct.pack("<HH", 64, 64) + picture.tobytes()
    has_streams = httpx.get(f"{address}/v1/model").json()["live"]

    async def honest(end: float, number: int = options.honest) -> Honest:
        seen = Honest()
        clients = [seen.files(address, content, end) for _ in range(number)]
        await asyncio.gather(*clients, *([seen.stream(port, frame, end)] if has_streams else []))
        return seen

    seconds = min(60.0, 6 * options.minutes)
    # Memory for batches of every size is taken once.
    await honest(time.monotonic() + seconds, number=4 * options.honest)
    alone = await honest(time.monotonic() + seconds)
    await asyncio.sleep(1)
    before, peak, waits, outcomes = gauges(address), {}, [], Counter()
    end = time.monotonic() + 60 * options.minutes
    together = asyncio.create_task(honest(end))
    await asyncio.sleep(1)  # the honest stream has its place
    attackers = [
        asyncio.create_task(attack(HOSTILE[n % len(HOSTILE)], port, content, end, outcomes))
        for n in range(options.hostile)
    ]
    await watch(address, end, peak, waits)
    seen = await together
    for each in attackers:
        each.cancel()
    await asyncio.gather(*attackers, return_exceptions=True)
    for _ in range(30):
        await asyncio.sleep(1)
        after = gauges(address)
        if not after["in_flight"] and not after["live_streams"]:
            break
    hostile: dict[str, dict[str, int]] = {}
    for (name, outcome), number in sorted(outcomes.items()):
        hostile.setdefault(name, {})[outcome] = number
    return {
        "alone": alone.report(),
        "among hostile clients": seen.report(),
        "hostile": hostile,
        "longest wait for /metrics, ms": round(1000 * max(waits)),
        "state": {"before": before, "peak": peak, "after": after},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("video", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--honest", type=int, default=8, help="clients that send the video")
    parser.add_argument("--hostile", type=int, default=56)
    options = parser.parse_args()
    process, address = start(options.model)
    try:
        print(json.dumps(asyncio.run(trial(address, options.video, options)), indent=2))
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
