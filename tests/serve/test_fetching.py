"""Fetching: no farther, no larger and no longer than allowed."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from mixtconv.serve.errors import ServiceError
from mixtconv.serve.settings import Limits
from mixtconv.serve.sources import AllowedSources, fetch, is_public


class Site(BaseHTTPRequestHandler):
    """Files, redirects, endless files and silence."""

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        if name.startswith("to-"):
            target = {"to-file": "file", "to-out": "/secret/file", "to-itself": "to-itself"}
            target["to-elsewhere"] = "http://localhost:1/clips/file"
            target |= {"to-no-url": "http://[::1", "to-no-address": "//[a]/clips/"}
            self.send_response(302)
            self.send_header("Location", target[name])
            self.end_headers()
            return
        if name == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        pieces = {"file": 3, "endless": 10**9, "silent": 1}[name]
        try:
            for _ in range(pieces):
                self.wfile.write(b"x" * 1000)
            time.sleep(3 if name == "silent" else 0)
        except OSError:
            return

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetched(site: str, name: str, path: Path, *, allow_private: bool = True) -> bytes:
    path.touch()
    work = fetch(
        f"{site}/clips/{name}",
        path,
        allowed=AllowedSources.parse(f"{site}/clips/", allow_private=allow_private),
        limits=Limits(max_upload_mb=0.01, send_seconds=1),
    )
    asyncio.run(work)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["file", "to-file"])
def test_a_file_arrives_whole(site: str, name: str, tmp_path: Path) -> None:
    assert fetched(site, name, tmp_path / "f") == b"x" * 3000


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("to-out", "forbidden"),
        ("to-elsewhere", "forbidden"),
        ("to-itself", "source_failed"),
        ("to-no-url", "source_failed"),
        # Older ones take the host `a` from it, which is another site.
        ("to-no-address", "source_failed" if sys.version_info >= (3, 11, 4) else "forbidden"),
        ("missing", "source_failed"),
        ("endless", "too_large"),
        ("silent", "decode_timeout"),
    ],
)
def test_what_goes_too_far(site: str, name: str, code: str, tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as caught:
        fetched(site, name, tmp_path / "f")
    assert caught.value.code == code
    assert (tmp_path / "f").stat().st_size <= 10_000


def test_private_addresses_are_refused_unless_allowed(site: str, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="private network") as caught:
        fetched(site, "file", tmp_path / "f", allow_private=False)
    assert caught.value.code == "forbidden"


@pytest.mark.parametrize("site", ["http://127.0.0.1:1", f"http://{'a' * 64}.example"])
def test_nobody_there(site: str, tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as caught:
        fetched(site, "file", tmp_path / "f")
    assert caught.value.code == "source_failed"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0",
     "224.0.0.1", "100.64.0.1", "::1", "fe80::1%eth0", "fc00::1", "::", "fec0::1",
     "64:ff9b:1::808:808"],
)  # fmt: skip
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


def standing_for(address: str) -> list[str]:
    """IPv6 addresses from which a gateway, or the system, makes an IPv4 address."""
    first, second = (f"{part:x}" for part in divmod(int(IPv4Address(address)), 1 << 16))
    return [
        f"::{address}",
        f"::ffff:{address}",
        f"::ffff:0:{address}",
        f"64:ff9b::{address}",
        f"2002:{first}:{second}::1",
        f"2002:{first}:{second}:1:2:3:4:5",
    ]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "224.0.0.1"])
def test_addresses_that_stand_for_private_ones(address: str) -> None:
    assert [each for each in standing_for(address) if is_public(each)] == []
    inverted = IPv4Address(int(IPv4Address(address)) ^ 0xFFFFFFFF)
    first, second = (f"{part:x}" for part in divmod(int(inverted), 1 << 16))
    assert not is_public(f"2001:0:808:808:0:0:{first}:{second}")  # Teredo


def test_public_addresses() -> None:
    plain = ["9.9.9.9", "2620:fe::fe", "2a00:1450:4001:800::200e"]
    mapped, through_gateways = "::ffff:9.9.9.9", ["64:ff9b::9.9.9.9", "2002:909:909::1"]
    assert all(map(is_public, [*plain, mapped, *through_gateways]))
