"""The service under load on this machine: throughput and latency, with and without batching.

    python benchmarks/serve_load.py MODEL VIDEO

Two services run side by side, one that batches across clients and one that does not. In every round
each number of clients loads one and then the other, so that a slow phase of the machine affects
both; a ratio is taken inside each round before the median. Every client sends its next request as
soon as it has the answer. Clients and both services share the processors of this machine.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import httpx

MODES = {
    "unbatched": ("--batch-size", "1", "--batch-wait-ms", "0"),
    "batched": ("--batch-size", "8", "--batch-wait-ms", "5"),
}


@dataclass
class Service:
    """A running service."""

    name: str
    process: subprocess.Popen
    address: str

    def gauge(self, name: str) -> float:
        """The value of one of its metrics."""
        text = httpx.get(f"{self.address}/metrics", timeout=60).text
        return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])

    def state(self) -> dict[str, float]:
        """Memory and open files of the process."""
        return {
            "memory_mb": self.gauge("process_resident_memory_bytes") / 1e6,
            "descriptors": self.gauge("process_open_fds"),
        }


@dataclass
class Measured:
    """Measurements of one service with one number of clients."""

    seconds: list[float] = field(default_factory=list)
    """Latencies, over all rounds."""
    rates: list[float] = field(default_factory=list)
    """Answers a second, of each round."""
    failed: int = 0
    """Answers other than 200."""


def start(name: str, model: str, workers: int) -> Service:
    """Start a service and wait until it answers."""
    command = [sys.executable, "-m", "mixtconv", "serve", model, "--port", "0", "--no-page"]
    command += [*MODES[name], "--workers", str(workers), "--max-requests", "256"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if match := re.search(r"serving at (http://\S+)", line):
            return Service(name, process, match[1])
    raise SystemExit(f"the service did not start: {' '.join(command)}")


async def load(service: Service, video: bytes, clients: int, seconds: float, to: Measured) -> None:
    """Run clients for so many seconds and record their answers."""
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients)

    async with httpx.AsyncClient(base_url=service.address, timeout=120, limits=limits) as http:

        async def client() -> int:
            answered = 0
            while time.monotonic() < end:
                started = time.monotonic()
                answer = await http.post("/v1/predict", files={"file": video})
                to.seconds.append(time.monotonic() - started)
                to.failed += answer.status_code != 200
                answered += 1
            return answered

        started = time.monotonic()
        answered = await asyncio.gather(*(client() for _ in range(clients)))
        to.rates.append(sum(answered) / (time.monotonic() - started))


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Percentiles of the latency in milliseconds."""
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {f"p{p}_ms": round(1000 * cuts[p - 1], 1) for p in (50, 95, 99)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("video", type=Path)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1, help="decoders of each service")
    parser.add_argument("--format", choices=["table", "json"], default="table")
    options = parser.parse_args()

    services = [start(name, options.model, options.workers) for name in MODES]
    try:
        report = measure(services, options)
    finally:
        for service in services:
            service.process.terminate()
            service.process.wait()
    if options.format == "json":
        print(json.dumps(report, indent=2))
        return
    columns = ("clients", "service", "requests_a_second", "p50_ms", "p95_ms", "p99_ms", "times")
    print("".join(f"{name:>19}" for name in columns))
    for row in report["load"]:
        print("".join(f"{row[name]!s:>19}" for name in columns))
    for name, states in report["state"].items():
        print(f"{name}: {states['before']} before, {states['after']} after")


def measure(services: list[Service], options: argparse.Namespace) -> dict:
    """Measure all rounds; plain values."""
    video = options.video.read_bytes()
    results = {(n, s.name): Measured() for n in options.clients for s in services}
    for service in services:  # warm up: allocations that happen once
        asyncio.run(load(service, video, max(options.clients), 1, Measured()))
    before = {service.name: service.state() for service in services}
    for number in range(options.rounds):
        for clients in options.clients:
            for service in services if number % 2 == 0 else services[::-1]:
                result = results[clients, service.name]
                asyncio.run(load(service, video, clients, options.seconds, result))
    time.sleep(1)
    rows = []
    for (clients, name), result in results.items():
        others = results[clients, "unbatched"].rates
        ratios = [mine / theirs for mine, theirs in zip(result.rates, others, strict=True)]
        rows.append(
            {
                "clients": clients,
                "service": name,
                "requests_a_second": round(median(result.rates), 1),
                **percentiles(result.seconds),
                "times": round(median(ratios), 2),
                "failed": result.failed,
            }
        )
    state = {s.name: {"before": before[s.name], "after": s.state()} for s in services}
    return {"load": rows, "state": state}


if __name__ == "__main__":
    main()
