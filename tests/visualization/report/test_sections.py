"""The report's tables of settings and protocols, and its maps."""

import re
from dataclasses import replace

import numpy as np
import pytest
from markupsafe import escape

from mixtconv.visualization import ProtocolScore, render_report
from mixtconv.visualization.clip_maps import ClipFeatures, ClipMaps, clip_maps
from mixtconv.visualization.confusion import confusion_order, row_shares
from mixtconv.visualization.report.tables import best_score, protocols, settings_section


def test_settings_that_differ_are_told_from_those_alike(new_report, new_result) -> None:
    one = new_result(name="one", settings={"lr": 0.1, "flip": True, "stages": None, "root": None})
    two = new_result(name="two", settings={"lr": 0.2, "flip": True, "stages": [0], "root": None})
    bare = new_result(name="bare")
    view = settings_section(new_report(results=(one, bare, two), settings={"classes": 4}))
    assert view.names == ["one", "two"]
    assert view.different == [("lr", ["0.1", "0.2"]), ("stages", ["by default", "[0]"])]
    assert view.common == [("classes", "4"), ("flip", "true")]


def test_the_best_of_each_protocol_is_marked(new_report, new_result) -> None:
    def scores(*top1: float) -> tuple[ProtocolScore, ...]:
        return tuple(ProtocolScore(f"{n}x1", f"{n} clips", value, 100.0, value)
                     for n, value in enumerate(top1, start=1))  # fmt: skip

    results = (new_result(name="a", protocol_scores=scores(50.0, 80.0)),
               new_result(name="b", protocol_scores=scores(60.0, 70.0)))  # fmt: skip
    page = render_report(new_report(results=results, examples=()))
    table = page.split("viewed in several ways")[1].split("</table>")[0]
    rows = re.findall("<tr><th scope=.row.>(.*?)</tr>", table, re.DOTALL)
    shown = [re.sub("<[^>]*>", " ", row).split() for row in rows]
    assert shown == [
        ["1", "clips", "a", "50.0", "100.0", "50.0"],
        ["1", "clips", "b", "60.0", "★", "best", "100.0", "60.0", "★", "best"],
        ["2", "clips", "a", "80.0", "★", "best", "100.0", "80.0", "★", "best"],
        ["2", "clips", "b", "70.0", "100.0", "70.0"],
    ]


def test_what_is_not_measured_or_looks_the_same_is_not_the_best() -> None:
    assert best_score([70.04, 70.0, float("nan")]) is None
    assert best_score([9.0, 70.0, float("nan")]) == "70.0"
    assert best_score([float("nan")]) is None


def test_a_way_of_scoring_is_told_once_with_its_models(new_result) -> None:
    ways = {"a": "1 clip", "b": "2 clips", "c": "1 clip", "d": ""}
    results = [new_result(name=name, protocol=text) for name, text in ways.items()]
    assert protocols(results) == ["a and c: 1 clip", "b: 2 clips"]
    assert protocols([results[0], results[2]]) == ["1 clip"]
    assert protocols([results[0], results[3]]) == ["a: 1 clip"]  # of d nothing is known
    assert protocols([results[3]]) == []


def test_scores_by_other_protocols_are_refused(new_report, new_result) -> None:
    one = new_result(name="a", protocol_scores=(ProtocolScore("1x1", "", 1.0, 1.0, 1.0),))
    with pytest.raises(ValueError, match="protocols"):
        new_report(results=(one, new_result(name="b")))


@pytest.fixture(scope="module")
def maps() -> ClipMaps:
    rng = np.random.default_rng(0)
    labels = np.arange(20) % 4
    features = {name: rng.normal(size=(20, 6)).astype(np.float32) for name in ("TSN", "<b>")}
    return clip_maps(ClipFeatures(features, labels, tuple(map(str, range(20)))))


def test_maps_have_the_numbers_of_the_page(new_report, new_result, maps: ClipMaps) -> None:
    report = new_report(results=(new_result(name="TSN"), new_result(name="<b>")), maps=maps)
    counts = sum(row_shares(result.confusion) for result in report.results)
    order = confusion_order(np.asarray(counts))
    page = render_report(report)
    assert _legend(page) == [escape(report.classes[index]) for index in order]
    assert page.count('class="mark"') == 4 and page.count("Map of the features of") == 2
    many = tuple(f"class {n}" for n in range(40))
    confusion = np.eye(40, dtype=int)
    confusion[3, 39] = 5  # 39 stands beside 3, so numbers are not places in the model
    few = new_report(
        classes=many, results=(new_result(confusion=confusion),), examples=(),
        maps=replace(maps, labels=np.full(20, 39)),
    )  # fmt: skip
    order = confusion_order(row_shares(confusion))
    assert _legend(render_report(few)) == [f"{order.index(39) + 1} class 39"]


def _legend(page: str) -> list[str]:
    """What stands beside the marks of the classes."""
    return re.findall("<li><svg.*?</svg><span>(.*?)</span></li>", page)


def test_where_maps_cannot_be_made_the_page_says_why(new_report) -> None:
    none = ClipMaps(np.empty(0, np.int64), (), 30.0, notes=("no maps: it has diverged",))
    page = render_report(new_report(maps=none))
    assert "No maps: it has diverged." in page and 'class="legend"' not in page
    assert 'id="maps"' not in render_report(new_report())
