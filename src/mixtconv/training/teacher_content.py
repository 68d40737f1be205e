"""What a teacher is known by: a hash of what its scores depend on, not of where it lies.

So a run goes on with a teacher that was moved, and not with another in its place. It stays the same
for a later version that knows more settings of models, see `identity.changed_fields`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from mixtconv.evaluation.scores_file import SavedScores
from mixtconv.inference.engines.opening import files_of, refuse_missing
from mixtconv.models import VideoClassifier
from mixtconv.models.frozen_trunk import hash_tensors
from mixtconv.training.identity import changed_fields

_NO_SCORES = ("label_thresholds", "rejection_thresholds")
"""Fields of a spec that say what follows from scores."""


def content_of_model(model: VideoClassifier) -> str:
    """SHA-256 of a recognizer: of its settings that are not at their defaults, and its weights."""
    values = changed_fields(model.spec, always=("name", "classes"))
    about = {name: value for name, value in values.items() if name not in _NO_SCORES}
    return _hash_of(about, hash_tensors(model.state_dict()))


def content_of_scores(scores: SavedScores) -> str:
    """SHA-256 of kept scores, with their classes and videos."""
    about = [scores.classes, scores.keys, scores.kind]
    return _hash_of(about, hash_tensors({"scores": scores.scores}))


def content_of_engine(path: Path) -> str:
    """SHA-256 of the files of an exported model.

    Raises:
        ValueError: there is none.
    """
    refuse_missing(path)
    contents = [hashlib.sha256(each.read_bytes()).hexdigest() for each in files_of(path)]
    return _hash_of(contents)


def _hash_of(*about: Any) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
