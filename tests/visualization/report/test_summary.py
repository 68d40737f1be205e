"""The summary says what the numbers say."""

from dataclasses import replace

import numpy as np

from mixtconv.visualization.report.summary import summary_sentences


def test_scores_lead_and_largest_confusion(new_report):
    scores, lead, worst = summary_sentences(new_report())
    assert "on 41 clips of 4 classes" in scores
    assert scores.index("MSTNet") < scores.index("TSN 65.0")
    assert lead == (
        "<i>MSTNet</i> is 32.5 percentage points ahead of TSN, more than the choice of clips "
        "explains."
    )
    assert "9\N{NO-BREAK SPACE}% of its clips" in worst


def test_a_small_lead_is_not_called_one(new_report, new_result):
    near = (new_result(name="a", top1=90.0), new_result(name="b", top1=87.5))
    assert summary_sentences(new_report(results=near))[1].endswith(
        "within the chance of so few clips."
    )
    same = (new_result(name="a"), new_result(name="b"))
    assert summary_sentences(new_report(results=same))[1] == "a and b score the same."
    more = (*same, new_result(name="c"), new_result(name="d", top1=60.0))
    assert summary_sentences(new_report(results=more))[1] == "a, b and c score the same."


def test_clips_that_could_not_be_read_are_among_those_scored(new_report, new_result):
    one = new_result(confusion=np.eye(4, dtype=int), num_unreadable=3)
    assert summary_sentences(new_report(results=(one,)))[0].startswith("Of 7 clips of 4 classes")


def test_errors_that_reverse_time(new_report):
    report = new_report()
    pairs = ((report.classes[0], report.classes[2]),)
    assert (
        "0 of 1 for <i>MSTNet</i> and 13 of 14 for TSN"
        in summary_sentences(replace(report, reverse_pairs=pairs))[-1]
    )


def test_what_was_not_measured_is_not_spoken_of(new_report, new_result):
    unknown = new_result(name="a", top1=float("nan"))
    assert summary_sentences(new_report(results=(unknown,))) == []
    perfect = new_result(name="b", top1=100.0, confusion=np.eye(4, dtype=int))
    (only,) = summary_sentences(new_report(results=(unknown, perfect)))
    assert only.startswith("Of 4 clips of 4 classes")
