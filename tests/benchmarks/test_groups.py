"""Groups of candidates: who is compared with whom."""

from mixtconv.benchmarks.timing import Timing, compare_in_groups


def test_a_group_is_compared_with_its_first_and_with_the_reference():
    timings = [Timing(name, (1.0,)) for name in ("x, one", "y, one", "x, two", "y, two")]
    groups = {"one": ["x", "y"], "two": ["x", "y"]}
    one, two = compare_in_groups(timings, groups, task="running", reference="y, one")
    assert (one.title, one.baseline, one.names) == ("running, one", "x, one", ["x, one", "y, one"])
    assert (two.baseline, two.names) == ("x, two", ["x, two", "y, two", "y, one"])
    assert two.references == ("y, one",)
