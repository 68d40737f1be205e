"""Request limits that the clients of the other tests cannot show."""

import asyncio

import pytest

from mixtconv.serve.guard import RequestLimits, TokenAuth, _host_name
from mixtconv.serve.metrics import Metrics
from mixtconv.serve.settings import Binding, Limits


async def _answers(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


def test_a_client_that_does_not_read_is_let_go() -> None:
    metrics = Metrics()
    guard = RequestLimits(
        _answers, auth=TokenAuth(None), limits=Limits(send_seconds=0.1), metrics=metrics, hosts=None
    )

    async def never(message) -> None:
        await asyncio.sleep(30)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": []}
    asyncio.run(asyncio.wait_for(guard(scope, receive, never), 5))
    assert b"mixtconv_requests_in_flight 0.0" in metrics.text()


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:8000", "localhost"),
        ("LocalHost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
        (":80", ":80"),
        ("localhost:80@evil.example", "localhost:80@evil.example"),
    ],
)
def test_names_of_hosts(host: str, name: str) -> None:
    assert _host_name(host) == name


@pytest.mark.parametrize(
    ("host", "told", "own"),
    [
        ("localhost:8000", None, {"http"}),
        ("127.0.0.1:8000", None, {"http"}),
        ("[::1]:8000", None, {"http"}),
        ("localhost", "https", {"https"}),
        ("a.example", None, {"http", "https"}),
        ("a.example", "https", {"https"}),
        ("a.example", "http", {"http"}),
        ("a.example", "evil", {"http", "https"}),
    ],
)
def test_pages_of_another_scheme_are_of_another_site(
    host: str, told: str | None, own: set[str]
) -> None:
    """The origin of a page is its scheme, host and port (RFC 6454)."""
    guard = RequestLimits(
        _answers, auth=TokenAuth(None), limits=Limits(), metrics=Metrics(), hosts=None
    )

    def status(origin: str) -> int:
        sent = []

        async def send(message) -> None:
            sent.append(message.get("status"))

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        headers = [(b"host", host.encode()), (b"origin", origin.encode())]
        headers += [(b"x-forwarded-proto", told.encode())] if told else []
        scope = {"type": "http", "method": "GET", "path": "/v1/model", "headers": headers}
        asyncio.run(guard(scope, receive, send))
        return sent[0]

    for scheme in ("http", "https", "evil", "ws", "HTTP", ""):
        assert status(f"{scheme}://{host}") == (200 if scheme in own else 403), scheme
    for origin in (host, f"//{host}", "null", "", f"http://{host}/", f"http://{host}.evil.example"):
        assert status(origin) == 403, origin


def test_which_names_the_service_has() -> None:
    own = Binding().names(is_private=True)
    assert own is not None and "localhost" in own
    assert Binding(host="0.0.0.0").names(is_private=False) is None
    named = Binding(host_names="A.example, b.example,").names(is_private=False)
    assert named == own | {"a.example", "b.example"}


def test_metrics_of_two_services_are_apart() -> None:
    one, other = Metrics(), Metrics()
    one.live_frames.inc()
    assert b"mixtconv_live_frames_total 1.0" in one.text()
    assert b"mixtconv_live_frames_total 0.0" in other.text()
