"""`mixtconv embed MODEL VIDEO... --out FILE`."""

from pathlib import Path

from mixtconv._types import Precision
from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress


def embed(
    model: str,
    videos: list[str],
    *,
    out: str,
    protocol: str = "1x1",
    device: str = "auto",
    precision: Precision = "auto",
) -> Result:
    """Write videos as unit vectors, the features before the last layer.

    The scalar product of two is their cosine similarity; mixtconv search finds the nearest. A video
    that cannot be read is named and left out; the exit status is then 1.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub.
        videos: Files, folders or patterns such as 'clips/*.mp4'.
        out: File to write, .parquet (needs pyarrow) or .npz.
        protocol: Views of every video, over which features are averaged: clips x crops, such as 1x1
            or 2x3.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
    """
    from mixtconv._atomic_write import refuse_unwritable
    from mixtconv.inference.embeddings import (
        check_embeddings_path,
        embed_videos,
        load_embedder,
        save_embeddings,
    )
    from mixtconv.video.find import find_videos

    path = Path(out)
    check_embeddings_path(path)
    refuse_unwritable(path)
    recognizer = load_embedder(model, protocol=protocol, device=device, precision=precision)
    sources = find_videos(videos)
    with progress("embedding") as show:
        found, unreadable = embed_videos(recognizer, sources, model=model, progress=show)
    save_embeddings(found, path)
    count, width = found.vectors.shape
    content = {
        "out": out,
        "videos": count,
        "features": width,
        "unreadable": [video.to_dict() for video in unreadable],
    }
    table = Table(["file", "videos", "features"], [[out, count, width]])
    notes = [f"left out, cannot be read: {video}" for video in unreadable]
    return Result(content, [table], notes, status=1 if unreadable else 0)
