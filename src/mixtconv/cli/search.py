"""`mixtconv search EMBEDDINGS VIDEO...`."""

from mixtconv._types import Precision
from mixtconv.cli.commands import Result, Table


def search(
    embeddings: str,
    videos: list[str],
    *,
    top_k: int = 5,
    model: str | None = None,
    device: str = "auto",
    precision: Precision = "auto",
) -> Result:
    """Find the videos nearest to a video, of those that mixtconv embed has written.

    The exit status is 1 if a video cannot be read, 2 if none can.

    Args:
        embeddings: File of mixtconv embed.
        videos: The videos to find near ones of: files, folders or patterns.
        top_k: Number of near videos of each.
        model: Model file of the embeddings; default where it was then.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
    """
    from mixtconv.inference.embeddings import load_embedder, load_embeddings
    from mixtconv.video.find import find_videos
    from mixtconv.video.pictures import UnreadableVideoError

    known = load_embeddings(embeddings)
    recognizer = load_embedder(
        model or known.model, protocol=known.protocol, device=device, precision=precision
    )
    content: list[dict[str, object]] = []
    rows: list[list[object]] = []
    notes: list[str] = []
    for video in find_videos(videos):
        try:
            vector = recognizer.embed(video)
        except UnreadableVideoError as error:
            content.append({"source": str(video), "nearest": [], "error": str(error)})
            notes.append(f"cannot be read: {error}")
            continue
        nearest = known.nearest(vector, top_k=top_k)
        near = [{"video": name, "similarity": value} for name, value in nearest]
        content.append({"source": str(video), "nearest": near})
        rows += [
            ["" if rank else str(video), name, f"{value:.4f}"]
            for rank, (name, value) in enumerate(nearest)
        ]
    table = Table(["source", "near video", "cosine similarity"], rows)
    num_faulty = len(notes)
    return Result(
        content, [table], notes, status=2 if num_faulty == len(content) else min(num_faulty, 1)
    )
