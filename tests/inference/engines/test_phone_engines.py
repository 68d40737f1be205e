"""Files for phones, run here: those of LiteRT and of ExecuTorch, where the two are installed."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.exporting.export import export_model
from mixtconv.exporting.writing import TARGETS
from mixtconv.inference.engines.opening import open_engine
from mixtconv.inference.loading import load_streaming_recognizer
from mixtconv.inference.torch_recognizers import Recognizer, StreamingRecognizer
from mixtconv.models import create_model, load_model, save_model

SIZE = 32
ONE_STEP = 0.01  # how far logits move where Pillow and torch round to other of 255 steps
TARGET = {".tflite": "litert", ".pte": "executorch"}
SUFFIXES = [
    pytest.param(
        suffix,
        marks=pytest.mark.skipif(
            not TARGETS[target].is_installed, reason=f"{target} is not installed"
        ),
    )
    for suffix, target in TARGET.items()
]
PAGE = Path(__file__).parents[3] / "docs" / "runtimes.md"


@pytest.fixture(scope="module")
def models(tmp_path_factory, media) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for causal in (False, True):
        torch.manual_seed(0)
        model = create_model(
            "mstnet_test_resnet",
            classes=["wave", "jump", "run"],
            num_frames=4,
            image_size=SIZE,
            causal=causal,
        ).eval()
        torch.nn.init.normal_(model.head.weight)
        save_model(model, folder / f"{'causal' if causal else 'model'}.safetensors")
    media.encode(folder / "clip.mp4", media.moving_frames(40, height=90, width=120))
    return folder


@pytest.fixture(scope="module", params=SUFFIXES)
def files(request, models: Path) -> tuple[Path, Path]:
    """A file of clips and one of streams."""
    target, paths = TARGET[request.param], []
    for name in ("model", "causal"):
        model = load_model(models / f"{name}.safetensors")
        path = models / f"{name}{request.param}"
        exported = export_model(
            model, path, target=target, streaming=name == "causal", pixels="uint8"
        )
        assert exported.agreement.holds and exported.agreement.num_logits > 3
        paths.append(path)
    return paths[0], paths[1]


def test_predictions_are_those_of_the_model_file(files, models: Path, capfd) -> None:
    clip = str(models / "clip.mp4")
    expected = {
        each.label: each.score
        for each in Recognizer(models / "model.safetensors", device="cpu").predict(clip)
    }
    assert main(["predict", str(files[0]), clip, "--format", "json"]) == 0
    printed = capfd.readouterr()
    assert printed.err == ""  # nor what a runtime reports to its developers
    [result] = json.loads(printed.out)
    got = {each["label"]: each["score"] for each in result["predictions"]}
    assert got == pytest.approx(expected, abs=2e-3)


def test_streams_begin_and_end_by_themselves(files, models: Path, media) -> None:
    mine = load_streaming_recognizer(files[1], max_streams=2)
    torchs = StreamingRecognizer(models / "causal.safetensors", max_streams=2, device="cpu")
    first, other = ([each.start(), each.start()] for each in (mine, torchs))
    for number, frame in enumerate(media.moving_frames(12, height=40, width=60)):
        if number == 7:
            for streams, recognizer in ((first, mine), (other, torchs)):
                streams[1].end()
                streams[1] = recognizer.start()
        active = [0, 1] if number not in (0, 3, 9) else [0]
        got = mine.push({first[index]: frame for index in active})
        expected = torchs.push({other[index]: frame for index in active})
        for index in active:
            logits = got[first[index]].logits
            np.testing.assert_allclose(logits, expected[other[index]].logits, atol=ONE_STEP)


def test_a_file_runs_where_this_package_is_not_installed(files) -> None:
    """As the page has it, on pictures of zeros."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    [code] = [block for block in blocks if files[0].name in block]
    code = f"import sys; sys.modules['mixtconv'] = None\n{code}"
    printed = subprocess.check_output(
        [sys.executable, "-c", code], text=True, cwd=files[0].parent, stderr=subprocess.DEVNULL
    )
    clip = np.zeros((1, 4, 3, SIZE, SIZE), np.uint8)
    engine = open_engine(files[0])
    best = engine.run({"video": clip})["logits"].argmax()
    assert printed == engine.description.spec.classes[best] + "\n"


@pytest.mark.parametrize("part", [0, 20, 3000, -200])
def test_a_damaged_file_is_refused(part: int, files, tmp_path: Path) -> None:
    path = tmp_path / files[0].name
    path.write_bytes(files[0].read_bytes()[:part])
    with pytest.raises(ValueError, match=r"cannot be read by|has no description") as error:
        open_engine(path)
    assert len(str(error.value).splitlines()) == 1


LITERT = pytest.mark.skipif(not TARGETS["litert"].is_installed, reason="litert is not installed")


@LITERT
@pytest.mark.parametrize("files", [".tflite"], indirect=True)
def test_a_description_that_is_not_the_networks_is_refused(files, tmp_path: Path) -> None:
    with zipfile.ZipFile(files[0]) as archive:
        about = json.loads(archive.read("mixtconv.json"))
        network = files[0].read_bytes()[: archive.infolist()[0].header_offset]
    about["spec"]["num_frames"] = 5
    path = tmp_path / "model.tflite"
    path.write_bytes(network)
    with pytest.raises(ValueError, match="has no description of mixtconv in it"):
        open_engine(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("mixtconv.json", json.dumps(about))
    with pytest.raises(ValueError, match=r"takes video of \(4, 3, 32, 32\), described is \(5, 3"):
        open_engine(path)


@LITERT
@pytest.mark.parametrize("files", [".tflite"], indirect=True)
def test_a_file_of_litert_needs_no_torch(files, models: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'timm', 'lightning'): sys.modules[name] = None\n"
        "from mixtconv.cli.main import main\n"
        f"sys.exit(main(['predict', {str(files[0])!r}, {str(models / 'clip.mp4')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
