"""Labels that the videos nearest to a video contradict, and videos that are nearly the same.

A model's features put videos of one action near each other, whether or not it was trained on them.
A video whose nearest neighbours, of other recordings, nearly all have one other label is probably
mislabelled: Wilson, "Asymptotic Properties of Nearest Neighbor Rules Using Edited Data" (1972).
Different here: all but one of the votes are of one label, and none is of the video's own.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv._types import Progress
from mixtconv.data.listing import ListedVideo
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.video.pictures import Unreadable, UnreadableVideoError
from mixtconv.video.segment import named

NUM_NEIGHBOURS = 5
"""Nearest videos that are asked."""
LEAST_VOTES = 4
"""Of them, those that have one label in common, for another label to be suspicious."""
NEARLY_SAME = 0.999
"""Cosine similarity from which two videos are nearly the same to a model."""
MOST_PAIRS = 1000
"""Pairs that are given, the most similar ones."""
MOST_SHOWN = 20
"""Rows of a table."""
_AT_ONCE = 1024


@dataclass(frozen=True)
class SuspiciousLabel:
    """A video whose neighbours have another label."""

    video: str
    """Its name in the data."""
    label: str
    """As the data say."""
    neighbours_label: str
    """That of its neighbours."""
    votes: int
    """How many of `NUM_NEIGHBOURS` have it."""
    nearest: str
    """The nearest of them."""
    similarity: float
    """Cosine similarity to that one."""


@dataclass(frozen=True)
class NearPair:
    """Two videos, of different labels or splits, that are nearly the same to the model."""

    video: str
    other: str
    similarity: float
    labels: tuple[str, str]
    splits: tuple[str, str]


@dataclass(frozen=True)
class NeighbourReview:
    """What a model's features say about the labels of data."""

    num_videos: int
    """Videos that could be read."""
    suspicious: tuple[SuspiciousLabel, ...]
    """The least similar to others of their label first."""
    pairs: tuple[NearPair, ...]
    """The most similar first."""
    unreadable: tuple[Unreadable, ...]

    @property
    def notes(self) -> list[str]:
        """Sentences that the user should read."""
        said = [f"not compared, the model cannot read it: {video}" for video in self.unreadable[:5]]
        if (more := len(self.unreadable) - 5) > 0:
            said.append(f"and {more} more that it cannot read")
        if self.num_videos <= NUM_NEIGHBOURS:
            said.append(
                f"labels are not compared: {self.num_videos} videos can be read, and to compare "
                f"each with its neighbours takes {NUM_NEIGHBOURS + 1} or more"
            )
        elif not self.suspicious and not self.pairs:
            said.append(f"no label that the neighbours of {self.num_videos} videos contradict")
        return said

    def tables(self) -> dict[str, tuple[list[str], list[list[str]]]]:
        """Title -> names of columns and the first rows, of what was found."""
        suspicious = [
            [each.video, each.label, each.neighbours_label, str(each.votes), each.nearest]
            for each in self.suspicious
        ]
        pairs = [
            [
                each.video,
                each.other,
                _both(each.labels),
                _both(each.splits),
                f"{each.similarity:.4f}",
            ]
            for each in self.pairs
        ]
        kinds = {
            "labels that neighbours contradict": (
                ["video", "label", "label of neighbours", "votes", "nearest"],
                suspicious,
            ),
            "nearly the same to the model": (
                ["video", "other video", "labels", "splits", "similarity"],
                pairs,
            ),
        }
        return {
            _title(what, len(rows)): (columns, rows[:MOST_SHOWN])
            for what, (columns, rows) in kinds.items()
            if rows
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "num_videos": self.num_videos,
            "suspicious": [vars(each) for each in self.suspicious],
            "pairs": [vars(each) for each in self.pairs],
            "unreadable": [video.to_dict() for video in self.unreadable],
        }


def _title(what: str, number: int) -> str:
    rest = f", the first {MOST_SHOWN} of {number}, --format json has all"
    return what + (rest if number > MOST_SHOWN else "")


def _both(names: tuple[str, str]) -> str:
    return " / ".join(dict.fromkeys(names))


def review_neighbours(
    recognizer: Recognizer,
    videos: Sequence[ListedVideo],
    *,
    progress: Progress = lambda *numbers: None,
) -> NeighbourReview:
    """Compare each video with its nearest ones by the features of a model.

    Args:
        recognizer: the model; its classes need not be those of the data.
        videos: with their labels.
        progress: called with the number of videos read, and of all.

    Returns:
        Of fewer than `NUM_NEIGHBOURS` + 1 videos nothing but their number.
    """
    rows: list[npt.NDArray[np.float32]] = []
    kept: list[ListedVideo] = []
    unreadable: list[Unreadable] = []
    for number, video in enumerate(videos, 1):
        try:
            rows.append(recognizer.embed_views([recognizer.reader.read(video.video).frames])[0])
            kept.append(video)
        except UnreadableVideoError as error:
            unreadable.append(Unreadable(named(video.video), error.reason))
        progress(number, len(videos))
    if len(kept) <= NUM_NEIGHBOURS:
        return NeighbourReview(len(kept), (), (), tuple(unreadable))
    vectors = np.stack(rows)
    suspicious = [_suspicion(kept, *found) for found in _neighbours(vectors, _recordings(kept))]
    pairs = nlargest(MOST_PAIRS, _near_pairs(vectors, kept), key=lambda pair: pair.similarity)
    found = sorted(
        (each for each in suspicious if each is not None), key=lambda each: -each.similarity
    )
    return NeighbourReview(len(kept), tuple(found), tuple(pairs), tuple(unreadable))


def _recordings(videos: Sequence[ListedVideo]) -> npt.NDArray[np.int64]:
    """The number of each video's recording, cut into files or not, (N,)."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(video.recording_key, len(numbers)) for video in videos])


_Found = tuple[int, npt.NDArray[np.int64], npt.NDArray[np.float32]]


def _neighbours(
    vectors: npt.NDArray[np.float32], recordings: npt.NDArray[np.int64]
) -> Iterator[_Found]:
    """Each video's number, the numbers of its nearest ones of other recordings, and how near."""
    for start in range(0, len(vectors), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        similarity = vectors[part] @ vectors.T  # (P, N)
        similarity[recordings[part, None] == recordings[None]] = -2  # segments of one recording
        for row, values in enumerate(similarity):
            best = np.argsort(-values, kind="stable")[:NUM_NEIGHBOURS]
            best = best[values[best] > -2]
            yield start + row, best, values[best]


def _suspicion(
    videos: Sequence[ListedVideo],
    number: int,
    nearest: npt.NDArray[np.int64],
    similarity: npt.NDArray[np.float32],
) -> SuspiciousLabel | None:
    own = set(videos[number].class_names)
    votes = Counter(videos[each].class_name for each in nearest)
    is_shared = any(own & set(videos[each].class_names) for each in nearest)
    if is_shared or not votes:
        return None
    label, count = votes.most_common(1)[0]
    if count < LEAST_VOTES:
        return None
    place = next(i for i, each in enumerate(nearest) if videos[each].class_name == label)
    return SuspiciousLabel(
        video=videos[number].key,
        label=videos[number].class_name,
        neighbours_label=label,
        votes=count,
        nearest=videos[nearest[place]].key,
        similarity=float(similarity[place]),
    )


def _near_pairs(
    vectors: npt.NDArray[np.float32], videos: Sequence[ListedVideo]
) -> Iterator[NearPair]:
    labels = [video.class_name for video in videos]
    splits = [video.split or "" for video in videos]
    for start in range(0, len(vectors), _AT_ONCE):
        similarity = vectors[start : start + _AT_ONCE] @ vectors.T
        for row, column in np.argwhere(similarity >= NEARLY_SAME):
            one, other = int(start + row), int(column)
            is_same = (labels[one], splits[one]) == (labels[other], splits[other])
            is_one = videos[one].recording_key == videos[other].recording_key
            if one < other and not is_same and not is_one:
                yield NearPair(
                    videos[one].key,
                    videos[other].key,
                    float(similarity[row, column]),
                    (labels[one], labels[other]),
                    (splits[one], splits[other]),
                )
