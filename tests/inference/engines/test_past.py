"""The past of streams in the description of a file, and as its user keeps it."""

import json

import numpy as np
import pytest

from mixtconv.inference.engines.base import Description
from mixtconv.inference.engines.past import PastOfStreams, Ring, State
from mixtconv.models.spec import ModelSpec

WINDOW = State("past_a", (2, 3, 4, 4))
RING = State("past_b", (2, 3 * 4, 5), Ring(slots=3, output="new_b", frame=(6, 4, 5), start=4))


def _description() -> Description:
    return Description(ModelSpec("tsm_resnet18", ("a", "b")), "1", states=(WINDOW, RING))


def test_a_description_is_read_as_it_was_written() -> None:
    about = _description()
    assert Description.from_json(about.to_json(), "m.onnx") == about
    assert [*about.inputs] == ["frame", "frame_number", "past_a", "past_b"]
    assert about.outputs == {"logits": (2,), "next_past_a": (2, 3, 4, 4), "new_b": (6, 4, 5)}


def test_windows_are_described_as_by_earlier_versions() -> None:
    first, second = json.loads(_description().to_json())["states"]
    assert first == {"name": "past_a", "shape": [2, 3, 4, 4]}
    assert second["ring"] == {"slots": 3, "output": "new_b", "frame": [6, 4, 5], "start": 4}


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("state", {"sparse": True}),
        ("ring", {"start": 5}),
        ("ring", {"start": -1}),
        ("ring", {"slots": 4}),
        ("ring", {"slots": 0}),
        ("ring", {"frame": [6, 4]}),
        ("ring", {"twice": 2}),
    ],
)
def test_a_past_that_is_none_is_refused(where: str, change: dict) -> None:
    about = json.loads(_description().to_json())
    state = about["states"][1]
    (state if where == "state" else state["ring"]).update(change)
    with pytest.raises(
        ValueError, match=r"^m\.onnx has a description that is damaged or of another"
    ):
        Description.from_json(json.dumps(about), "m.onnx")


def test_results_that_cannot_be_changed_or_are_half_are_taken_as_they_are() -> None:
    past = PastOfStreams([WINDOW], num_streams=2)
    given = np.full((2, 2, 3, 4, 4), 7, np.float16)
    given.flags.writeable = False
    past.after({"next_past_a": given})
    past.forget(0)
    kept = past.before()["past_a"]
    assert kept.dtype == np.float32
    assert (kept[0] == 0).all() and (kept[1] == 7).all() and (given == 7).all()
