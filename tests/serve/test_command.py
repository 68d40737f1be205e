"""`mixtconv serve` as a process: it starts, warns, finishes what it began, and leaves nothing."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from mixtconv.cli.main import main
from mixtconv.serve.service import PREFIX

TOKEN = "a-token-of-some-length"


@contextmanager
def started(model: Path, folder: Path, *flags: str, **environment: str) -> Iterator:
    """The command, as soon as it answers, with its address and what it has said."""
    command = [sys.executable, "-m", "mixtconv", "serve", str(model), "--port", "0", "--no-page"]
    process = subprocess.Popen(
        [*command, "--workers", "1", "--device", "cpu", *flags],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1"} | environment,
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"serving at (http://\S+)", line):
            break
    else:
        raise AssertionError("".join(said))
    try:
        yield process, found[1], said
    finally:
        process.kill()
        process.communicate()


def children(pid: int) -> list[int]:
    """The processes that a process has started: of a service the server of processes and another
    of Python's own."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def decoders(process: subprocess.Popen) -> list[int]:
    """The processes that decode: children of the server of processes."""
    return [each for child in children(process.pid) for each in children(child)]


def wait_gone(pid: int) -> None:
    """Return when a process has ended."""
    end = time.monotonic() + 10
    state = Path(f"/proc/{pid}/stat")
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
def test_sigterm_lets_a_request_finish_and_leaves_nothing(
    causal_file: Path, clip: Path, tmp_path: Path
) -> None:
    abandoned = tmp_path / f"{PREFIX}of-one-that-was-killed"
    abandoned.mkdir()
    (abandoned / "clip").touch()
    token = tmp_path / "token"
    token.write_text(TOKEN)
    flags = ("--host", "0.0.0.0", "--token-file", str(token))
    with started(causal_file, tmp_path, *flags) as (process, everywhere, said):
        address = everywhere.replace("0.0.0.0", "127.0.0.1")
        assert not abandoned.exists()
        assert not any("everybody" in line for line in said)
        assert httpx.get(f"{address}/v1/model").status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        (decoder,) = decoders(process)
        os.kill(decoder, signal.SIGSTOP)
        answers = []

        def ask() -> None:
            files = {"file": clip.read_bytes()}
            answers.append(
                httpx.post(f"{address}/v1/predict", files=files, headers=bearer, timeout=30)
            )

        client = threading.Thread(target=ask)
        client.start()
        while "in_flight 1.0" not in httpx.get(f"{address}/metrics", headers=bearer).text:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        os.kill(decoder, signal.SIGTERM)  # as a supervisor does, to all of a group
        with pytest.raises(httpx.TransportError):
            while True:  # until nobody new is let in
                httpx.get(f"{address}/health/live", timeout=5)
                time.sleep(0.05)
        os.kill(decoder, signal.SIGCONT)
        client.join()
        assert answers[0].status_code == 200
        assert process.wait(20) == 0
        wait_gone(decoder)
    assert list(tmp_path.iterdir()) == [token]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
def test_a_killed_service_leaves_no_process(onnx_file: Path, tmp_path: Path) -> None:
    with started(onnx_file, tmp_path, "--host", "0.0.0.0") as (process, _, said):
        assert any("everybody who reaches" in line and "--token-file" in line for line in said)
        (decoder,), others = decoders(process), children(process.pid)
        assert len(others) >= 1
        for each in (process.pid, decoder):  # an exported model needs none
            assert "libtorch" not in Path(f"/proc/{each}/maps").read_text()
        process.kill()
        process.wait()
        for each in (decoder, *others):
            wait_gone(each)


def test_service_and_page_need_neither_torch_nor_gradio_nor_pandas() -> None:
    code = (
        "import sys; sys.modules |= dict.fromkeys(['torch', 'gradio', 'pandas']);"
        "import mixtconv.serve.server, mixtconv.serve.page"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("fcntl", "Linux and macOS only"),
        ("resource", "Linux and macOS only"),
        ("uvicorn", "needs uvicorn, which is not installed: pip install uvicorn\n"),
    ],
)
def test_what_is_missing_is_said(module: str, words: str) -> None:
    code = (
        f"import sys; sys.modules['{module}'] = None; from mixtconv.cli.main import main;"
        "sys.exit(main(['serve', 'model.safetensors', '--port', '0']))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]  # others warn of it
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2 and words in run.stderr and run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--port", "99999"], "--port is 99999"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--max-upload-mb", "0"], "--max-upload-mb is 0"),
        (["--allow", "/nowhere/at/all"], "--allow has"),
        (["--token-file", "/nowhere/token"], "/nowhere/token"),
        (["--host", "203.0.113.7"], "assign requested address"),
        ([], "no model file"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    flags: list[str], words: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["serve", "nothing.safetensors", "--port", "0", *flags]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
