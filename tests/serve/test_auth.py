"""The token: where it is read from, and which requests it allows."""

import base64
from pathlib import Path

import pytest

from mixtconv.serve.guard import COOKIE, TOKEN_VARIABLE, TokenAuth, read_token

TOKEN = "a-token-of-some-length"


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


def test_it_comes_from_a_file_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    assert read_token(str(file), {TOKEN_VARIABLE: "another-token-of-length"}) == TOKEN
    assert read_token(None, {TOKEN_VARIABLE: TOKEN}) == TOKEN
    assert read_token(None, {}) is None


@pytest.mark.parametrize("token", ["", "short", "ä" * 20, "with\nlines-of-some-length"])
def test_a_weak_token_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ValueError, match="openssl rand") as caught:
        read_token(None, {TOKEN_VARIABLE: token})
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize(
    ("authorization", "passes"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN}", True),
        (basic(TOKEN), True),
        ("", False),
        ("Bearer", False),
        ("Bearer ", False),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN[:-1]}", False),
        (f"Digest {TOKEN}", False),
        (TOKEN, False),
        (basic(""), False),
        ("Basic ???", False),
        ("Basic /w==", False),
    ],
)
def test_who_passes(authorization: str, passes: bool) -> None:
    assert TokenAuth(TOKEN).allows({"authorization": authorization}) is passes
    assert TokenAuth(None).allows({"authorization": authorization})


def test_a_browser_gets_a_cookie_that_another_run_does_not_take() -> None:
    auth = TokenAuth(TOKEN)
    assert auth.cookie_for({"authorization": f"Bearer {TOKEN}"}) is None
    cookie = auth.cookie_for({"authorization": basic(TOKEN)})
    assert cookie is not None and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    pair = cookie.partition(";")[0]
    assert auth.allows({"cookie": f"other=1; {pair}"})
    assert not TokenAuth(TOKEN).allows({"cookie": pair})
    assert not auth.allows({"cookie": f"{COOKIE}="})
    assert not auth.allows({"cookie": f"{COOKIE}; ="})
