"""Live streams: the labels of a stream here, a place for each, ended with the connection."""

import asyncio
import json
import struct
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
import websocket
from starlette.websockets import WebSocketDisconnect

from mixtconv.inference.torch_recognizers import Recognizer, StreamingRecognizer
from mixtconv.models import create_model, save_model
from mixtconv.serve.live import MAX_SIDE, read_frame, refuse
from mixtconv.serve.service import _without_path, open_service


def connect(server, **options) -> websocket.WebSocket:
    address = server.address.replace("http", "ws") + "/v1/live?top_k=3"
    return websocket.create_connection(address, timeout=10, **options)


def message(frame: np.ndarray) -> bytes:
    return struct.pack("<HH", frame.shape[1], frame.shape[0]) + frame.tobytes()


def ask(socket: websocket.WebSocket, content: bytes) -> dict:
    socket.send_binary(content)
    return json.loads(socket.recv())


def refusal(socket: websocket.WebSocket) -> tuple[str, int]:
    """Why the service ends a stream, and the code with which it closes the connection."""
    code = json.loads(socket.recv())["error"]["code"]
    _, closing = socket.recv_data()
    return code, int.from_bytes(closing[:2], "big")


def test_streams_side_by_side_are_those_of_a_recognizer_here(
    server, causal_file: Path, media
) -> None:
    videos = [media.moving_frames(6, seed=seed) for seed in range(2)]
    sockets = [connect(server), connect(server)]
    recognizer = StreamingRecognizer(causal_file, max_streams=2, device="cpu")
    streams = [recognizer.start(), recognizer.start()]
    for t in range(6):
        for socket, stream, video in zip(sockets, streams, videos, strict=True):
            got, wanted = ask(socket, message(video[t])), stream.push(video[t], top_k=3)
            assert got["frame"] == t
            scores = {each["label"]: each["score"] for each in got["predictions"]}
            expected = {each.label: each.score for each in wanted.predictions}
            assert scores == pytest.approx(expected, abs=1e-5)
    assert b"mixtconv_live_streams 2.0" in server.service.metrics.text()
    for socket in sockets:
        socket.close()


def test_a_model_of_motion_serves_files_and_streams(
    service, running, media, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    options = {"num_frames": 4, "image_size": 32, "causal": True, "modality": "motion"}
    model = create_model("mstnet_test_resnet", classes=["a", "b", "c"], **options).eval()
    torch.nn.init.normal_(model.head.weight)
    save_model(model, tmp_path / "motion.safetensors")
    video = media.moving_frames(6)
    clip = media.encode(tmp_path / "clip.mkv", video)
    path = str(tmp_path / "motion.safetensors")
    with (
        open_service(path, service.settings) as of_motion,
        running(of_motion) as server,
        StreamingRecognizer(model, device="cpu").start() as stream,
    ):
        answer = {
            each["label"]: each["score"] for each in server.predict(clip).json()["predictions"]
        }
        there = Recognizer(model, device="cpu").predict(clip)
        assert answer == pytest.approx({each.label: each.score for each in there}, abs=1e-5)
        socket = connect(server)
        for frame in video:
            got, wanted = ask(socket, message(frame)), stream.push(frame, top_k=3)
            scores = {each["label"]: each["score"] for each in got["predictions"]}
            expected = {each.label: each.score for each in wanted.predictions}
            assert scores == pytest.approx(expected, abs=1e-5)
        socket.close()


def test_places_are_freed_when_a_client_goes(server, media) -> None:
    frame = message(media.moving_frames(1)[0])
    for _ in range(3):
        first, second = connect(server), connect(server)
        assert ask(first, frame)["frame"] == ask(second, frame)["frame"] == 0
        assert refusal(connect(server)) == ("busy", 1013)
        first.shutdown()  # without a word
        second.close()
        deadline = time.monotonic() + 5
        while b"mixtconv_live_streams 0.0" not in server.service.metrics.text():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize(
    "content",
    [b"", b"abc", struct.pack("<HH", 2, 2) + bytes(11), struct.pack("<HH", 0, 5),
     struct.pack("<HH", MAX_SIDE + 1, MAX_SIDE) + bytes(3 * (MAX_SIDE + 1)),
     struct.pack("<HH", 9, 1) + bytes(27), struct.pack("<HH", 100, 801) + bytes(3 * 80100)],
)  # fmt: skip
def test_what_is_no_frame(server, content: bytes) -> None:
    socket = connect(server)
    socket.send_binary(content)
    assert refusal(socket) == ("invalid", 1003)
    with pytest.raises(ValueError):
        read_frame(content)


def test_text_is_no_frame_and_a_message_may_not_be_endless(server) -> None:
    socket = connect(server)
    socket.send("hello")
    assert refusal(socket) == ("invalid", 1003)
    socket = connect(server)
    with pytest.raises((websocket.WebSocketException, OSError, json.JSONDecodeError)):
        ask(socket, bytes(3 * 2000 * 2000))


def test_messages_are_not_unpacked_before_their_size_is_known(server) -> None:
    socket = connect(server, header=["Sec-WebSocket-Extensions: permessage-deflate"])
    assert "sec-websocket-extensions" not in socket.getheaders()
    socket.close()


def test_the_largest_and_the_narrowest_frame(server) -> None:
    socket = connect(server)
    for width, height in ((MAX_SIDE, MAX_SIDE), (8, 1), (1, 1)):
        content = struct.pack("<HH", width, height) + bytes(3 * width * height)
        assert len(ask(socket, content)["predictions"]) == 3
    socket.close()


def test_a_client_that_is_gone_when_it_is_refused() -> None:
    told = []

    class Gone:
        async def send_json(self, content: dict) -> None:
            told.append(content["error"]["code"])
            raise WebSocketDisconnect(1006)

    asyncio.run(refuse(Gone(), "busy", "come back later"))  # type: ignore[arg-type]
    assert told == ["busy"]  # and its leaving is no error


def test_a_stream_that_is_open_when_the_service_stops(service, running, media) -> None:
    with running(service) as server:
        socket = connect(server)
        assert ask(socket, message(media.moving_frames(1)[0]))["frame"] == 0
        started = time.monotonic()
    assert time.monotonic() - started < service.settings.stop_seconds / 2
    assert socket.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
    assert b"mixtconv_live_streams 0.0" in service.metrics.text()


def test_a_silent_stream_is_ended(server) -> None:
    assert refusal(connect(server)) == ("too_slow", 1001)


def test_pages_of_others_get_no_stream(server) -> None:
    for options in ({"origin": "http://evil.example"}, {"host": "evil.example"}):
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            connect(server, **options)


def test_a_token_is_asked_for(service, running) -> None:
    with running(service, token="a-token-of-some-length") as server:
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            connect(server)
        auth = httpx.BasicAuth("me", "a-token-of-some-length")
        cookie = server.client.get("/v1/model", auth=auth).headers["set-cookie"].split(";")[0]
        connect(server, cookie=cookie).close()


def test_a_centred_model_says_why_it_has_no_streams(service, running, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = create_model("mstnet_test_resnet", classes=["a", "b"], num_frames=4, image_size=32)
    save_model(model, tmp_path / "model.safetensors")
    opened = open_service(str(tmp_path / "model.safetensors"), service.settings)
    with opened as centred, running(centred) as server:
        socket = connect(server)
        error = json.loads(socket.recv())["error"]
        assert error["code"] == "not_live" and "--causal" in error["message"]
        assert server.client.get("/v1/model").json()["live_refused"] == error["message"]


@pytest.mark.parametrize(
    ("model", "reason", "shown"),
    [
        ("/srv/a.onnx", "/srv/a.onnx takes whole clips", "the model takes whole clips"),
        ("a.onnx", "'a.onnx': that of data.onnx", "'the model': that of data.onnx"),
        ("m", "m may move, me too", "the model may move, me too"),
    ],
)
def test_a_reason_does_not_tell_the_path(model: str, reason: str, shown: str) -> None:
    assert _without_path(reason, model) == shown
