"""Events by the service are those of `mixtconv predict --events`, and of a stream here."""

import dataclasses
import json
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
import websocket

from mixtconv.detection.predict import predict_events
from mixtconv.detection.scorers import load_scorer
from mixtconv.detection.settings import EventOptions
from mixtconv.detection.streams import StreamEvents
from mixtconv.events.curves import ScoreCurves
from mixtconv.inference.torch_recognizers import StreamingRecognizer
from mixtconv.models import create_model, save_model
from mixtconv.serve.service import open_service
from mixtconv.serve.sources import AllowedSources

CLASSES = ["wave", "jump", "background"]
LOW = {"enter": 0.4, "min_seconds": 0.1, "smoothing_seconds": 0.2}
STORED = {"settings": {"enter": 0.35, "min_seconds": 0.0, "background": ["background"]}}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights, of which no class always wins."""
    paths = {}
    folder = tmp_path_factory.mktemp("models")
    for kind in ("causal", "frames", "windows"):
        torch.manual_seed(1)
        model = create_model(
            "mstnet_test_resnet",
            classes=CLASSES,
            num_frames=4,
            image_size=32,
            causal=kind == "causal",
            sampling="dense",
            frame_stride=3,
        ).eval()
        torch.nn.init.normal_(model.head.weight, std=3.0)
        with torch.inference_mode():
            noise = torch.randint(0, 255, (1, 4, 3, 32, 32), dtype=torch.uint8)
            model.head.bias.data -= model.forward_frames(model.normalize(noise)).mean(dim=(0, 1))
        paths[kind] = folder / f"{kind}.safetensors"
        save_model(model, paths[kind], notes={"frame_labels": kind == "frames", "events": STORED})
    return paths


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory, media) -> Path:
    """8 seconds, in which the picture changes every second."""
    parts = [media.moving_frames(25, seed=seed) for seed in range(8)]
    return media.encode(tmp_path_factory.mktemp("day") / "private name.mp4", np.concatenate(parts))


def ask(server, path: Path, **parameters) -> httpx.Response:
    files = {"file": ("private name.mp4", path.read_bytes())}
    return server.client.post("/v1/events", files=files, params=parameters)


@pytest.mark.parametrize("kind", ["causal", "frames", "windows"])
def test_events_and_scores_are_those_of_prediction_here(
    models, day, service, running, kind
) -> None:
    scorer = load_scorer(models[kind], device="cpu")
    options = EventOptions(**LOW)
    curves = ScoreCurves(CLASSES)
    chosen = options.applied(scorer.stored.settings)
    found = list(predict_events(scorer, day, chosen, curves=curves))
    wanted = sorted((e.to_dict() for e in found), key=lambda e: (e["start"], e["end"], e["label"]))
    assert len(wanted) >= 2
    settings = dataclasses.replace(service.settings, max_windows=80)
    with open_service(str(models[kind]), settings) as opened, running(opened) as server:
        answer = ask(server, day, **LOW, scores=True).json()
        about = server.client.get("/v1/model").json()["events"]
        plain = ask(server, day).json()
        allowed = dataclasses.replace(opened, sources=AllowedSources.parse(str(day.parent)))
        with running(allowed) as other:
            body = {"source": str(day)}
            again = other.client.post("/v1/events-source", json=body, params=LOW).json()
    for got, event in zip(answer["events"], wanted, strict=True):
        assert got.pop("score") == pytest.approx(event.pop("score"), abs=1e-4)
        assert got == event
    assert answer["thresholds"] == {"wave": [0.4, 0.28], "jump": [0.4, 0.28]}
    expected = curves.to_dict(CLASSES)
    assert answer["scores"]["starts"] == expected["starts"]
    for got, curve in zip(answer["scores"]["classes"], expected["classes"], strict=True):
        assert got["label"] == curve["label"]
        assert got["values"] == pytest.approx(curve["values"], abs=2e-3)
    assert [e["start"] for e in again["events"]] == [e["start"] for e in answer["events"]]
    assert again["scores"] is None and plain["scores"] is None
    # by default as the model file says
    assert plain["thresholds"]["wave"] == [0.35, pytest.approx(0.245)]
    assert about["settings"]["enter"] == 0.35 and about["needs"] is None
    assert about["scored"] == ("windows" if kind == "windows" else "frames")


def test_what_is_refused(models, day, service, running, server) -> None:
    def refusal(response: httpx.Response) -> tuple[str, str]:
        error = response.json()["error"]
        return error["code"], error["message"]

    # `server` has a model trained on frames spread over a clip
    code, message = refusal(ask(server, day))
    assert code == "invalid" and "give fps" in message and "--" not in message
    assert server.client.get("/v1/model").json()["events"]["needs"] == message
    assert refusal(ask(server, day, fps=5, window="1s"))[0] == "invalid"
    assert refusal(ask(server, day, fps=5, enter=0.3, leave=0.6))[0] == "invalid"
    assert refusal(ask(server, day, fps=5, enter=1.5))[0] == "invalid"
    code, message = refusal(ask(server, day, fps=25))  # 200 of 20 x 4 frames
    assert code == "too_long" and "80 frames" in message
    assert ask(server, day, fps=8).status_code == 200
    with open_service(str(models["windows"]), service.settings) as opened, running(opened) as other:
        assert "give window" in refusal(ask(other, day, fps=5))[1]
        assert refusal(ask(other, day, window="1s", stride="5f"))[0] == "invalid"
        assert refusal(ask(other, day, window="1s", stride="100ms"))[0] == "too_long"


def test_damaged_settings_cost_events_alone(models, day, service, running, tmp_path) -> None:
    model = create_model("mstnet_test_resnet", classes=CLASSES, num_frames=4, image_size=32)
    save_model(model, tmp_path / "model.safetensors", notes={"events": {"settings": {"enter": 3}}})
    path = str(tmp_path / "model.safetensors")
    with open_service(path, service.settings) as opened, running(opened) as server:
        about = server.client.get("/v1/model").json()
        assert about["events"] is None and "damaged" in about["events_refused"]
        assert ask(server, day, window="1s").json()["error"]["message"] == about["events_refused"]
        assert server.predict(day).status_code == 200


def test_live_events_are_those_of_a_stream_here(models, day, media, service, running) -> None:
    frames = media.decode_all(day)[::3]
    recognizer = StreamingRecognizer(models["causal"], device="cpu")
    settings = dataclasses.replace(service.settings, idle_seconds=20)
    with open_service(str(models["causal"]), settings) as opened, running(opened) as server:
        address = server.address.replace("http", "ws") + "/v1/live?events=true&top_k=1&enter=0.4"
        address += "&min_seconds=0&smoothing_seconds=0&bridge_seconds=0&fps=50"
        socket = websocket.create_connection(address, timeout=10)
        answers = []
        for frame in frames:
            size = np.array(frame.shape[1::-1], "<u2").tobytes()
            socket.send_binary(size + np.ascontiguousarray(frame).tobytes())
            answers.append(json.loads(socket.recv()))
            if len(answers) == 10:  # files are recognized beside it
                assert ask(server, day).status_code == 200
        socket.close()
        for wrong, words in (
            ("window=1s", "window"),
            ("enter=3", "query.enter: Input should be less than or equal to 1"),
            ("min_second=1", "query.min_second: there is no such parameter here"),
        ):
            asked = f"{server.address.replace('http', 'ws')}/v1/live?events=true&{wrong}"
            socket = websocket.create_connection(asked, timeout=10)
            error = json.loads(socket.recv())["error"]
            assert error["code"] == "invalid" and words in error["message"]
        answer = ask(server, day, min_second=1)
        assert answer.status_code == 422
        assert "no such parameter" in answer.json()["error"]["message"]
    times = [each["seconds"] for each in answers]
    assert times[0] == 0 and times == sorted(times)
    chosen = EventOptions(enter=0.4, min_seconds=0, smoothing_seconds=0, bridge_seconds=0).applied(
        load_scorer(models["causal"]).stored.settings
    )
    stream, here = StreamEvents(recognizer.spec, chosen, 50), recognizer.start()
    said = 0
    for seconds, frame, answer in zip(times, frames, answers, strict=True):
        wanted = [m.to_dict() for m in stream.push(seconds, here.push(frame).logits)]
        for got, message in zip(answer["events"], wanted, strict=True):
            assert got.pop("score") == pytest.approx(message.pop("score"), abs=1e-4)
            assert got == message
            said += 1
    assert said >= 2 and len(answers[0]["predictions"]) == 1


def test_without_a_word_of_events_answers_are_as_before(server, media) -> None:
    socket = websocket.create_connection(
        server.address.replace("http", "ws") + "/v1/live?top_k=3", timeout=10
    )
    frame = media.moving_frames(1)[0]
    socket.send_binary(np.array(frame.shape[1::-1], "<u2").tobytes() + frame.tobytes())
    assert set(json.loads(socket.recv())) == {"frame", "predictions"}
    socket.close()
