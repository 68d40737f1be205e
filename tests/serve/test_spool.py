"""Files of requests: gone with the request, the service, or its heir."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from mixtconv.serve.service import PREFIX, Spool, remove_abandoned


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
    (parent / f"{PREFIX}link").symlink_to(parent)
    remove_abandoned(parent)
    assert living.folder.is_dir()
    names = {path.name for path in parent.iterdir()}
    assert names == {living.folder.name, f"{PREFIX}link"}
    living.close()


def test_two_that_start_at_once_both_have_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make(**options) -> str:
        folder = make_folder(**options)
        made.append(folder)
        if len(made) == 1:  # another starts before this one has locked its folder
            remove_abandoned(Path(folder).parent)
        return folder

    make_folder = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", make)
    spool = Spool()
    assert len(made) == 2 and spool.folder.is_dir()
    remove_abandoned(spool.folder.parent)
    with spool.file() as path:
        assert path.is_file()
    spool.close()


def test_the_folder_itself_is_locked_for_those_who_clean_by_age() -> None:
    spool = Spool()
    folder = os.open(spool.folder, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.close(folder)
    spool.close()
