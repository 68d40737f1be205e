"""Which packets must be decoded, and the tables that are kept from one reading to the next."""

import os
from types import SimpleNamespace

import av
import numpy as np
import pytest

from mixtconv.data.clips import read_clip, read_frames
from mixtconv.video import decoding, packet_kinds, packet_table
from mixtconv.video import reader as reader_module
from mixtconv.video.opening import open_video
from mixtconv.video.packet_kinds import kind_reader
from mixtconv.video.packet_table import PacketTableCache, read_packet_table, reordering_depth
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.reader import iterate_frames

B_FRAMES = {
    "pyramid": "keyint=250:bframes=3:b-pyramid=normal:b-adapt=0",
    "no pyramid": "keyint=250:bframes=3:b-pyramid=none:b-adapt=0",
    "many": "keyint=250:bframes=7:b-adapt=0:ref=4",
    "open groups": "keyint=12:min-keyint=12:bframes=3:open-gop=1:b-adapt=0:scenecut=0",
    "slices": "keyint=250:bframes=2:b-adapt=0:slices=3",
    "interlaced": "keyint=250:bframes=3:b-adapt=0:interlaced=1",
}


def table_of(path, **facts):
    """The table of a file, of which some facts may be told otherwise."""
    with open_video(path) as (container, stream):
        context = SimpleNamespace(
            name=stream.codec_context.name,
            extradata=stream.codec_context.extradata,
            reorder_depth=stream.codec_context.reorder_depth,
        )
        vars(context).update(facts)
        return read_packet_table(
            _Demuxed(container, stream),
            SimpleNamespace(codec_context=context, time_base=stream.time_base),
        )


class _Demuxed:
    def __init__(self, container, stream):
        self.format, self._container, self._stream = container.format, container, stream

    def demux(self, _):
        return self._container.demux(self._stream)


@pytest.fixture
def packets_decoded(monkeypatch):
    """Counts the packets that reach a decoder in the checked way."""
    counts = []
    given = decoding._from_packet

    def counted(*args):
        for packet in given(*args):
            counts.append(packet)
            yield packet

    monkeypatch.setattr(decoding, "_from_packet", counted)
    monkeypatch.setattr(decoding, "decode_plain", lambda *args: pytest.fail("decoded plainly"))
    return counts


@pytest.mark.parametrize("name", B_FRAMES)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_pictures_that_no_other_needs_are_left_out(
    name, num_threads, media, tmp_path, packets_decoded
):
    options = {"x264-params": B_FRAMES[name]}
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(48), options=options)
    # Of interlaced frames one field is read, which the reference does not.
    reference = [*iterate_frames(path)] if name == "interlaced" else media.decode_all(path)
    spare = int(table_of(path).spare.sum())
    assert 48 // 4 <= spare <= 48 * 7 // 8
    for wanted in ([47], [5, 21, 22, 40], list(range(48))):
        packets_decoded.clear()
        got = read_frames(path, wanted, num_threads=num_threads).permute(0, 2, 3, 1).numpy()
        assert np.array_equal(got, np.stack([reference[i] for i in wanted]))
        assert len(packets_decoded) <= 49 - spare + len(wanted)


def test_all_is_decoded_where_the_decoder_must_learn_how_far_pictures_are_reordered(
    media, tmp_path
):
    options = {"x264-params": B_FRAMES["pyramid"]}
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(24), options=options)
    assert table_of(path, reorder_depth=2).spare.any()
    assert not table_of(path, reorder_depth=1).spare.any()


def test_nothing_behind_a_doubtful_packet_is_left_out(media, tmp_path):
    options = {"x264-params": B_FRAMES["pyramid"]}
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(48), options=options)
    media.overwrite(path, media.packets(path)[20][0], bytes(8))
    spare = np.flatnonzero(table_of(path).spare)
    assert len(spare) > 0 and spare.max() < 20


def unit(head, payload=bytes([0b1_010_1_000, 0, 0, 0, 0, 0, 0, 0])):
    """A unit with its length: block 0, a slice of type 1 (B), parameter set 0."""
    data = bytes([head]) + payload
    return len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize(
    ("units", "kind"),
    [
        ([unit(0x01)], "spare"),
        ([unit(0x06, b"12"), unit(0x01), unit(0x01)], "spare"),
        ([unit(0x41)], "picture"),  # referred to
        ([unit(0x01), unit(0x41)], "picture"),  # a second field that is referred to
        ([unit(0x08, b"12"), unit(0x01)], "picture"),  # a parameter set that others may need
        ([unit(0x65)], "entry"),
        ([unit(0x81)], "doubtful"),
        ([unit(0x01)[:-1]], "doubtful"),
        ([unit(0x06, b"12")], "doubtful"),
    ],
)
def test_the_kind_of_a_packet_is_read_from_its_units(units, kind):
    # Version, profile, levels, 4-byte lengths, no sequence set, one picture set with number 0.
    header = bytes([1, 100, 0, 30, 0xFF, 0xE0, 1, 0, 2, 0x68, 0b1000_0000])
    context = SimpleNamespace(name="h264", extradata=header)
    read = kind_reader(SimpleNamespace(codec_context=context))
    assert read(memoryview(b"".join(units))) == kind


def test_reordering_is_the_most_pictures_held_back():
    rng = np.random.default_rng(0)
    for _ in range(50):
        times = rng.permutation(12)
        held = [sum(times[:i] > times[i]) for i in range(12)]
        assert reordering_depth(times) == max(held)


def test_short_runs_are_decoded_with_one_thread(media, tmp_path, monkeypatch):
    threads = []
    given = decoding._decode_checked

    def checked(path, table, runs, num_threads, opened):
        threads.append(num_threads)
        return given(path, table, runs, num_threads, opened)

    monkeypatch.setattr(decoding, "_decode_checked", checked)
    for gop_size, expected in ((4, 1), (60, 0)):
        options = {"x264-params": f"keyint={gop_size}:scenecut=0:bframes=0"}
        path = media.encode(tmp_path / f"{gop_size}.mp4", media.moving_frames(60), options=options)
        read_frames(path, [7, 30, 55])
        assert threads.pop() == expected


def test_a_file_is_opened_once(media, tmp_path, monkeypatch):
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(30), options={"bf": "0"})
    opened = []
    for module in (decoding, reader_module):
        given = module.open_video
        monkeypatch.setattr(
            module, "open_video", lambda path, given=given: opened.append(path) or given(path)
        )
    read_frames(path, [1, 28], num_threads=2)
    assert opened == [path]


# Tables that are kept


@pytest.fixture
def lists(monkeypatch):
    """Counts how often the packets of a file are listed; files are settled at once."""
    listed = []

    def read(container, stream):
        listed.append(container.name)
        return read_packet_table(container, stream)

    monkeypatch.setattr(packet_table, "read_packet_table", read)
    monkeypatch.setattr(packet_table, "SETTLED_SECONDS", -1)
    return listed


def write(media, path, seed=0, num_frames=12):
    frames = media.moving_frames(num_frames, seed=seed)
    return media.encode(path, frames, options={"x264-params": "keyint=4:bframes=0"})


def read(memory, path):
    with open_video(path) as opened:
        return memory.get(path) or memory.read(path, *opened)


def test_packets_are_listed_once(media, tmp_path, lists):
    memory = PacketTableCache()
    paths = [write(media, tmp_path / f"{number}.mp4") for number in range(3)]
    tables = [read(memory, path) for path in paths]
    assert all(read(memory, path) is table for path, table in zip(paths, tables, strict=True))
    assert len(lists) == 3


def test_a_changed_file_is_listed_again(media, tmp_path, lists):
    memory = PacketTableCache()
    path = write(media, tmp_path / "a.mp4")
    first = read(memory, path)
    for change in (
        lambda: write(media, path, num_frames=9),
        lambda: media.overwrite(path, path.stat().st_size - 3, b"x"),
        lambda: os.utime(path, ns=(5, 5)),
    ):
        status = path.stat()
        change()
        if path.stat().st_mtime_ns == status.st_mtime_ns:  # within a tick of the clock
            os.utime(path, ns=(status.st_mtime_ns + 1, status.st_mtime_ns + 1))
        again = read(memory, path)
        assert again is not first and read(memory, path) is again
        first = again
    assert len(lists) == 4
    assert memory.num_bytes == again.num_bytes


def test_a_file_that_was_just_written_is_listed_every_time(media, tmp_path, lists, monkeypatch):
    monkeypatch.undo()
    memory = PacketTableCache()
    path = write(media, tmp_path / "a.mp4")
    assert read(memory, path) is not read(memory, path)


def test_no_table_is_kept_for_which_there_is_no_room(media, tmp_path, lists):
    paths = [write(media, tmp_path / f"{number}.mp4") for number in range(3)]
    one = read(PacketTableCache(), paths[0]).num_bytes
    memory = PacketTableCache(max_bytes=int(2.5 * one))
    tables = [read(memory, path) for path in paths]
    assert [read(memory, p) is t for p, t in zip(paths, tables, strict=True)] == [True, True, False]
    assert memory.num_bytes <= memory.max_bytes


def test_long_recordings_take_the_place_of_what_was_used_longest_ago(media, tmp_path, lists):
    paths = [write(media, tmp_path / f"{number}.mp4") for number in range(4)]
    one = read(PacketTableCache(), paths[0]).num_bytes
    memory = PacketTableCache(max_bytes=int(2.5 * one), long_bytes=one)
    tables = [read(memory, path) for path in (paths[0], paths[1])]
    assert read(memory, paths[0]) is tables[0]  # so that the other one is the oldest
    third = read(memory, paths[2])
    assert read(memory, paths[2]) is third and read(memory, paths[0]) is tables[0]
    assert read(memory, paths[1]) is not tables[1] and memory.num_bytes <= memory.max_bytes


def test_reading_uses_what_is_kept(media, tmp_path, lists, monkeypatch):
    monkeypatch.setattr(reader_module, "PACKET_TABLES", PacketTableCache())
    path = write(media, tmp_path / "a.mp4")
    reference = media.decode_all(path)
    for wanted in ([3, 9], [11], [0, 5]):
        got = read_frames(path, wanted).permute(0, 2, 3, 1).numpy()
        assert np.array_equal(got, np.stack([reference[i] for i in wanted]))
    assert len(lists) == 1


def test_a_file_that_is_gone_is_named(media, tmp_path, lists, monkeypatch):
    monkeypatch.setattr(reader_module, "PACKET_TABLES", PacketTableCache())
    path = write(media, tmp_path / "a.mp4")
    read_frames(path, [0])
    path.unlink()
    with pytest.raises(UnreadableVideoError, match="no such file"):
        read_frames(path, [0])


@pytest.mark.parametrize("num_threads", [1, 2])
def test_pictures_of_a_file_whose_packets_do_not_tell_are_counted_once(
    num_threads, media, tmp_path, lists, monkeypatch
):
    monkeypatch.setattr(reader_module, "PACKET_TABLES", PacketTableCache())
    path = media.encode(
        tmp_path / "a.avi", media.moving_frames(40), codec="mpeg4", options={"bf": "2"}
    )
    position, size, *_ = media.packets(path)[30]
    media.overwrite(path, position, bytes(size))
    reference = media.decode_all(path)
    assert len(reference) < 40
    told, passed = [], []
    given = decoding._with_flush

    def counted(*args):
        for packet in given(*args):
            passed.append(packet)
            yield packet

    monkeypatch.setattr(decoding, "_with_flush", counted)
    numbers_passed = []
    for wanted in ([3, 20], [3, 20], [len(reference) - 1]):
        told.clear()
        passed.clear()
        clip = read_clip(path, lambda n, w=wanted: told.append(n) or w, num_threads=num_threads)
        assert clip.num_frames == len(reference)
        got = clip.frames.permute(0, 2, 3, 1).numpy()
        assert np.array_equal(got, np.stack([reference[i] for i in wanted]))
        numbers_passed.append(len(passed))
    assert numbers_passed[0] > 40
    assert numbers_passed[1] < 28
    assert told == [len(reference)]
    assert len(lists) == 1


@pytest.mark.parametrize("read", [packet_table.demux, packet_table.demux_readable])
def test_a_file_that_shows_further_streams_on_the_way_is_read_to_its_end(read, media, tmp_path):
    """PyAV raises an IndexError at the end of a transport stream whose tables are damaged."""
    with av.open(str(media.encode(tmp_path / "a.ts", media.moving_frames(12)))) as container:
        packets = [packet for packet in container.demux() if packet.size]

    class Grown:
        def demux(self):
            yield from packets
            raise IndexError("list index out of range")

    assert list(read(Grown())) == packets


def test_a_header_that_is_cut_off_says_nothing_of_pictures(media, tmp_path):
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(2))
    with av.open(str(path)) as container:
        header = bytes(container.streams.video[0].codec_context.extradata)
    assert packet_kinds._picture_parameter_sets(header) == {0}
    for length in range(6, len(header)):
        assert packet_kinds._picture_parameter_sets(header[:length]) <= {0}
