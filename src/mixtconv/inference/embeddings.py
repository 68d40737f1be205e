"""Unit vectors of many videos in a file, and those nearest to a video."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv._atomic_write import write_atomically
from mixtconv._parquet import SUFFIX, read_parquet, require_pyarrow, write_parquet
from mixtconv._types import Progress
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models.spec import is_exported
from mixtconv.video.in_memory import VideoLike
from mixtconv.video.pictures import Unreadable, UnreadableVideoError

SUFFIXES = (SUFFIX, ".npz")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Videos as unit vectors."""

    videos: tuple[str, ...]
    """Their names, as given."""
    vectors: npt.NDArray[np.float32]
    """(N, D), rows of length 1."""
    model: str
    """The model file that they are of."""
    protocol: str
    """Views of every video."""

    def nearest(
        self, vector: npt.NDArray[np.float32], *, top_k: int = 5
    ) -> list[tuple[str, float]]:
        """The nearest videos to a unit vector (D,), with their cosine similarities, best first.

        Raises:
            ValueError: a vector of another length, or fewer than 1 asked for.
        """
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; give at least 1")
        if vector.shape != self.vectors.shape[1:]:
            raise ValueError(
                f"got a vector of shape {vector.shape}, and the videos have "
                f"{self.vectors.shape[1:]}: embed both with one model"
            )
        similarity = self.vectors @ vector  # (N,)
        best = np.argsort(-similarity, kind="stable")[:top_k]
        return [(self.videos[index], float(similarity[index])) for index in best]


def check_embeddings_path(path: Path) -> None:
    """Refuse a file for embeddings that could not be written as such.

    Raises:
        ValueError: another suffix than .parquet and .npz, or Parquet without pyarrow.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: embeddings are files that end in {' or '.join(SUFFIXES)}")
    if path.suffix.lower() == SUFFIX:
        require_pyarrow(path, without=".npz needs nothing")


def load_embedder(model: str | Path, **settings: Any) -> Recognizer:
    """The recognizer of a model file; `settings` as for `Recognizer`.

    Raises:
        ValueError: an exported model, which gives logits and no features.
    """
    if is_exported(model):
        raise ValueError(
            f"{model} is an exported model, which gives no features: take the model file that it "
            "was made from"
        )
    return Recognizer(model, **settings)


def embed_videos(
    recognizer: Recognizer,
    videos: Sequence[VideoLike],
    *,
    model: str,
    progress: Progress = lambda *numbers: None,
) -> tuple[Embeddings, tuple[Unreadable, ...]]:
    """The unit vectors of videos, and the videos that cannot be read, which are left out.

    Args:
        recognizer: the model.
        videos: what `VideoRecognizer.predict` takes.
        model: name of its file.
        progress: called with the number of videos done, and of all.

    Raises:
        ValueError: no video can be read.
    """
    names, rows, unreadable = [], [], []
    embedded = recognizer.in_threads(_try_embed, videos, in_order=True)
    for number, (video, row) in enumerate(embedded, 1):
        if isinstance(row, UnreadableVideoError):
            unreadable.append(Unreadable(Path(str(video)), row.reason))
        else:
            rows.append(row)
            names.append(str(video))
        progress(number, len(videos))
    if not rows:
        raise ValueError(f"no video can be read, such as {unreadable[0]}")
    protocol = str(recognizer.protocol)
    return Embeddings(tuple(names), np.stack(rows), model, protocol), tuple(unreadable)


def _try_embed(
    recognizer: Recognizer, video: VideoLike
) -> npt.NDArray[np.float32] | UnreadableVideoError:
    try:
        return recognizer.embed(video)
    except UnreadableVideoError as error:
        return error


def save_embeddings(embeddings: Embeddings, path: Path) -> None:
    """Write embeddings: .parquet (columns video and embedding), or .npz (videos, vectors, about).

    Raises:
        ValueError: another suffix, or Parquet without pyarrow.
        OSError: the file cannot be written.
    """
    check_embeddings_path(path)
    about = {"model": embeddings.model, "protocol": embeddings.protocol}
    if path.suffix.lower() == SUFFIX:
        columns = {"video": list(embeddings.videos), "embedding": embeddings.vectors}
        write_parquet(path, columns, about=about)
        return
    content = io.BytesIO()
    np.savez(
        content,
        videos=np.array(embeddings.videos),
        vectors=embeddings.vectors,
        about=np.array(json.dumps(about)),
    )
    write_atomically(path, content.getbuffer())


def load_embeddings(path: str | Path) -> Embeddings:
    """Read embeddings that `save_embeddings` wrote.

    Raises:
        ValueError: there is no such file, or it holds something else.
    """
    path = Path(path)
    check_embeddings_path(path)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; mixtconv embed writes one")
    try:
        if path.suffix.lower() == SUFFIX:
            table, about = read_parquet(path)
            videos = tuple(table["video"].to_pylist())
            vectors = np.array(table["embedding"].to_pylist(), dtype=np.float32)
        else:
            with np.load(path, allow_pickle=False) as file:
                videos = tuple(map(str, file["videos"]))
                vectors, about = file["vectors"], json.loads(str(file["about"]))
        return Embeddings(videos, vectors, about["model"], about["protocol"])
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} holds no embeddings, or is damaged ({error}); mixtconv embed writes them"
        ) from error
