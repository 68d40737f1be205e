"""Late fusion against sums written out in numpy, and files that do not fit each other."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.evaluation.fusion import fuse, fuse_files, parse_weights
from mixtconv.evaluation.scores_file import (
    SavedScores,
    ScoreSource,
    load_scores,
    save_scores,
)

NUM_VIDEOS, NUM_CLASSES = 9, 6


def made_up(seed: int, **changes: Any) -> SavedScores:
    """Scores of the same videos, which every seed has in another order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(NUM_VIDEOS)
    source = ScoreSource(f"m{seed}", "flow" if seed % 2 else "rgb", "clips", "1x1", "1x1: ...")
    scores = SavedScores(
        classes=tuple("abcdef"),
        keys=tuple(f"video {n}" for n in order),
        labels=torch.tensor(order % NUM_CLASSES),
        scores=torch.tensor(rng.normal(size=(NUM_VIDEOS, NUM_CLASSES)), dtype=torch.float32),
        kind="logits",
        sources=(source,),
    )
    return replace(scores, **changes)


def by_video(scores: SavedScores) -> dict[str, np.ndarray]:
    return dict(zip(scores.keys, scores.scores.double().numpy(), strict=True))


@pytest.mark.parametrize("weights", [(1, 1), (1, 1.5), (0.2, 3, 7)])
def test_the_mean_is_weighted_and_videos_are_matched_by_name(weights: tuple[float, ...]) -> None:
    inputs = {f"file{seed}": made_up(seed) for seed in range(len(weights))}
    fusion = fuse(inputs, weights)
    tables = [by_video(item) for item in inputs.values()]
    for key, label, row in zip(
        fusion.fused.keys, fusion.fused.labels, fusion.fused.scores, strict=True
    ):
        assert label == int(key.split()[1]) % NUM_CLASSES
        total = sum(weight * table[key] for weight, table in zip(weights, tables, strict=True))
        np.testing.assert_allclose(row.numpy(), total / sum(weights), rtol=1e-5, atol=1e-6)
    assert [item.weight for item in fusion.inputs] == list(weights)
    for item, before in zip(fusion.inputs, inputs.values(), strict=True):
        assert by_video(item.scores).keys() == by_video(before).keys()
        assert item.scores.accuracy() == before.accuracy()


def test_probabilities_are_averaged_after_softmax() -> None:
    inputs = {"a": made_up(0), "b": made_up(1)}
    fused = fuse(inputs, [1, 3], average="probabilities").fused
    for key, row in zip(fused.keys, fused.scores.numpy(), strict=True):
        exponentials = [np.exp(by_video(item)[key]) for item in inputs.values()]
        first, second = (values / values.sum() for values in exponentials)
        np.testing.assert_allclose(row, (first + 3 * second) / 4, rtol=1e-5)
    assert fused.kind == "probabilities"
    assert fuse({"f": fused, "g": fused}, [1, 1]).fused.kind == "probabilities"


def test_a_video_that_one_model_could_not_read_has_the_scores_of_the_others() -> None:
    bad = {f"video {n}": "broken" for n in (2, 5)}
    first = made_up(0, unreadable=bad)
    first.scores[[first.keys.index("video 2"), first.keys.index("video 5")]] = 0
    second = made_up(1, unreadable={"video 5": "broken"})
    fusion = fuse({"a": first, "b": second}, [1, 1.5])
    fused = by_video(fusion.fused)
    np.testing.assert_allclose(fused["video 2"], by_video(second)["video 2"], rtol=1e-5)
    assert fusion.fused.unreadable == {"video 5": "broken"}
    assert not fused["video 5"].any()
    assert fusion.num_partly_read == 1


def test_a_fusion_of_a_fusion_is_that_of_all(tmp_path: Path) -> None:
    for seed in range(3):
        save_scores(made_up(seed), tmp_path / f"{seed}.safetensors")
    names = [str(tmp_path / f"{seed}.safetensors") for seed in range(3)]
    both = fuse_files(names[:2], weights=[1, 1.5], out=tmp_path / "both.safetensors")
    assert both.out == str(tmp_path / "both.safetensors")
    again = fuse_files([both.out, names[2]], weights=[2.5, 2]).fused
    at_once = fuse_files(names, weights=[1, 1.5, 2]).fused
    torch.testing.assert_close(again.scores, at_once.scores)
    assert [source.weight for source in again.sources] == pytest.approx([1, 1.5, 2])
    assert (again.modality, again.protocol) == ("rgb + flow + rgb", "1x1")


def _renamed(scores: SavedScores) -> SavedScores:
    return replace(scores, keys=tuple(key.replace("8", "x/8") for key in scores.keys))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (_renamed(made_up(1)), r"a has 1 video that b lacks: video 8 \(9 videos against 9"),
        (
            made_up(
                1,
                keys=made_up(1).keys[:7],
                labels=made_up(1).labels[:7],
                scores=made_up(1).scores[:7],
            ),
            r"a has 2 videos that b lacks: .*\(9 videos against 7, such as video",
        ),
        (made_up(1, classes=tuple("fbcdea")), "classes of a in another order"),
        (made_up(1, classes=tuple("abcdex")), "only one of the two has f, x"),
        (
            made_up(1, labels=(made_up(1).labels + 1) % NUM_CLASSES),
            "9 videos of different classes in b and a",
        ),
        (
            made_up(1, kind="probabilities"),
            "a holds logits and b probabilities; .*--average probabilities",
        ),
    ],
)
def test_scores_that_do_not_fit_are_refused(second: SavedScores, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fuse({"a": made_up(0), "b": second}, [1, 1])


def test_an_additional_video_is_refused_on_either_side() -> None:
    scores = made_up(0)
    fewer = replace(
        scores, keys=scores.keys[1:], labels=scores.labels[1:], scores=scores.scores[1:]
    )
    for inputs in ({"a": scores, "b": fewer}, {"b": fewer, "a": scores}):
        with pytest.raises(ValueError, match="a has 1 video that b lacks"):
            fuse(inputs, [1, 1])


def test_logits_of_probabilities_are_refused() -> None:
    inputs = {"a": made_up(0), "b": made_up(1, kind="probabilities")}
    with pytest.raises(ValueError, match="b holds probabilities, whose logits"):
        fuse(inputs, [1, 1], average="logits")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "1 weight for 2 scores files"),
        ([1, 2, 3], "3 weights for 2 scores files"),
        ([1, 0], "a weight is 0; give numbers above 0"),
        ([1, -1], "a weight is -1"),
        ([1, float("nan")], "a weight is nan"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fuse({"a": made_up(0), "b": made_up(1)}, weights)


@pytest.mark.parametrize("text", ["", "1,", "a", "1;2", "[1,2]"])
def test_weights_that_are_no_numbers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"give numbers such as 1,1\.5"):
        parse_weights(text)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    names = [str(tmp_path / f"{name}.safetensors") for name in ("rgb", "flow")]
    for seed, name in enumerate(names):
        save_scores(made_up(seed), name)
    return names


def test_the_command_prints_every_input_and_the_fusion(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "fused.safetensors"
    words = ["fuse", *files, "--weights", "1,1.5", "--out", str(out)]
    assert main([*words, "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [item["scores"] for item in printed["inputs"]] == files
    assert [item["weight"] for item in printed["inputs"]] == [1, 1.5]
    assert [item["modality"] for item in printed["inputs"]] == ["rgb", "flow"]
    for item, scores in [*zip(printed["inputs"], map(load_scores, files), strict=True)]:
        assert item["top1"] == scores.accuracy().top1
    fused = load_scores(out).accuracy()
    assert printed["fused"]["mean_class_accuracy"] == fused.mean_class_accuracy
    assert printed["fused"]["top5"] == fused.top5
    assert printed["fused"]["averaged"] == "logits"
    assert main(words) == 0  # replaces its own earlier result
    table = capsys.readouterr().out
    assert "9 videos, weighted mean of logits" in table
    assert f"{fused.top1:.2f}" in table


def test_the_command_says_that_weights_are_1_and_protocols_differ(
    files: list[str], capsys: pytest.CaptureFixture
) -> None:
    flow = load_scores(files[1])
    save_scores(replace(flow, sources=(replace(flow.sources[0], protocol="2x3"),)), files[1])
    assert main(["fuse", *files, "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert [item["weight"] for item in json.loads(captured.out)["inputs"]] == [1, 1]
    assert "different protocols: 1x1 + 2x3" in captured.err


def test_the_command_refuses_in_one_line(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(Path(files[0]).read_bytes()[:-3])
    link = tmp_path / "link.safetensors"
    link.symlink_to(files[0])
    for words, message in [
        (files[:1], "got 1 scores file to fuse; give two or more"),
        ([files[0], files[0]], "are the same file; name every scores file once"),
        ([files[0], str(link)], "are the same file; name every scores file once"),
        ([files[0], str(damaged)], "cut short or damaged"),
        ([files[0], str(tmp_path / "none")], "there is no scores file"),
        ([*files, "--weights", "1,x"], "--weights is '1,x'"),
        ([*files, "--out", files[0]], "is one of the files to fuse"),
        ([*files, "--out", str(tmp_path)], "this is a folder"),
        ([*files, "--average", "max"], "--average is 'max'; give"),
    ]:
        assert main(["fuse", *words]) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert "\n" not in captured.err.strip()
        assert captured.out == ""
