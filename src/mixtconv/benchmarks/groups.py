"""Candidates in groups: the same networks treated in several ways, timed in the same rounds."""

from collections.abc import Mapping, Sequence

from mixtconv.benchmarks.timing import Comparison, Timing


def compare_in_groups(
    timings: Sequence[Timing],
    groups: Mapping[str, Sequence[str]],
    *,
    task: str,
    reference: str,
    notes: tuple[str, ...] = (),
) -> list[Comparison]:
    """One comparison a group, each against the first of the group and against one candidate of all.

    Args:
        timings: of candidates called `grouped_name(name, group)`, all of the same rounds.
        groups: what is done to the candidates -> names of the candidates.
        task: what was done, for the titles.
        reference: the candidate that stands in every group; its full name.
        notes: what a reader should know.
    """
    by_name = {timing.name: timing for timing in timings}
    comparisons = []
    for group, names in groups.items():
        members = [grouped_name(name, group) for name in names]
        comparisons.append(
            Comparison(
                title=f"{task}, {group}",
                baseline=members[0],
                timings=tuple(by_name[name] for name in dict.fromkeys([*members, reference])),
                notes=notes,
                references=(reference,),
            )
        )
    return comparisons


def grouped_name(name: str, group: str) -> str:
    """The name of a candidate among those of other groups."""
    return f"{name}, {group}"
