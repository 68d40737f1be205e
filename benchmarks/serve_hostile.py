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
import json
import re
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import quantiles

import av
import httpx
from hostile_clients import BINARY, HOSTILE, Connection, attack, masked

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
