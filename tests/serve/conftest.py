"""A small service for the tests: a tiny model, low limits, a real server on a free port."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
import torch

from mixtconv.inference.engines.base import LOGITS, VIDEO, Description
from mixtconv.models import ModelSpec, create_model, save_model
from mixtconv.models.spec import METADATA_KEY
from mixtconv.serve.app import make_app
from mixtconv.serve.server import address_of, listen, make_server
from mixtconv.serve.service import Service, open_service
from mixtconv.serve.settings import LOOPBACK_NAMES, ServeSettings

CLASSES = ["wave", "jump", "run <fast>"]

SETTINGS = ServeSettings(
    workers=1,
    device="cpu",
    max_upload_mb=2,
    max_video_seconds=60,
    max_megapixels=1,
    max_windows=20,
    decode_seconds=4,
    send_seconds=2,
    max_requests=8,
    max_streams=2,
    idle_seconds=1,
    stop_seconds=5,
)


def make_model_file(path: Path, *, causal: bool) -> Path:
    torch.manual_seed(0)
    model = create_model(
        "mstnet_test_resnet", classes=CLASSES, num_frames=4, image_size=32, causal=causal
    ).eval()
    torch.nn.init.normal_(model.head.weight)
    save_model(model, path)
    return path


def make_onnx_file(path: Path) -> Path:
    """An exported model whose logits are the mean red, green and blue of the clip."""
    spec = ModelSpec("tsn_test_resnet", ("red", "green", "blue"), num_frames=4, image_size=32)
    tensor, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    axes = onnx.numpy_helper.from_array(np.array([1, 3, 4]), "axes")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceMean", [VIDEO, "axes"], [LOGITS], keepdims=0)],
        "mean",
        [tensor(VIDEO, kind, ["B", 4, 3, 32, 32])],
        [tensor(LOGITS, kind, ["B", 3])],
        [axes],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, Description(spec, "1", "float255").to_json()
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_onnx_file(tmp_path_factory.mktemp("onnx") / "model.onnx")


@pytest.fixture(scope="session")
def causal_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_file(tmp_path_factory.mktemp("causal") / "model.safetensors", causal=True)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory, media) -> Path:
    """A video of 2.4 seconds."""
    path = tmp_path_factory.mktemp("clip") / "private name.mp4"
    return media.encode(path, media.moving_frames(60))


@dataclass
class Running:
    """A service that answers."""

    service: Service
    address: str
    client: httpx.Client

    @property
    def decoder(self) -> int:
        """The process that decodes."""
        return self.service.recognition.decoders.pids[0]

    def predict(self, path: Path | bytes, **parameters) -> httpx.Response:
        content = path if isinstance(path, bytes) else path.read_bytes()
        files = {"file": ("../../etc/private name.mp4", content)}
        return self.client.post("/v1/predict", files=files, params=parameters)

    def timeline(self, path: Path, **parameters) -> httpx.Response:
        files = {"file": ("private name.mp4", path.read_bytes())}
        return self.client.post("/v1/timeline", files=files, params=parameters)

    def wait_idle(self) -> None:
        """Return when nothing is worked on and no file is left."""
        metrics = self.service.metrics
        wait_until(lambda: b"mixtconv_requests_in_flight 0.0" in metrics.text())
        folder = self.service.spool.folder
        wait_until(lambda: not any(f.is_file() for f in folder.iterdir()))


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def tells_nothing(response: httpx.Response) -> None:
    """No path, name of a file or traceback stands in any answer."""
    text = response.read().decode(errors="replace")
    for secret in ("Traceback", "private name", "/tmp/", "mixtconv-serve-", ".py", "site-packages"):
        assert secret not in text or response.url.path.startswith("/static/swagger"), text


@contextmanager
def running(service: Service, *, page: bool = False, **options) -> Iterator[Running]:
    """Answer on a free port."""
    options = {"hosts": LOOPBACK_NAMES} | options
    service = replace(service, settings=replace(service.settings, no_page=not page))
    with listen("127.0.0.1", 0) as listening:
        address = address_of(listening)
        server = make_server(make_app(service, **options), service.settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        hooks = {"response": [tells_nothing]}
        try:
            with httpx.Client(base_url=address, timeout=30, event_hooks=hooks) as client:
                yield Running(service, address, client)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def service(causal_file: Path) -> Iterator[Service]:
    with open_service(str(causal_file), SETTINGS) as service:
        yield service
    assert not service.spool.folder.exists()


@pytest.fixture(scope="session", name="running")
def running_fixture() -> Callable:
    """Lets a service answer, with options of its own."""
    return running


@pytest.fixture
def server(service: Service) -> Iterator[Running]:
    with running(service) as server:
        yield server
        server.wait_idle()


@pytest.fixture(scope="session")
def shared_clip(request: pytest.FixtureRequest, clip: Path) -> Path:
    """A real clip where there are any, else one of our own."""
    folder = Path(
        os.environ.get("MIXTCONV_SHARED_VIDEOS", Path(__file__).parents[3] / "shared" / "videos")
    )
    real = folder / "arm_wrestling.mp4"
    return real if real.is_file() else clip
