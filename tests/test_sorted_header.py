"""Equal content gives equal files, whatever the process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from mixtconv._sorted_header import with_sorted_metadata
from mixtconv.cli.main import main


def _file(metadata: dict[str, str]) -> bytes:
    """A safetensors file as its specification has it: length, JSON, bytes."""
    header = {"__metadata__": metadata, "a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}}
    text = json.dumps(header).encode()  # with spaces, and of a length that is no multiple of eight
    return len(text).to_bytes(8, "little") + text + bytes([1, 2, 3])


def test_the_order_of_the_metadata_is_that_of_their_names(tmp_path: Path) -> None:
    metadata = {"z": "é\n\u2028", "b": '"', "": "1"}
    contents = {
        with_sorted_metadata(_file({name: metadata[name] for name in names}))
        for names in (("z", "b", ""), ("b", "", "z"), ("", "z", "b"))
    }
    (content,) = contents
    assert int.from_bytes(content[:8], "little") % 8 == 0
    (tmp_path / "a").write_bytes(content)
    with safe_open(tmp_path / "a", framework="numpy") as file:
        assert file.metadata() == metadata
        assert np.array_equal(file.get_tensor("a"), [1, 2, 3])


WRITE = """
import sys, torch
from mixtconv.cli.main import main
torch.set_num_threads(1)
for words in [line.split() for line in sys.stdin]:
    assert main(words) == 0
"""


def _commands(data: Path) -> list[str]:
    train = f"train {data} --model mstnet_test_resnet --weights none --image-size 32 --num-frames 2"
    train += " --epochs 1 --workers 0 --device cpu --modality rgb"
    head = "--train head --search-epochs 1 --feature-head average --head-decays [0.1]"
    return [
        f"{train} --out run",
        f"{train} {head} --out head",
        f"evaluate run {data} --workers 0 --scores scores.safetensors",
        "export run --to onnx --out run.onnx",
        "export run --to torch --out run.pt2",
    ]


def test_two_processes_write_the_same_bytes(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one, after whatever tests, and a new one: with another order of sets and directory."""
    own, new = tmp_path / "own", tmp_path / "new"
    commands = _commands(tiny_dataset)
    for folder in (own, new):
        folder.mkdir()
    monkeypatch.chdir(own)
    monkeypatch.setenv("MIXTCONV_CACHE", str(own / "cache"))
    assert [main(words.split()) for words in commands] == [0] * len(commands)
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    subprocess.run(
        [sys.executable, "-c", WRITE],
        cwd=new,
        env={**os.environ, "PYTHONHASHSEED": seed, "MIXTCONV_CACHE": str(new / "cache")},
        input="\n".join(commands).encode(),
        check=True,
        capture_output=True,
    )
    found = []
    for folder in (own, new):
        files = [path for path in folder.rglob("*") if path.is_file()]
        found.append({str(path.relative_to(folder)): path.read_bytes() for path in files})
    for content in found:
        for name in [name for name in content if "tfevents" in name]:  # named for the time
            del content[name]
    one, other = found
    assert one.keys() == other.keys()
    # Frames of 16 videos, features of their scored views and of random crops of the 12 trained on.
    assert len([name for name in one if name.startswith("cache")]) == 16 + 16 + 12
    differing = sorted(name for name in one if one[name] != other[name])
    timed = ("checkpoints/last.ckpt", "logs/metrics.csv", "metrics.json")
    assert differing == sorted(f"{run}/{name}" for run in ("run", "head") for name in timed)
    for run in ("run", "head"):
        records = [json.loads(each[f"{run}/metrics.json"]) for each in (one, other)]
        for record in records:
            for row in (record["best"], *record["epochs"]):
                del row["seconds"], row["data_wait"]
        assert records[0] == records[1]
