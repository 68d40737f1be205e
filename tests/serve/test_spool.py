"""Files of requests: gone with the request, the service, or its heir."""

import os
import tempfile
from pathlib import Path

import pytest

from mixtconv.serve.spool import PREFIX, Spool, remove_abandoned


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_file_is_gone_after_its_block_whatever_happens_in_it() -> None:
    spool = Spool()
    with pytest.raises(RuntimeError), spool.file() as path:
        path.write_bytes(b"x")
        assert path.suffix == "" and path.stat().st_mode & 0o077 == 0
        raise RuntimeError
    assert not path.exists()
    with spool.file() as path:
        path.unlink()  # somebody else was quicker
    spool.close()
    assert not spool.folder.exists()


def test_the_folder_of_a_killed_service_is_removed_and_that_of_a_living_one_is_not(
    parent: Path,
) -> None:
    living = Spool()
    pid = os.fork()
    if pid == 0:  # a service that is killed
        Spool().folder.joinpath("clip").write_bytes(b"x")
        os._exit(9)
    os.waitpid(pid, 0)
    assert len(list(parent.glob(f"{PREFIX}*"))) == 2
    (parent / f"{PREFIX}unmade").mkdir()  # another that is just being made has no lock yet
    (parent / f"{PREFIX}link").symlink_to(parent)
    remove_abandoned(parent)
    assert living.folder.is_dir()
    names = {path.name for path in parent.iterdir()}
    assert names == {living.folder.name, f"{PREFIX}unmade", f"{PREFIX}link"}
    living.close()
