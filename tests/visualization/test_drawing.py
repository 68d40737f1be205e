"""Files of pictures: suffixes, folders, what was there before."""

from pathlib import Path

import av
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mixtconv.visualization.drawing import Animation, Drawing, check_picture_path, write_drawing
from mixtconv.visualization.inline_svg import Spot


def _drawing(**changes) -> Drawing:
    figure = Figure(figsize=(2, 1), dpi=72)
    return Drawing("a", "b", figure, {}, (), (), **changes)


def test_the_suffix_chooses_the_form(tmp_path: Path):
    film = Animation(np.zeros((3, 32, 32, 3), np.uint8), 2.0)
    drawing = _drawing(spots=(Spot(1, 1, 1, 1, "a", "b"),), animation=film)
    for suffix in ("png", "SVG", "html", "mp4"):
        write_drawing(drawing, tmp_path / "new" / f"a.{suffix}")
    assert Image.open(tmp_path / "new" / "a.png").size == (288, 144)
    assert "<svg" in (tmp_path / "new" / "a.SVG").read_text()
    assert "<html" in (tmp_path / "new" / "a.html").read_text()
    with av.open(str(tmp_path / "new" / "a.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3
    assert len(list((tmp_path / "new").iterdir())) == 4


@pytest.mark.parametrize("name", ["a.jpg", "a", "runs/first", ".png"])
def test_other_suffixes_are_refused(name: str):
    with pytest.raises(ValueError, match=r"this is written as \.png or \.svg"):
        check_picture_path(name, (".png", ".svg"))


def test_html_and_films_need_something_to_show(tmp_path: Path):
    for name in ("a.html", "a.mp4"):
        with pytest.raises(ValueError, match="written as"):
            write_drawing(_drawing(), tmp_path / name)


def test_a_folder_is_no_file_and_a_file_is_replaced_whole(tmp_path: Path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match="which is a folder"):
        write_drawing(_drawing(), tmp_path / "folder.png")
    path = tmp_path / "a.png"
    path.write_bytes(b"before")
    write_drawing(_drawing(), path)
    first = path.read_bytes()
    assert first.startswith(b"\x89PNG")
    write_drawing(_drawing(), path)
    assert path.read_bytes() == first  # the same picture, the same bytes
