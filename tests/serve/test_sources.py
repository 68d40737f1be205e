"""What requests may name: below allowed folders, at allowed URLs, and nothing beside."""

from pathlib import Path

import pytest

from mixtconv.serve.errors import ServiceError
from mixtconv.serve.sources import AllowedSources


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    (folder / "inner").mkdir(parents=True)
    for path in (folder / "a.mp4", folder / "inner" / "b.mp4", tmp_path / "secret.mp4"):
        path.write_bytes(b"x")
    (tmp_path / "clips2").mkdir()
    (tmp_path / "clips2" / "c.mp4").write_bytes(b"x")
    (folder / "out.mp4").symlink_to(tmp_path / "secret.mp4")
    (folder / "in.mp4").symlink_to(folder / "a.mp4")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    return folder


def test_files_below_a_folder(clips: Path) -> None:
    allowed = AllowedSources.parse(str(clips))
    for name, real in (("a.mp4", "a.mp4"), ("inner/b.mp4", "inner/b.mp4"), ("in.mp4", "a.mp4")):
        assert allowed.check_file(str(clips / name)) == (clips / real).resolve()


@pytest.mark.parametrize(
    "source",
    ["out.mp4", "loop.mp4", "missing.mp4", "inner", "../secret.mp4", "../clips2/c.mp4",
     "inner/../a.mp4", "a.mp4\0", "/etc/passwd", ""],
)  # fmt: skip
def test_nothing_else(clips: Path, source: str) -> None:
    allowed = AllowedSources.parse(str(clips))
    with pytest.raises(ServiceError) as caught:
        allowed.check_file(f"{clips}/{source}" if not source.startswith("/") else source)
    assert (caught.value.code, caught.value.status_code) == ("forbidden", 403)
    with pytest.raises(ServiceError):
        AllowedSources().check_file(str(clips / "a.mp4"))


URLS = "https://media.example.org/clips/,http://10.0.0.5:8080"


@pytest.mark.parametrize(
    "url",
    ["https://media.example.org/clips/a.mp4", "https://MEDIA.example.org:443/clips/x/a.mp4?v=1",
     "http://10.0.0.5:8080/anything"],
)  # fmt: skip
def test_allowed_urls(url: str) -> None:
    assert AllowedSources.parse(URLS).check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://media.example.org/clips/a.mp4",
        "https://media.example.org/clips2/a.mp4",
        "https://media.example.org/",
        "https://media.example.org/clips/../secret",
        "https://media.example.org/clips/inner/../a.mp4",
        "https://media.example.org/clips/%2e%2e/secret",
        "https://media.example.org/clips/%252e%252e/secret",
        "https://media.example.org/clips/..%5csecret",
        "https://media.example.org.evil.example/clips/a.mp4",
        "https://media.example.org@evil.example/clips/a.mp4",
        "https://me:pw@media.example.org/clips/a.mp4",
        "https://media.example.org:444/clips/a.mp4",
        "https://media.example.org:x/clips/a.mp4",
        "https://evil.example\\@media.example.org/clips/a.mp4",
        "https://media.example.org/clips/a.mp4 HTTP/1.1",
        "https://media.example.org/clips/\na",
        "file:///etc/passwd",
        "ftp://media.example.org/clips/a.mp4",
        "https:///clips/a.mp4",
        "http://[::1/",
        "http://10.0.0.5/anything",
    ],
)
def test_other_urls(url: str) -> None:
    with pytest.raises(ServiceError) as caught:
        AllowedSources.parse(URLS).check_url(url)
    assert caught.value.code == "forbidden"


@pytest.mark.parametrize(
    "allow", ["nowhere", "ftp://a/", "https://", "https://a/?b", "http://a@b/"]
)
def test_what_cannot_be_allowed(allow: str) -> None:
    with pytest.raises(ValueError, match="--allow has"):
        AllowedSources.parse(allow)
