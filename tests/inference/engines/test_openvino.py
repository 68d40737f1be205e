"""OpenVINO's requests, which read arrays where they are, and what compiling a model leaves."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mixtconv.exporting.export import export_model
from mixtconv.inference.engines.base import FRAME, LOGITS, Engine
from mixtconv.inference.engines.opening import open_engine
from mixtconv.inference.engines.past import NUMBER, PastOfStreams
from mixtconv.models import create_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of clips and of streams."""
    folder = tmp_path_factory.mktemp("openvino")
    for causal, name in ((False, "model.xml"), (True, "stream.xml")):
        torch.manual_seed(0)
        model = create_model("mstnet_test_resnet", 3, num_frames=4, image_size=32, causal=causal)
        torch.nn.init.normal_(model.head.weight)
        export_model(model, folder / name, target="openvino", streaming=causal, pixels="uint8")
    return folder


def _two_pasts(engine: Engine) -> tuple[dict[str, np.ndarray], list[PastOfStreams]]:
    """A frame of noise, and two pasts of noise."""
    random = np.random.default_rng(0)
    pasts = [PastOfStreams(engine.description.states or (), 1) for _ in range(2)]
    for past in pasts:
        for name, array in past.before().items():
            array[:] = 0 if name == NUMBER else random.normal(size=array.shape)
    return {FRAME: random.integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)}, pasts


def test_a_call_that_fails_leaves_nothing_of_itself_in_an_openvino_request(folder: Path) -> None:
    engine = open_engine(folder / "stream.xml")
    frame, (first, second) = _two_pasts(engine)
    expected = open_engine(folder / "stream.xml").run(frame | second.before())[LOGITS]
    engine.run(frame | first.before())
    with pytest.raises(RuntimeError, match=r"shape|dimension"):
        engine.run({FRAME: frame[FRAME][:, :, :16]} | second.before())
    np.testing.assert_array_equal(engine.run(frame | second.before())[LOGITS], expected)


def test_openvino_reads_what_arrays_hold_now_whatever_they_are_like(folder: Path) -> None:
    engine = open_engine(folder / "stream.xml")
    frame, (past, other) = _two_pasts(engine)
    inputs = frame | past.before()
    ring = next(state.name for state in engine.description.states or ())

    def changed(name: str, array: np.ndarray, seen: np.ndarray) -> None:
        """Change an array between two calls that are given `seen`, which shows what it holds."""
        before = engine.run(inputs | {name: seen})[LOGITS]
        array[:] = 1 if name == NUMBER else other.before()[name]
        expected = open_engine(folder / "stream.xml").run(inputs | {name: array.copy()})[LOGITS]
        assert not np.array_equal(expected, before)
        np.testing.assert_array_equal(engine.run(inputs | {name: seen})[LOGITS], expected)

    number = np.zeros(1, np.int32)
    changed(NUMBER, number, number)
    doubles = inputs[ring].astype(np.float64)
    changed(ring, doubles, doubles)
    own = inputs[ring].copy()
    read_only = own.view()
    read_only.flags.writeable = False
    changed(ring, own, read_only)
    with pytest.raises(RuntimeError, match=r"shape|dimension"):
        engine.run(inputs | {FRAME: frame[FRAME].reshape(1, 32, 32, 3)})


SIGNALLED = """
import os, signal, sys
from mixtconv.inference.loading import load_recognizer
signal.signal(signal.SIGUSR1, lambda number, frame: print("handled"))
recognizers = [load_recognizer(sys.argv[1]) for _ in range(2)]
del recognizers[0]
del recognizers[0]
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there a model has a signal stack")
def test_signals_are_handled_after_models_have_gone_in_the_order_they_came(folder: Path) -> None:
    command = [sys.executable, "-X", "faulthandler", "-c", SIGNALLED, str(folder / "model.xml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
