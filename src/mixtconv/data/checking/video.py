"""Checking one video: a plain function of a small value, for any engine to map over many.

It reads with the code that training, scoring and preparation use, so they can read what passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mixtconv._names import count_of, first_few
from mixtconv.data.listing import Fault, FaultKind
from mixtconv.data.modality import list_flow, probe_for
from mixtconv.models.spec import Modality
from mixtconv.video.folder import list_frames, load_pictures
from mixtconv.video.opening import as_unreadable
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.segment import Span, Stretch
from mixtconv.video.segment_frames import Recording
from mixtconv.video.survey import survey_file
from mixtconv.video.thumbnails import Thumbnails, ThumbnailTaker


@dataclass(frozen=True)
class VideoToCheck:
    """A video, and what it has to satisfy."""

    path: Path
    """A file, or a folder of pictures."""
    min_frames: int = 2
    """Fewer frames than this are too short."""
    modality: Modality | None = None
    """What a model sees of it; by default video or optical flow, whichever it is."""
    quick: bool = False
    """Whether only its packets are counted and its first frame is decoded, not all."""
    spans: tuple[Span, ...] = ()
    """The segments of it that the data name."""


@dataclass(frozen=True)
class CheckedVideo:
    """The result of checking a video."""

    num_frames: int
    """Frames that can be read; of optical flow, the frames that it was computed from."""
    faults: tuple[Fault, ...] = ()
    """What is wrong with it; empty if nothing is."""
    is_hdr: bool = False
    """Whether it has HDR frames, which are read as SDR; unknown if only its first frame was read,
    as is the next."""
    is_interlaced: bool = False
    """Whether it has interlaced frames, of which one field is read."""
    thumbnails: Thumbnails | None = field(default=None, compare=False, repr=False)
    """Small pictures of its frames; None of optical flow, and if only its first frame was read."""
    beyond: Mapping[Span, str] = field(default_factory=dict)
    """The segments that go on after its end, and how in words."""
    stretches: Mapping[Span, Stretch] = field(default_factory=dict)
    """Start and end of its segments in one unit, in whatever they were given."""


def check_video(video: VideoToCheck) -> CheckedVideo:
    """Read a video to its end and report what is wrong with it.

    >>> from mixtconv.data.checking.video import VideoToCheck, check_video
    >>> [(f.kind, f.reason) for f in check_video(VideoToCheck(Path("nowhere.mp4"))).faults]
    [('unreadable', 'there is no such file or folder')]
    """
    try:
        with as_unreadable(video.path):
            read, damage = _read(video)
            if video.spans:
                read = _with_segments(read, video)
    except UnreadableVideoError as error:
        return unreadable_video(video.path, error.reason_in(video.path))
    faults = [] if damage is None else [_fault(video.path, "damaged", damage)]
    if read.num_frames < video.min_frames:
        reason = f"{count_of(read.num_frames, 'frame')}, less than {video.min_frames}"
        faults.append(_fault(video.path, "short", reason))
    return replace(read, faults=tuple(faults))


def _with_segments(read: CheckedVideo, video: VideoToCheck) -> CheckedVideo:
    """What was read of a recording, with where its segments are and which go on after its end."""
    recording = Recording(video.path)
    beyond: dict[Span, str] = {}
    for span in video.spans:
        try:
            if not recording.reaches(span):
                beyond[span] = f"it ends after the recording, {recording}"
        except UnreadableVideoError as error:
            beyond[span] = error.reason
    try:
        stretches = dict(zip(video.spans, recording.stretches(video.spans), strict=True))
    except UnreadableVideoError:  # seconds of a folder of pictures, which are beyond it
        stretches = {}
    return replace(read, beyond=beyond, stretches=stretches)


def unreadable_video(path: Path, reason: str) -> CheckedVideo:
    """The result for a video of which no frame can be decoded."""
    return CheckedVideo(0, (_fault(path, "unreadable", reason),))


def _fault(path: Path, kind: FaultKind, reason: str) -> Fault:
    return Fault(kind, path.name, reason, path=str(path))


def _read(video: VideoToCheck) -> tuple[CheckedVideo, str | None]:
    """What was read of a video, and its damage in words if there is any."""
    info = probe_for(video.path, video.modality)
    is_flow = info.codec == "flow"
    num_frames = info.num_frames + is_flow
    if video.quick:
        return CheckedVideo(num_frames), None
    taker = ThumbnailTaker(info.num_frames)
    if video.path.is_dir():
        damage = _damaged_pictures(video.path, is_flow, None if is_flow else taker)
        return CheckedVideo(num_frames, thumbnails=taker.result()), damage
    survey = survey_file(video.path, see_frame=taker.see_frame)
    checked = CheckedVideo(
        survey.num_pictures,
        is_hdr=survey.num_hdr > 0,
        is_interlaced=survey.num_interlaced > 0,
        thumbnails=taker.result(),
    )
    return checked, survey.damage()


def _damaged_pictures(folder: Path, is_flow: bool, taker: ThumbnailTaker | None) -> str | None:
    """Which pictures of a folder cannot be read or are of another size, in words."""
    reasons, total = [], 0
    for inner, names in list_flow(folder) if is_flow else [(folder, list_frames(folder))]:
        total += len(names)
        for index in range(len(names)):
            try:
                picture = load_pictures(inner, names, (index,), mode="L" if is_flow else "RGB")[0]
            except UnreadableVideoError as error:
                reasons.append(error.reason_in(folder))
            else:
                if taker is not None:
                    taker.see_picture(index, picture)
    if not reasons:
        return None
    return f"{len(reasons)} of {count_of(total, 'picture')}: {first_few(reasons, separator='; ')}"
