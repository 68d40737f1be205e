"""The tables of the paper, ours beside the published."""

import json

import pytest

from mixtconv.cli.main import main
from mixtconv.evaluation.complexity import Complexity
from mixtconv.evaluation.zoo import (
    PUBLISHED_COSTS,
    PUBLISHED_SCORES,
    PublishedCost,
    PublishedScore,
    Zoo,
    compare,
    count_zoo,
)
from mixtconv.training.recipes import list_recipes, load_recipe


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return count_zoo()


# Model, frames -> G of multiply-accumulates, as the recipes of the papers add up to, and whether
# parameters and multiply-accumulates are those in print.
COMPARISON = {
    ("tsn_bninception", 8): (16.256, "matches"),
    ("tsn_resnet50", 8): (32.70, "matches"),
    ("trn_bninception", 8): (16.26, "differs"),
    ("trn_twostream_bninception", 8): (34.73, "differs"),
    ("i3d_resnet50", 32): (152.47, "matches"),
    ("i3d_nl_resnet50", 32): (220.86, "differs"),
    ("i3d_nl_gcn_resnet50", 32): (224.74, "differs"),
    ("eco_8", 8): (32.207, "matches"),
    ("eco_16", 16): (64.413, "matches"),
    ("eco_en_lite_92", 92): (267.30, "matches"),
    ("tsm_resnet50", 8): (32.70, "matches"),
    ("tsm_resnet50", 16): (65.41, "matches"),
    ("mstnet_resnet50", 8): (32.88, "matches"),
    ("mstnet_resnet50", 16): (65.77, "matches"),
}
# Published difference to TSN in G; of the ordinary convolution it is not what is described.
ABLATION = {
    "tsn_resnet50": 0.0,
    "tsm_resnet50": 0.0,
    "ks3_resnet50": 0.13,
    "ks5_resnet50": 0.23,
    "ks7_resnet50": 0.32,
    "ks13_resnet50": 0.09,
    "ks135_resnet50": 0.13,
    "ks1357_resnet50": 0.18,
    "ks357dilated_resnet50": 0.13,
    "conv1d_resnet50": 10.0,
}


def test_the_comparison_has_its_14_rows(zoo: Zoo) -> None:
    rows = {(row.model, row.num_frames): row for row in zoo.table("comparison")}
    assert list(rows) == list(COMPARISON)
    for key, (gmacs, status) in COMPARISON.items():
        assert rows[key].macs / 1e9 == pytest.approx(gmacs, rel=5e-4), key
        assert rows[key].status == status, key
        assert status == "matches" or rows[key].note, key
    non_local = rows["i3d_nl_resnet50", 32]
    assert non_local.macs_without_attention / 1e9 == pytest.approx(173.02, abs=0.01)
    assert "47.8 G are products of attention" in non_local.note
    assert rows["eco_8", 8].macs_without_attention == rows["eco_8", 8].macs
    assert rows["trn_twostream_bninception", 8].published_macs is None


def test_the_ablation_has_its_10_rows(zoo: Zoo) -> None:
    rows = {row.model: row for row in zoo.table("ablation")}
    assert list(rows) == list(ABLATION)
    base = rows["tsn_resnet50"].macs
    for model, published in ABLATION.items():
        is_literal = abs((rows[model].macs - base) / 1e9 - published) <= 0.006
        assert rows[model].status == ("matches" if is_literal else "differs"), model
    assert [row.model for row in rows.values() if row.status == "differs"] == ["conv1d_resnet50"]
    assert rows["conv1d_resnet50"].macs / 1e9 == pytest.approx(107.0, abs=0.01)


@pytest.mark.parametrize(
    ("mparams", "gmacs", "status"),
    [
        (100.4, 100, "matches"),
        (100.6, 100, "differs"),
        (100, 101.9, "matches"),
        (100, 102.1, "differs"),
        (None, 98.1, "matches"),
        (99.6, None, "matches"),
    ],
)
def test_half_a_percent_of_parameters_and_two_of_macs(mparams, gmacs, status) -> None:
    row = PublishedCost("comparison", "x", "x_y", "y", 8, mparams, gmacs)
    assert compare(row, Complexity(100_000_000, 100_000_000_000), None).status == status


def test_the_command_prints_both_tables_as_json(zoo: Zoo, monkeypatch, capsys) -> None:
    monkeypatch.setattr("mixtconv.evaluation.zoo.count_zoo", lambda progress: zoo)
    assert main(["zoo", "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (len(said["comparison"]), len(said["ablation"])) == (14, 10)
    keys = {"model", "backbone", "num_frames", "params", "macs", "published_params"}
    keys |= {"published_macs", "status", "note"}
    assert all(keys <= set(row) for row in said["comparison"] + said["ablation"])
    first = said["comparison"][0]
    assert (first["params"], first["published_params"]) == (10_680_240, 10_700_000)
    assert main(["zoo"]) == 0
    table = capsys.readouterr().out
    assert "eco_en_lite_92" in table and "Published, not measured here: MixTConv" in table


def test_published_scores_have_a_source_and_a_system_of_a_name() -> None:
    from mixtconv.models import list_models

    names = {row.model for row in PUBLISHED_COSTS} | {score.model for score in PUBLISHED_SCORES}
    assert names <= set(list_models())
    assert all(score.source and 0 < score.top1 < 100 for score in PUBLISHED_SCORES)


def test_scores_beside_tsn_differ_as_the_paper_prints_the_differences() -> None:
    beside = [score for score in PUBLISHED_SCORES if "comparison with TSN" in score.source]
    top1 = {(score.model, score.dataset): score.top1 for score in beside}
    printed = {"kinetics400": 2.5, "ucf101": 3.3, "something_v1": 27.6, "something_v2": 31.4}
    printed["jester"] = 13.0
    differences = {
        dataset: round(top1["mstnet_resnet50", dataset] - top1["tsn_resnet50", dataset], 1)
        for dataset in printed
    }
    assert differences == printed and len(beside) == 10


def test_tables_of_the_paper_agree_where_they_show_the_same() -> None:
    """TSN, TSM and the mixture of four kernels, with 8 frames on Something-Something v1."""
    scores: dict[str, dict[str, float]] = {"kernel sizes": {}, "other systems": {}}
    for score in PUBLISHED_SCORES:
        for table, found in scores.items():
            if table in score.source and (score.num_frames, score.dataset) == (8, "something_v1"):
                found[score.model] = score.top1
    sizes, others = scores.values()
    assert sizes["ks1357_resnet50"] == others["mstnet_resnet50"] == max(sizes.values())
    assert all(sizes[name] == others[name] for name in ("tsn_resnet50", "tsm_resnet50"))


@pytest.mark.parametrize("score", PUBLISHED_SCORES, ids=lambda score: score.model)
def test_the_recipe_of_a_published_score_has_it_too(score: PublishedScore) -> None:
    frames = score.num_frames or "*"
    for name in list_recipes(f"{score.model}_{score.dataset}_{frames}f"):
        assert f"{score.top1:.1f} % top-1" in load_recipe(name).published
