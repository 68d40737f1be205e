"""Events of recordings as a page: the video, the events and the scores over time, to look at.

The timeline is `event_timeline.js` and `.css`, which the page of the service has too. The page
loads nothing but the videos, which lie beside it; its policy forbids anything else.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from markupsafe import Markup

from mixtconv._strict_json import to_json
from mixtconv.visualization.inline_svg import file_text, page_css, page_template

SCRIPTS = ("event_timeline.js", "event_page.js")


@dataclass(frozen=True)
class FoundEvent:
    """An event that was found."""

    label: str
    """Its class."""
    start: float
    """In seconds since the first frame."""
    end: float
    """In seconds."""
    score: float
    """From 0 to 1."""
    match: int | None = None
    """The place of the annotated event that it matches."""


@dataclass(frozen=True)
class TrueEvent:
    """An annotated event."""

    label: str
    """Its class."""
    start: float
    """In seconds since the first frame."""
    end: float
    """In seconds."""
    found: bool
    """Whether a found one matches it."""


@dataclass(frozen=True, kw_only=True)
class EventTimeline:
    """A recording, as `event_timeline.js` draws it."""

    name: str
    """Shown for it."""
    video: str | None
    """Address of the video, from the page."""
    offset: float
    """Seconds by the clock of the file before its first picture."""
    seconds: float
    """Length of the recording."""
    events: Sequence[FoundEvent]
    """What was found."""
    annotated: Sequence[TrueEvent] | None
    """What is annotated; None where nobody knows."""
    scores: dict[str, Any] | None
    """`starts` (N,) and `end` in seconds; `classes`, each with its `label` and `values` (N,)."""
    thresholds: dict[str, tuple[float, float]]
    """Class -> the scores to enter and to leave."""
    error: str | None = None
    """Why the recording cannot be read."""


@dataclass(frozen=True)
class PageTable:
    """Numbers above the recordings."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]] = field(default_factory=tuple)


def render_event_page(
    recordings: Sequence[EventTimeline],
    *,
    title: str,
    notes: Sequence[str] = (),
    tables: Sequence[PageTable] = (),
) -> str:
    """Write recordings and their events as one HTML page. The same gives the same text.

    >>> recording = EventTimeline(
    ...     name="day.mp4", video="day.mp4", offset=0, seconds=9, annotated=None, scores=None,
    ...     events=[FoundEvent("wave", 1, 2, 0.5)], thresholds={},
    ... )
    >>> "day.mp4" in render_event_page([recording], title="Events")
    True
    """
    script = "\n".join(map(file_text, SCRIPTS))
    content = to_json([asdict(recording) for recording in recordings])
    return page_template("event_page.html.j2").render(
        title=title,
        notes=notes,
        tables=tables,
        many=len(recordings) > 1,
        css=page_css() + "\n" + Markup(file_text("event_timeline.css")),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        recordings=Markup(content.replace("<", "\\u003c")),
    )
