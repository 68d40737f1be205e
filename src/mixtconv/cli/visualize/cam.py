"""`mixtconv visualize cam MODEL VIDEO...`."""

from mixtconv.cli.console import Format, progress


def cam(
    model: str,
    videos: list[str],
    *,
    label: str | None = None,
    clips: int = 1,
    device: str = "auto",
    out: str = "cam.png",
    format: Format = "table",
) -> int:
    """Draw where in the frames of videos a model finds a class (Grad-CAM over the whole clip).

    Args:
        model: Model file of a training run.
        videos: Files, folders or patterns such as 'clips/*.mp4'.
        label: The class; default of each video the one that the model predicts.
        clips: Clips of each video; several show more of its frames.
        device: auto, cpu, cuda, cuda:0 or mps.
        out: File of the picture, .png or .svg, or of one video .mp4; one that is there is replaced.
        format: How the numbers are printed, table or json.
    """
    from mixtconv.cli.visualize.picture import finish
    from mixtconv.data.find_videos import find_videos
    from mixtconv.visualization.drawing import MOVING, STILL, check_picture_path
    from mixtconv.visualization.drawings import draw_activation

    sources = find_videos(videos)
    path = check_picture_path(out, MOVING if len(sources) == 1 else STILL)
    with progress("reading videos") as show:
        drawing = draw_activation(
            model, sources, label=label, num_clips=clips, device=device, progress=show
        )
    return finish(drawing, path, format=format)
