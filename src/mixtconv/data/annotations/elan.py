"""ELAN: annotation documents (`.eaf`), one a recording.

Times are slots in milliseconds. In a medium they are later by its `TIME_ORIGIN`, the part of it
that was cut off to synchronize several. An annotation that refers to another one has its times, or
an equal part where several of a tier do. Slots without a time are spread evenly between those of
their chain that have one; both as ELAN shows them. The value of an annotation is its label.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from mixtconv._names import first_few
from mixtconv.data.annotations.documents import Element, exact
from mixtconv.data.annotations.segment import (
    AnnotatedSegment,
    Annotations,
    Omissions,
    with_empty_recordings,
)
from mixtconv.data.annotations.video_names import file_path, is_video_name
from mixtconv.data.listing import ListPlace

TITLE = "ELAN"

Span = tuple[Fraction, Fraction]
"""Start and end in milliseconds."""


@dataclass(frozen=True)
class _Annotation:
    """An annotation of a tier."""

    name: str
    value: str
    element: Element
    """With slots of time, or with a reference."""


def is_document(root: Element) -> bool:
    """Whether a document is one of ELAN."""
    return root.tag == "ANNOTATION_DOCUMENT"


def read_document(path: Path, root: Element) -> Annotations:
    """Read a document.

    Raises:
        ValueError: it is broken, or names no video; the line is named.
    """
    omissions = Omissions()
    whole, origin = _video(path, root, omissions)
    tiers = [
        (tier.attributes.get("TIER_ID", ""), _annotations(path, tier)) for tier in root.all("TIER")
    ]
    spans = _Spans(path, root, [annotations for _, annotations in tiers])
    segments: list[AnnotatedSegment] = []
    uncertain: list[AnnotatedSegment] = []
    for tier, annotations in tiers:
        for each in annotations:
            start, end = ((time + origin) / 1000 for time in spans.of(each.name, each.element.line))
            segment = replace(
                whole,
                label=each.value,
                start=start,
                end=end,
                place=ListPlace(path.name, each.element.line),
                tier=tier,
            )
            (segments if each.value else uncertain).append(segment)
    omissions.add("annotation", "without a value; no background is taken there", len(uncertain))
    notes = list(omissions)
    used = [tier for tier, annotations in tiers if annotations]
    if len(used) > 1:
        notes.append(f"annotations of {len(used)} tiers are read: {first_few(used, count=8)}")
    return Annotations(
        TITLE, with_empty_recordings(segments, [whole]), tuple(uncertain), tuple(notes)
    )


def _video(path: Path, root: Element, omissions: Omissions) -> tuple[AnnotatedSegment, Fraction]:
    """The first video of the document, and where in it the times start, in milliseconds."""
    header = root.first("HEADER")
    if header is None:
        raise ValueError(f"{path}:{root.line}: no HEADER; save the document again in ELAN")
    units = header.attributes.get("TIME_UNITS", "milliseconds")
    if units != "milliseconds":
        raise ValueError(
            f"{path}:{header.line}: TIME_UNITS is {units!r}; only milliseconds are read, in which "
            "ELAN saves"
        )
    media = list(header.all("MEDIA_DESCRIPTOR"))
    videos = [each for each in media if any(map(is_video_name, _names(each)))]
    videos = videos or [e for e in media if e.attributes.get("MIME_TYPE", "").startswith("video/")]
    if not videos:
        named = [name for each in media for name in _names(each)[:1]]
        raise ValueError(
            f"{path}:{header.line}: no video among its media ({first_few(named) or 'none'}); link "
            "one in ELAN (Edit > Linked Files) and save"
        )
    why = "only the first video of a document is read"
    omissions.add("further video", why, len(videos) - 1)
    video = videos[0]
    place = ListPlace(path.name, video.line)
    names = _names(video)
    if not names:
        raise ValueError(f"{place}: a video without a name; link it again in ELAN and save")
    origin = exact(video.attributes.get("TIME_ORIGIN") or "0", "TIME_ORIGIN", place)
    return (
        AnnotatedSegment(names[0], "", None, None, "seconds", place, other_names=tuple(names[1:])),
        origin,
    )


def _names(medium: Element) -> list[str]:
    """The names of a medium: relative to the document, and where it was when that was saved."""
    texts = [medium.attributes.get(name, "") for name in ("RELATIVE_MEDIA_URL", "MEDIA_URL")]
    return list(dict.fromkeys(file_path(text) for text in texts if text))


def _annotations(path: Path, tier: Element) -> list[_Annotation]:
    found = []
    for holder in tier.all("ANNOTATION"):
        for element in holder.children:
            name = element.attributes.get("ANNOTATION_ID")
            if not name:
                raise ValueError(f"{path}:{element.line}: {element.tag} without ANNOTATION_ID")
            found.append(_Annotation(name, element.text_of("ANNOTATION_VALUE"), element))
    return found


class _Spans:
    """Start and end of every annotation."""

    def __init__(self, path: Path, root: Element, tiers: Sequence[list[_Annotation]]) -> None:
        self._path = path
        self._slots = _slots(path, root)
        self._spans: dict[str, Span] = {}
        referring: dict[str, list[list[_Annotation]]] = {}
        _refuse_repetition(path, tiers)
        for annotations in tiers:
            self._align(annotations)
            siblings: dict[str, list[_Annotation]] = {}
            for each in annotations:
                if parent := each.element.attributes.get("ANNOTATION_REF"):
                    siblings.setdefault(parent, []).append(each)
            for parent, each_of in siblings.items():
                referring.setdefault(parent, []).append(_in_order(each_of))
        waiting = list(self._spans)
        while waiting:
            parent = waiting.pop()
            start, end = self._spans[parent]
            for siblings_of_tier in referring.pop(parent, ()):
                part = (end - start) / len(siblings_of_tier)
                for index, each in enumerate(siblings_of_tier):
                    self._spans[each.name] = (start + part * index, start + part * (index + 1))
                    waiting.append(each.name)

    def of(self, name: str, line: int) -> Span:
        """The span of an annotation, in milliseconds."""
        if name not in self._spans:
            raise ValueError(
                f"{self._path}:{line}: annotation {name!r} has no times: what it refers to is not "
                "in the document; save it again in ELAN"
            )
        return self._spans[name]

    def _align(self, annotations: Sequence[_Annotation]) -> None:
        """The spans of annotations with slots of their own."""
        ends: dict[str, str] = {}
        pairs = []
        for each in annotations:
            slots = [each.element.attributes.get(f"TIME_SLOT_REF{n}") for n in (1, 2)]
            first, second = slots
            if first is None or second is None:
                continue
            for slot in (first, second):
                if slot not in self._slots:
                    raise ValueError(
                        f"{self._path}:{each.element.line}: no time slot {slot!r}; save the "
                        "document again in ELAN"
                    )
            ends[first] = second
            pairs.append((each, first, second))
        self._spread(ends)
        for each, first, second in pairs:
            start, end = self._slots[first], self._slots[second]
            if start is None or end is None:
                raise ValueError(
                    f"{self._path}:{each.element.line}: a time slot without a time, and none "
                    "before or after it in its tier; align the annotation in ELAN"
                )
            self._spans[each.name] = (start, end)

    def _spread(self, ends: dict[str, str]) -> None:
        """Give times to the slots of a chain between two that have one."""
        for first in [slot for slot in ends if self._slots[slot] is not None]:
            chain = [ends[first]]
            while self._slots[chain[-1]] is None and chain[-1] in ends and len(chain) <= len(ends):
                chain.append(ends[chain[-1]])
            start, end = self._slots[first], self._slots[chain[-1]]
            if start is None or end is None:
                continue
            for index, slot in enumerate(chain[:-1], 1):
                self._slots[slot] = start + (end - start) * index / len(chain)


def _refuse_repetition(path: Path, tiers: Sequence[list[_Annotation]]) -> None:
    lines: dict[str, int] = {}
    for annotation in (each for annotations in tiers for each in annotations):
        name, line = annotation.name, annotation.element.line
        if (earlier := lines.setdefault(name, line)) != line:
            raise ValueError(
                f"{path}:{line}: annotation {name!r} is there twice, also on line {earlier}; save "
                "the document again in ELAN"
            )


def _slots(path: Path, root: Element) -> dict[str, Fraction | None]:
    """The slots of time by their names, in milliseconds."""
    order = root.first("TIME_ORDER")
    slots: dict[str, Fraction | None] = {}
    for slot in () if order is None else order.all("TIME_SLOT"):
        value = slot.attributes.get("TIME_VALUE")
        place = ListPlace(path.name, slot.line)
        time = None if value is None else exact(value, "TIME_VALUE", place)
        slots[slot.attributes.get("TIME_SLOT_ID", "")] = time
    return slots


def _in_order(siblings: Sequence[_Annotation]) -> list[_Annotation]:
    """Annotations that share what they refer to, each after its PREVIOUS_ANNOTATION."""
    names = {each.name for each in siblings}
    following: dict[str, list[_Annotation]] = {}
    for each in siblings:
        previous = each.element.attributes.get("PREVIOUS_ANNOTATION", "")
        following.setdefault(previous if previous in names else "", []).append(each)
    ordered: list[_Annotation] = []
    waiting = list(reversed(following.pop("", [])))
    while waiting:
        each = waiting.pop()
        ordered.append(each)
        waiting += reversed(following.pop(each.name, []))
    return ordered if len(ordered) == len(siblings) else list(siblings)
