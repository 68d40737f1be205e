"""What to say when a name is not known: the near ones."""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that no registry holds, with the known names nearest to it.

    >>> unknown_name("operation", "mixconv", ["mixtconv", "shift"])
    ValueError("unknown operation 'mixconv'; did you mean 'mixtconv'?")
    """
    known = sorted(known)
    near = get_close_matches(name, known, n=5, cutoff=0.5)
    if near:
        hint = "did you mean " + " or ".join(repr(match) for match in near) + "?"
    else:
        hint = "known are " + ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return ValueError(f"unknown {kind} {name!r}; {hint}")
