"""HDR is toned to SDR, grey has its range, of two fields one is read."""

import subprocess
from shutil import which

import av
import numpy as np
import pytest

from mixtconv.video.reader import read_pictures

LIGHT = np.array([[0.02] * 3, [0.18] * 3, [0.5] * 3, [1.0] * 3, [0.6, 0.3, 0.2], [0.05, 0.3, 0.05]])
"""Linear light of patches in BT.709 primaries; 1 is SDR white."""
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def hlg_signal(light):
    scene = light * 0.2546  # so that white has a signal of 0.74
    upper = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)


def pq_signal(light):
    power = (light * 203 / 10000) ** 0.1593017578
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def write_raw(path, planes, *, pixel_format, codec="ffv1", interlaced=False, **tags):
    """One frame of the given planes, repeated; tags are attributes of frame and encoder."""
    height, width = planes[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        if interlaced:
            stream.codec_context.options = {"flags": "+ilme+ildct", "x264-params": "tff=1:qp=0"}
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for number in range(3):
            frame = av.VideoFrame(width, height, pixel_format)
            for plane, values in zip(frame.planes, planes, strict=True):
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
                data = np.ascontiguousarray(values).view(np.uint8)
                rows[:, : data.shape[1]] = data
            frame.pts = number
            for name, value in tags.items():
                setattr(frame, name, value)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def patches_in_yuv(signal):
    """10-bit planes of limited range in the matrix of BT.2020, a column of 64 pixels a patch."""
    red, green, blue = signal.T
    luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    differences = (blue - luma) / 1.8814, (red - luma) / 1.4746
    levels = [4 * (16 + 219 * luma), *(4 * (128 + 224 * each) for each in differences)]
    codes = [np.rint(each).astype("<u2")[None] for each in levels]
    sides = (64, 32, 32)
    return [code.repeat(n, axis=0).repeat(n, axis=1) for code, n in zip(codes, sides, strict=True)]


# What FFmpeg 5.1 gives for these patches with zscale=transfer=linear:npl=203, then primaries=bt709,
# tonemap=clip and transfer=bt709.
HLG = [[34] * 3, [105] * 3, [176] * 3, [250] * 3, [192, 135, 110], [46, 135, 51]]
PQ = [[50] * 3, [124] * 3, [190] * 3, [255] * 3, [206, 153, 129], [71, 153, 73]]


@pytest.mark.parametrize(
    ("transfer", "to_signal", "expected"), [(18, hlg_signal, HLG), (16, pq_signal, PQ)]
)
def test_hdr_is_toned_as_by_zscale(transfer, to_signal, expected, tmp_path):
    planes = patches_in_yuv(to_signal(LIGHT @ TO_BT2020.T))
    path = write_raw(
        tmp_path / "hdr.mkv",
        planes,
        pixel_format="yuv420p10le",
        color_range=1,
        colorspace=9,
        color_primaries=9,
        color_trc=transfer,
    )
    frame = read_pictures(path, lambda n: (1,)).frames[0]  # (64, 384, 3)
    got = frame[24:40, 24::64].mean(axis=0)
    np.testing.assert_allclose(got, expected, atol=3)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("is_limited", [True, False])
def test_grey_of_every_depth_has_its_range(bits, is_limited, tmp_path):
    values = np.array([[0, 16, 64, 128, 200, 235, 255]]).repeat(16, axis=1).repeat(16, axis=0)
    plane = (values << (bits - 8)).astype("u1" if bits == 8 else "<u2")
    path = write_raw(
        tmp_path / "grey.mkv",
        [plane],
        pixel_format="gray" if bits == 8 else f"gray{bits}le",
        color_range=1 if is_limited else 2,
    )
    got = read_pictures(path, lambda n: (0,)).frames[0]  # (16, 112, 3)
    expected = np.clip((values - 16) * 255 / 219, 0, 255) if is_limited else values
    np.testing.assert_allclose(got, np.stack([expected] * 3, axis=-1), atol=1)


@pytest.mark.parametrize("chroma_rows", [1, 2])
def test_of_an_interlaced_frame_one_moment_is_read(chroma_rows, tmp_path):
    # A bar moves between the fields: in even lines it is at 32 to 64, in odd ones at 96 to 128.
    luma = np.full((64, 160), 60, np.uint8)
    luma[0::2, 32:64] = luma[1::2, 96:128] = 200
    chroma = np.full((64 // chroma_rows, 80), 128, np.uint8)
    path = write_raw(
        tmp_path / "interlaced.mkv",
        [luma, chroma, chroma],
        pixel_format="yuv420p" if chroma_rows == 2 else "yuv422p",
        codec="libx264",
        interlaced=True,
    )
    got = read_pictures(path, lambda n: (1,)).frames[0][..., 0].astype(int)
    bar, ground = ((level - 16) * 255 / 219 for level in (200, 60))
    np.testing.assert_allclose(got[:, 36:60], bar, atol=3)
    np.testing.assert_allclose(got[:, 100:124], ground, atol=3)


@pytest.mark.skipif(which("ffmpeg") is None, reason="needs FFmpeg's command as a reference")
def test_an_interlaced_film_is_as_ffmpeg_reads_one_field(tmp_path):
    path = tmp_path / "film.mkv"
    moving = "testsrc2=s=160x120:r=50:d=1,interlace=scan=tff:lowpass=0"
    coding = ["-c:v", "libx264", "-flags", "+ilme+ildct", "-x264-params", "tff=1"]
    arguments = ["-f", "lavfi", "-i", moving, *coding, "-pix_fmt", "yuv420p", path]
    subprocess.run(["ffmpeg", "-v", "error", *arguments], check=True)
    chosen = "select=eq(n\\,5),field=top,scale=160:120:flags=bilinear"
    raw = ["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    command = ["ffmpeg", "-v", "error", "-i", path, "-vf", chosen, *raw]
    expected = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, "u1")
    got = read_pictures(path, lambda n: (5,)).frames[0]
    assert np.abs(got.astype(int) - expected.reshape(120, 160, 3)).mean() < 1
