"""The service as its clients see it: right answers, clear refusals, nothing left behind."""

import concurrent.futures
import dataclasses
import errno
import gc
import os
import signal
import socket
import threading
import time
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest

from mixtconv.inference.engine_recognizers import EngineRecognizer
from mixtconv.inference.timeline import predict_windows
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import create_model, load_model, save_model
from mixtconv.serve import guard
from mixtconv.serve import requests as uploads
from mixtconv.serve.service import open_service
from mixtconv.serve.sources import AllowedSources
from mixtconv.video.windows import WindowPlan


@pytest.fixture(scope="module")
def recognizer(causal_file: Path) -> Recognizer:
    return Recognizer(causal_file, device="cpu")


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def same(got: list[dict], wanted: list) -> bool:
    names = [each["label"] for each in got] == [each.label for each in wanted]
    return names and [each["score"] for each in got] == pytest.approx(
        [each.score for each in wanted], abs=1e-5
    )


def wait_in_flight(server, number: int) -> None:
    """Return when so many requests are in work."""
    while f"mixtconv_requests_in_flight {number}.0" not in server.client.get("/metrics").text:
        time.sleep(0.01)


def test_labels_are_those_of_prediction_here(server, recognizer: Recognizer, clip: Path) -> None:
    answer = server.predict(clip, top_k=2, frames=True).json()
    assert same(answer["predictions"], recognizer.predict(clip, top_k=2))
    assert answer["video"] == {
        "width": 96,
        "height": 64,
        "codec": "h264",
        "seconds": 2.4,
        "start": 0,
    }
    assert [frame["number"] for frame in answer["frames"]] == [7, 22, 37, 52]
    assert all(frame["jpeg"].startswith("/9j/") for frame in answer["frames"])
    assert server.predict(clip).json()["frames"] is None


def test_a_timeline_is_that_of_prediction_here(server, recognizer: Recognizer, clip: Path) -> None:
    answer = server.timeline(clip, window="1s", stride="500ms", top_k=3).json()
    expected = list(predict_windows(recognizer, clip, WindowPlan.parse("1s", "500ms"), top_k=3))
    assert len(answer["windows"]) == len(expected)
    for got, wanted in zip(answer["windows"], expected, strict=True):
        assert same(got.pop("predictions"), list(wanted.predictions))
        assert got == {k: v for k, v in wanted.to_dict().items() if k != "predictions"}
    assert answer["segments"][0]["start"] == 0 and answer["segments"][-1]["end"] == 2.4


def test_clients_are_batched_and_get_the_same(
    service, running, causal_file: Path, recognizer: Recognizer, media, tmp_path: Path
) -> None:
    paths = [media.encode(tmp_path / f"{n}.mp4", media.moving_frames(8, seed=n)) for n in range(6)]
    expected = [recognizer.predict(path, top_k=3) for path in paths]
    # Whole batches, however slow decoding is.
    settings = dataclasses.replace(service.settings, batch_size=3, batch_wait_ms=10_000)
    with (
        open_service(str(causal_file), settings) as batching,
        running(batching) as server,
        concurrent.futures.ThreadPoolExecutor(6) as threads,
    ):
        os.kill(server.decoder, signal.SIGSTOP)
        asked = [threads.submit(server.predict, path, top_k=3) for path in paths]
        wait_in_flight(server, 6)
        os.kill(server.decoder, signal.SIGCONT)
        answers = [each.result().json() for each in asked]
        text = server.client.get("/metrics").text
    assert "mixtconv_batch_size_count 2.0" in text and "mixtconv_batch_size_sum 6.0" in text
    assert 'mixtconv_batch_size_bucket{le="2.0"} 0.0' in text
    for answer, wanted in zip(answers, expected, strict=True):
        assert same(answer["predictions"], wanted)


def test_files_that_are_refused(server, media, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.mp4"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**8))
    colour = np.full((361, 32, 32, 3), 90, dtype=np.uint8)
    hours = media.encode(tmp_path / "l.mp4", colour, times=[60_000 * n for n in range(361)])
    large = media.encode(tmp_path / "w.mp4", np.zeros((2, 1080, 1920, 3), dtype=np.uint8))
    garbage = np.random.default_rng(0).bytes(100_000)
    assert code(server.predict(bomb)) == (415, "not_a_video")
    assert code(server.predict(garbage)) == (415, "not_a_video")
    assert code(server.predict(b"")) == (415, "not_a_video")
    assert code(server.predict(hours)) == (422, "too_long")
    assert code(server.timeline(hours)) == (422, "too_long")
    assert code(server.predict(large)) == (422, "too_many_pixels")
    assert code(server.predict(bytes(3_000_000))) == (413, "too_large")


def test_a_full_disk_is_no_internal_error(
    server, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(upload, path: Path) -> None:
        path.write_bytes(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(uploads, "_copy", full)
    refused = server.predict(clip)
    assert code(refused) == (503, "busy") and "Retry-After" in refused.headers
    server.wait_idle()  # the part is gone
    monkeypatch.undo()
    assert server.predict(clip).status_code == 200


def test_a_body_that_does_not_say_how_large_it_is(server) -> None:
    def endless():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield bytes(100_000)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    response = server.client.post("/v1/predict", content=endless(), headers=kind)
    assert code(response) == (413, "too_large")
    response = server.client.post("/v1/predict-source", content=bytes(70_000))
    assert code(response) == (413, "too_large")


def test_requests_that_are_refused(server, clip: Path) -> None:
    client = server.client
    assert code(server.predict(clip, top_k=0)) == (422, "invalid")
    assert code(server.timeline(clip, window="soon")) == (422, "invalid")
    assert code(server.timeline(clip, window="1s", stride="8f")) == (422, "invalid")
    assert code(server.timeline(clip, stride="50ms")) == (422, "too_long")
    assert code(client.post("/v1/predict", json={})) == (422, "invalid")
    assert code(client.post("/v1/predict", data={"file": "text"}, files={})) == (422, "invalid")
    many = [("file", ("a", b"x")), ("file", ("b", b"x"))]
    assert code(client.post("/v1/predict", files=many)) == (400, "bad_request")
    broken = {"Content-Type": "multipart/form-data"}
    assert code(client.post("/v1/predict", content=b"x", headers=broken)) == (400, "bad_request")
    assert code(client.get("/v1/predict")) == (405, "method_not_allowed")
    assert code(client.get("/nothing")) == (404, "not_found")
    assert code(client.get("/v1/model", headers={"Host": "evil.example"})) == (421, "wrong_host")
    assert code(client.get("/v1/model", headers={"Origin": "http://evil.example"})) == (
        403, "forbidden",
    )  # fmt: skip
    own = {"Origin": server.address}
    assert client.get("/v1/model", headers=own).status_code == 200


NAMES = [
    "a" * 255, "a" * 256, "é" * 128, "a" * 5000, "a/" * 3000, "a%00b", "%00", "page.css%00", "%ff",
    "%ed%b2%80", "%F0%9F%98%80" * 70, "..%2f..%2fetc%2fpasswd", "page.css/a", "%0a",
]  # fmt: skip


def test_addresses_that_no_file_can_have(service, running) -> None:
    with running(service, page=True) as server:
        assert server.client.get("/static/page.css").status_code == 200
        for folder in ("/assets/", "/static/", "/static/swagger/", "/v1/", "/docs/"):
            for name in NAMES:
                answer = server.client.get(folder + name)
                assert code(answer) == (404, "not_found"), folder + name


def test_sources(service, running, clip: Path, recognizer: Recognizer) -> None:
    def ask(server, source: str, address: str = "/v1/predict-source") -> httpx.Response:
        return server.client.post(address, json={"source": source})

    with running(service) as server:
        assert code(ask(server, str(clip))) == (403, "forbidden")
        assert code(ask(server, "http://127.0.0.1/a.mp4")) == (403, "forbidden")
    allowed = AllowedSources.parse(str(clip.parent))
    with running(dataclasses.replace(service, sources=allowed)) as server:
        answer = ask(server, str(clip))
        assert same(answer.json()["predictions"], recognizer.predict(clip))
        assert len(ask(server, str(clip), "/v1/timeline-source").json()["windows"]) == 1
        assert code(ask(server, "/etc/passwd")) == (403, "forbidden")
    assert clip.exists()


def test_model_health_and_metrics(server, clip: Path) -> None:
    about = server.client.get("/v1/model").json()
    assert about["classes"] == ["wave", "jump", "run <fast>"] and about["live"]
    assert "# mstnet_test_resnet" in about["card"]
    assert server.client.get("/health/live").json() == {"status": "live"}
    assert server.client.get("/health/ready").json() == {"status": "ready"}
    server.predict(clip)
    text = server.client.get("/metrics").text
    assert 'mixtconv_requests_total{route="/v1/predict",status="200"}' in text
    assert "process_resident_memory_bytes" in text and "mixtconv_batch_size_bucket" in text


def raw(server, content: bytes) -> socket.socket:
    address = httpx.URL(server.address)
    connection = socket.create_connection((address.host, address.port or 80), timeout=10)
    connection.sendall(content)
    return connection


def head(server, length: int) -> bytes:
    host = server.address.removeprefix("http://")
    return (
        f"POST /v1/predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    ).encode()


def body(content: bytes) -> bytes:
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return start + content + b"\r\n--x--\r\n"


def test_slow_senders_are_told(server) -> None:
    started = time.monotonic()
    with raw(server, head(server, 10_000) + body(b"")[:-9]) as connection:
        connection.settimeout(0.2)
        answer = b""
        while b'"}}' not in answer:
            try:
                if not answer:
                    connection.sendall(b"-")  # a byte now and then does not help
                answer += connection.recv(10_000)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408") and b'"too_slow"' in answer
    assert 1.5 < time.monotonic() - started < 20


def test_a_sender_that_falls_silent_is_told_sooner(
    service, running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PAUSE_SECONDS", 0.3)
    settings = dataclasses.replace(service.settings, send_seconds=600)
    with running(dataclasses.replace(service, settings=settings)) as server:
        with raw(server, head(server, 10_000) + body(b"")[:-9]) as connection:
            for _ in range(6):  # for longer than a pause may be
                connection.sendall(b"-")
                time.sleep(0.1)
            answer = b""
            while b'"}}' not in answer:
                answer += connection.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 408") and b"for 0.3 seconds" in answer


def num_replaced(server, reason: str) -> float:
    """Decoders that were replaced for a reason."""
    start = f'mixtconv_decoders_replaced_total{{reason="{reason}"}} '
    lines = server.client.get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(start)) for line in lines if line.startswith(start))


def test_clients_that_hang_up(server, clip: Path) -> None:
    video = body(clip.read_bytes())
    with raw(server, head(server, len(video)) + video[:1000]):
        time.sleep(0.1)
    server.wait_idle()
    decoder = server.decoder
    before = num_replaced(server, "left"), num_replaced(server, "timeout")
    os.kill(decoder, signal.SIGSTOP)
    with raw(server, head(server, len(video)) + video):
        wait_in_flight(server, 1)
        with raw(server, head(server, len(video)) + video):  # waits for the first
            wait_in_flight(server, 2)
    server.wait_idle()
    assert server.predict(clip).status_code == 200
    assert server.decoder != decoder
    assert num_replaced(server, "left") == before[0] + 1  # at once, not when its time is up
    assert num_replaced(server, "timeout") == before[1]


def test_a_decoder_that_hangs_or_dies_costs_one_request(server, clip: Path) -> None:
    os.kill(server.decoder, signal.SIGSTOP)
    assert code(server.predict(clip)) == (504, "decode_timeout")
    assert server.predict(clip).status_code == 200
    os.kill(server.decoder, signal.SIGKILL)
    assert server.predict(clip).status_code == 200
    text = server.client.get("/metrics").text
    assert 'mixtconv_decoders_replaced_total{reason="timeout"}' in text


def test_a_decoder_that_others_kill_is_not_the_fault_of_the_file(server, clip: Path) -> None:
    killed: set[int] = set()

    def kill_two() -> None:
        while len(killed) < 2:
            if (pid := server.decoder) not in killed | {0}:  # 0: it is being started
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            time.sleep(0.001)

    os.kill(server.decoder, signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        asked = threads.submit(server.predict, clip)
        wait_in_flight(server, 1)
        threads.submit(kill_two).result()
        answer = asked.result()
    assert code(answer) == (503, "busy") and int(answer.headers["Retry-After"]) > 0
    assert num_replaced(server, "killed") >= 1  # the second may not have been ready yet
    assert server.predict(clip).status_code == 200


def test_what_is_not_done_when_the_service_stops_is_told(service, running, clip: Path) -> None:
    settings = dataclasses.replace(service.settings, stop_seconds=0.5)

    def ask(address: str) -> httpx.Response:
        files = {"file": clip.read_bytes()}
        return httpx.post(f"{address}/v1/predict", files=files, timeout=20)

    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        with running(dataclasses.replace(service, settings=settings)) as server:
            os.kill(server.decoder, signal.SIGSTOP)
            asked = threads.submit(ask, server.address)
            wait_in_flight(server, 1)
        os.kill(server.decoder, signal.SIGCONT)
        assert code(asked.result()) == (503, "busy")


def test_too_much_to_do(server, service, clip: Path) -> None:
    limit = service.settings.max_requests
    os.kill(server.decoder, signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(limit) as threads:
        waiting = [threads.submit(server.predict, clip) for _ in range(limit)]
        wait_in_flight(server, limit)
        try:
            refused = server.predict(clip)
        except httpx.ReadError:  # it is answered, and its connection closed, while it still sends
            refused = server.predict(clip)
        assert code(refused) == (503, "busy") and int(refused.headers["Retry-After"]) > 0
        assert server.client.get("/health/live").status_code == 200
        os.kill(server.decoder, signal.SIGCONT)
        assert {each.result().status_code for each in waiting} == {200}


def test_an_internal_error_tells_nothing(
    service, running, onnx_file: Path, media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dark = media.encode(tmp_path / "dark.mp4", np.zeros((8, 48, 64, 3), dtype=np.uint8))
    bright = media.encode(tmp_path / "bright.mp4", np.full((8, 48, 64, 3), 250, dtype=np.uint8))
    compute = EngineRecognizer.batch_logits

    def fails_on_bright(self, views: list) -> list:
        if any(each.mean() > 128 for each in views):
            raise RuntimeError(f"secret {tmp_path}")
        return compute(self, views)

    monkeypatch.setattr(EngineRecognizer, "batch_logits", fails_on_bright)
    with open_service(str(onnx_file), service.settings) as failing, running(failing) as server:
        assert code(server.predict(bright)) == (500, "internal")
        assert server.predict(dark).status_code == 200


def test_descriptors_and_threads_are_where_they_were(server, clip: Path) -> None:
    def rounds() -> None:
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: server.predict(clip), range(12)))
        server.predict(b"garbage")
        for _ in range(5):
            raw(server, head(server, 100)).close()
        server.wait_idle()

    def counts() -> tuple[int, int]:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    rounds()
    before = counts()
    for _ in range(3):
        rounds()
    until = time.monotonic() + 20  # threads of a busy moment end when they are not needed again
    while True:
        after = counts()
        if after[0] <= before[0] + 4 and after[1] <= before[1] + 2:
            break
        assert time.monotonic() < until, (before, after)
        time.sleep(0.2)


def test_a_token(service, running, clip: Path) -> None:
    with running(service, token="a-token-of-some-length") as server:
        assert code(server.predict(clip)) == (401, "unauthorized")
        assert server.client.get("/health/ready").status_code == 200
        server.client.headers["Authorization"] = "Bearer a-token-of-some-length"
        assert server.predict(clip).status_code == 200
        schemes = server.client.get("/openapi.json").json()["components"]["securitySchemes"]
        assert schemes["HTTPBearer"]["scheme"] == "bearer"
        server.client.headers["Authorization"] = "Bearer wrong"
        answer = server.client.get("/v1/model")
        assert code(answer) == (401, "unauthorized") and "Basic" in answer.headers[
            "WWW-Authenticate"
        ]  # fmt: skip


def test_models_that_are_not_for_it(service, tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="no model file"),
        open_service(str(tmp_path / "none.safetensors"), service.settings),
    ):
        pass
    names = ["a", "b"]
    flow = create_model("tsn_test_resnet", classes=names, modality="flow", num_frames=4)
    save_model(flow, tmp_path / "flow.safetensors")
    with (
        pytest.raises(ValueError, match="optical flow"),
        open_service(str(tmp_path / "flow.safetensors"), service.settings),
    ):
        pass


def test_an_exported_model(service, running, onnx_file: Path, media, tmp_path: Path) -> None:
    blue = np.zeros((8, 48, 64, 3), dtype=np.uint8)
    blue[..., 2] = 200
    clip = media.encode(tmp_path / "blue.mp4", blue)
    with open_service(str(onnx_file), service.settings) as exported, running(exported) as server:
        answer = server.predict(clip, frames=True).json()
        assert same(answer["predictions"], EngineRecognizer(onnx_file).predict(clip))
        assert answer["predictions"][0]["label"] == "blue" and len(answer["frames"]) == 4
        windows = server.timeline(clip, window="4f").json()["windows"]
        assert [each["predictions"][0]["label"] for each in windows] == ["blue", "blue"]
        about = server.client.get("/v1/model").json()
        assert about["classes"] == ["red", "green", "blue"] and not about["live"]
        assert str(onnx_file.parent) not in about["live_refused"]
        assert about["live_refused"].startswith("the model takes whole clips")


def test_a_video_that_the_model_rejects_has_no_label(
    service, causal_file: Path, clip: Path, tmp_path: Path, running
) -> None:
    model = load_model(causal_file)
    model.spec = dataclasses.replace(model.spec, rejection_thresholds=(1.0,) * model.num_classes)
    save_model(model, tmp_path / "model.safetensors")
    path = str(tmp_path / "model.safetensors")
    with open_service(path, service.settings) as rejecting, running(rejecting) as server:
        answer = server.predict(clip).json()
        assert answer["predictions"] == []
        [best] = Recognizer(causal_file).predict(clip, top_k=1)
        assert answer["rejected"]["label"] == best.label
        assert answer["rejected"]["score"] == pytest.approx(best.score, abs=1e-5)
        timeline = server.timeline(clip, window="1s").json()
        assert timeline["segments"] == [] and timeline["windows"]
