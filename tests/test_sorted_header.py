"""Equal content gives equal files, whatever the process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors import safe_open

from mixtconv._sorted_header import with_sorted_metadata


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


TRAIN = '''
import sys, torch
from mixtconv.cli.main import main
torch.set_num_threads(1)
data, *words = sys.argv[1:]
common = """--model mstnet_test_resnet --weights none --image-size 32 --num-frames 2 --epochs 1
--workers 0 --device cpu --modality rgb""".split()
assert main(["train", data, *common, "--out", "run"]) == 0
head = """--train head --search-epochs 1 --feature-head average --head-decays [0.1]""".split()
assert main(["train", data, *common, *head, "--out", "head"]) == 0
assert main(["evaluate", "run", data, "--workers", "0", "--scores", "scores.safetensors"]) == 0
for target, suffix in (("onnx", "onnx"), ("torch", "pt2")):
    assert main(["export", "run", "--to", target, "--out", f"run.{suffix}"]) == 0
'''


def test_two_processes_write_the_same_bytes(tiny_dataset: Path, tmp_path: Path) -> None:
    found = []
    for seed in ("1", "2"):  # of the order of sets, and of another directory
        folder = tmp_path / seed
        folder.mkdir()
        own = {"PYTHONHASHSEED": seed, "MIXTCONV_CACHE": str(folder / "cache")}
        subprocess.run(
            [sys.executable, "-c", TRAIN, str(tiny_dataset)],
            cwd=folder,
            env={**os.environ, **own},
            check=True,
            capture_output=True,
        )
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
