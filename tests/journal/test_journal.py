"""The journal: what it confirms comes back, whatever happens to the process or the file."""

import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import line

from napari_unet.errors import InputError, SaveError
from napari_unet.image import Box
from napari_unet.journal import records
from napari_unet.journal.identity import fingerprint
from napari_unet.journal.journal import Journal, fallback_folder, journal_folder
from napari_unet.journal.records import JournalHeader, Kind, encode_record, find_records
from napari_unet.journal.recovery import clean, read_header, recoverable, replay, supersede
from napari_unet.sampling import sample_boxes

IDENTITY = "0123456789abcdef" * 2
DAY = 24 * 3600


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("tmp")))


def header(shape=(60, 70), identity=IDENTITY, **fields) -> JournalHeader:
    return JournalHeader(identity, tuple(shape), "ZTYX"[-len(shape) :], **fields)


class Painter:
    """A painted array and the journal of what happens to it."""

    def __init__(self, folder: Path, shape=(60, 70), **fields) -> None:
        self.painted = np.zeros(shape, np.uint32)
        self.journal = Journal(folder, header(shape, **fields))
        self.states = [self.painted.copy()]

    def paint(self, box: Box, value: int, plane: tuple[int, ...] = ()) -> int:
        index = (*plane, *box.slices)
        before = self.painted[index].copy()
        self.painted[index] = value
        number = self.journal.append(plane, box, before, self.painted[index])
        self.states.append(self.painted.copy())
        return number

    def random(self, rng: np.random.Generator) -> int:
        *leading, height, width = self.painted.shape
        y, x = rng.integers(0, height - 1), rng.integers(0, width - 1)
        stop = rng.integers(y + 1, height), rng.integers(x + 1, width)
        plane = tuple(int(rng.integers(n)) for n in leading)
        return self.paint(Box((int(y), int(x)), (int(stop[0]), int(stop[1]))), value_of(rng), plane)


def value_of(rng: np.random.Generator) -> int:
    return int(rng.choice([0, 1, 7, 2**31 - 1, 2**32 - 1]))


def offered(folder: Path):
    return recoverable(folder, IDENTITY)


def brushed(shape: tuple[int, int], start, stop, diameter: int = 20) -> np.ndarray:
    """Pixels under a round brush drawn along a line."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    painted = np.zeros(shape, bool)
    for cy, cx in zip(*line(*start, *stop), strict=True):
        painted |= (y - cy) ** 2 + (x - cx) ** 2 <= (diameter / 2) ** 2
    return painted


boxes = st.tuples(
    st.integers(0, 39), st.integers(0, 29), st.integers(1, 40), st.integers(1, 30)
).map(lambda t: Box(t[:2], (min(40, t[0] + t[2]), min(30, t[1] + t[3]))))


@given(
    planes=st.integers(1, 3),
    strokes=st.lists(
        st.tuples(boxes, st.integers(0, 2), st.integers(0, 2**32 - 1), st.booleans()), max_size=12
    ),
)
def test_any_strokes_come_back(tmp_path_factory, planes, strokes):
    folder = tmp_path_factory.mktemp("journals")
    painted = np.zeros((planes, 40, 30), np.uint32)
    journal = Journal(folder, header(painted.shape, layer="cells", image_path="/å/日本.tif"))
    for box, plane, seed, noisy in strokes:
        where = (plane % planes,)
        index = (*where, *box.slices)
        before = painted[index].copy()
        rng = np.random.default_rng(seed)
        values = rng.integers(0, 2**32, box.shape, np.uint32) if noisy else np.uint32(seed)
        painted[index] = np.where(rng.random(box.shape) < 0.5, values, before)
        journal.append(where, box, before, painted[index])
    assert journal.close()
    found = offered(folder)
    assert len(found) == bool(painted.any())
    if found:
        again, whose = replay(found[0].paths)
        np.testing.assert_array_equal(again, painted)
        assert whose == found[0].header == journal.header
        assert found[0].pixels == np.count_nonzero(painted)


@pytest.mark.parametrize("shape", [(60, 70), (4, 60, 70), (2, 3, 60, 70)])
def test_replay_until(tmp_path, shape):
    painter = Painter(tmp_path, shape)
    rng = np.random.default_rng(0)
    for _ in range(40):
        painter.random(rng)
    assert painter.journal.close()
    (path,) = painter.journal.paths
    for number in (0, 1, 20, 39, 40, None):
        wanted = painter.states[-1 if number is None else number]
        np.testing.assert_array_equal(replay(path, number)[0], wanted)


def test_untouched_result_leaves_no_file(tmp_path):
    folder = tmp_path / "journals"
    journal = Journal(folder, header())
    journal.note("model", name="nuclei")
    nothing = np.zeros((60, 70), np.uint32)
    number = journal.append((), Box((0, 0), (60, 70)), nothing, nothing)
    assert journal.flush()
    assert journal.acknowledged == number == 1
    assert journal.paths == ()
    assert not folder.exists()
    journal.append((), Box((0, 0), (60, 70)), nothing, nothing + 1)
    assert journal.close()
    content, damaged = find_records(journal.paths[0].read_bytes())
    kinds = [record.kind for record in content]
    assert kinds == [Kind.HEADER, Kind.HEADER, Kind.NOTE, Kind.STROKE]
    assert damaged == 0
    assert journal.paths[0].stat().st_mode & 0o077 == 0
    with pytest.raises(SaveError, match="is closed"):
        journal.note("late")


def test_arrays_may_change_after_append(tmp_path):
    journal = Journal(tmp_path, header())
    after = np.full((60, 70), 5, np.uint32)
    journal.append((), Box((0, 0), (60, 70)), None, after)
    after[:] = 9
    assert journal.close()
    assert (replay(journal.paths[0])[0] == 5).all()


@pytest.mark.parametrize("stop", [(110, 210), (160, 152), (210, 110)])
def test_size_of_a_stroke(tmp_path, stop):
    shape = (400, 400)
    stroke = brushed(shape, (110, 10) if stop[0] == 110 else (10, 10), stop)
    journal = Journal(tmp_path, header(shape))
    first = np.zeros(shape, np.uint32)
    first[0, 0] = 1
    journal.append((), Box((0, 0), shape), None, first)
    assert journal.flush(5)
    size = journal.size
    before = np.zeros(shape, np.uint32)
    before[150:200, 100:120] = 3
    journal.append((), Box((0, 0), shape), before, np.where(stroke, 12, before).astype(np.uint32))
    assert journal.close()
    assert 30 < journal.size - size <= 1024


def test_append_is_quick(tmp_path):
    painter = Painter(tmp_path, (1000, 1000))
    box = Box((100, 100), (300, 300))
    before, after = np.zeros((2, 200, 200), np.uint32)
    after[50:150] = 4
    seconds = []
    for _ in range(300):
        start = time.perf_counter()
        painter.journal.append((), box, before, after)
        seconds.append(time.perf_counter() - start)
        time.sleep(0.001)
    assert painter.journal.close(30)
    assert np.percentile(seconds, 50) < 1e-3
    assert np.percentile(seconds, 95) < 5e-3  # the machine may be busy


def test_what_comes_in_together_is_flushed_together(tmp_path, monkeypatch):
    calls = []
    fsync = os.fsync

    def slow(handle: int) -> None:
        calls.append(handle)
        time.sleep(0.02)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", slow)
    painter = Painter(tmp_path)
    rng = np.random.default_rng(1)
    last = [painter.random(rng) for _ in range(500)][-1]
    assert painter.journal.flush(10)
    assert painter.journal.acknowledged == last
    assert len(calls) < 100
    painter.journal.close()
    np.testing.assert_array_equal(replay(painter.journal.paths[0])[0], painter.painted)


def test_large_edit_is_one_edit(tmp_path):
    shape = (1300, 1200)
    after = np.random.default_rng(0).integers(0, 2**32, shape, np.uint32)
    journal = Journal(tmp_path, header(shape))
    assert journal.append((), Box((0, 0), shape), None, after, owned=True) == 1
    assert journal.close(30)
    (found,) = offered(tmp_path)
    assert found.strokes == 1
    np.testing.assert_array_equal(replay(found.paths)[0], after)


@pytest.mark.parametrize(
    ("plane", "box", "shape", "dtype"),
    [
        ((), Box((0, 0), (61, 5)), (61, 5), "u4"),
        ((), Box((-1, 0), (4, 5)), (5, 5), "u4"),
        ((0,), Box((0, 0), (5, 5)), (5, 5), "u4"),
        ((), Box((0, 0), (5, 5)), (5, 6), "u4"),
        ((), Box((0, 0), (5, 5)), (5, 5), "i8"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(tmp_path, plane, box, shape, dtype):
    with pytest.raises(InputError):
        Journal(tmp_path, header()).append(plane, box, None, np.ones(shape, dtype))


# ---- restoring


def test_restored_state_starts_a_new_journal(tmp_path):
    painter = Painter(tmp_path, (3, 600, 700))
    for plane, value in ((0, 3), (2, 2**31 - 1)):
        painter.paint(Box((500, 500), (530, 525)), value, (plane,))
    assert painter.journal.close()
    (left,) = offered(tmp_path)
    assert (left.strokes, left.pixels, left.saved) == (2, 2 * 30 * 25, None)
    assert abs((datetime.now(UTC) - left.changed).total_seconds()) < 60

    painted, _ = replay(left.paths)
    journal = Journal(tmp_path, header(painted.shape))
    for number, plane in enumerate(painted):
        journal.append((number,), Box((0, 0), plane.shape), None, plane)
    journal.note("restored", path=str(left.paths[0]))
    assert journal.flush(10)
    (old,) = supersede(left.paths)
    assert old.name.endswith(".journal.old")
    assert old.exists()
    assert offered(tmp_path) == []  # the new one is still in use
    assert supersede(journal.paths) == []
    journal.close()
    (found,) = offered(tmp_path)
    assert found.paths == journal.paths
    assert found.strokes == 2
    np.testing.assert_array_equal(replay(found.paths)[0], painter.painted)


def test_newest_first_and_only_of_this_image(tmp_path):
    journals = []
    for identity in (IDENTITY, "f" * 32, IDENTITY):
        painter = Painter(tmp_path, identity=identity)
        painter.paint(Box((0, 0), (3, 3)), 1)
        assert painter.journal.close()
        journals += painter.journal.paths
    (tmp_path / f"{IDENTITY}-20200101T000000-1-0.journal").write_bytes(b"no journal")
    (tmp_path / "notes.txt").write_text("mine")
    assert [found.paths[0] for found in offered(tmp_path)] == [journals[2], journals[0]]
    assert recoverable(tmp_path / "absent", IDENTITY) == []
    with pytest.raises(InputError, match="no undamaged header"):
        read_header(tmp_path / "notes.txt")


def test_nothing_painted_is_not_offered(tmp_path):
    painter = Painter(tmp_path)
    box = Box((0, 0), (9, 9))
    painter.paint(box, 4)
    painter.paint(box, 0)
    assert painter.journal.close()
    assert offered(tmp_path) == []


def test_saved_until_painted_again(tmp_path):
    painter = Painter(tmp_path)
    painter.paint(Box((0, 0), (9, 9)), 4)
    painter.journal.note("saved", path="/data/å.tif")
    painter.journal.note("model", name="mine")
    assert painter.journal.close()
    assert offered(tmp_path)[0].saved == "/data/å.tif"


def run_python(code: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": tempfile.gettempdir()},
    )


OTHER_WINDOW = """
import sys
from pathlib import Path
import numpy as np
from napari_unet.image import Box
from napari_unet.journal.journal import Journal, JournalHeader
journal = Journal(Path(sys.argv[1]), JournalHeader(sys.argv[2], (60, 70), "YX"))
journal.append((), Box((0, 0), (5, 5)), None, np.ones((5, 5), np.uint32))
print(journal.flush(10), flush=True)
input()
"""


def test_living_window_keeps_its_journal(tmp_path):
    with run_python(OTHER_WINDOW, tmp_path, IDENTITY) as window:
        assert window.stdout.readline().strip() == "True"
        (path,) = tmp_path.iterdir()
        assert offered(tmp_path) == []
        assert supersede(path) == []
        assert clean(tmp_path, now=time.time() + 1000 * DAY) == []
        window.kill()
        window.wait()
        assert offered(tmp_path)[0].paths == (path,)


# ---- disks that fail

FULL_DISK = """
import resource, sys, time
from pathlib import Path
import numpy as np
from napari_unet.image import Box
from napari_unet.journal import journal as module
from napari_unet.journal.journal import Journal, JournalHeader
module.RETRY_SECONDS = 0.05
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
journal = Journal(Path(sys.argv[1]), JournalHeader(sys.argv[2], (100, 100), "YX"))
rng = np.random.default_rng(0)
for i in range(int(sys.argv[4])):
    journal.append((), Box((i, 0), (i + 1, 100)), None, rng.integers(1, 99, (1, 100), np.uint32))
    print(journal.flush(0.3), journal.problem, sep="|", flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(journal.flush(10), journal.problem, sep="|", flush=True)
print(journal.close(), *journal.paths, sep="|", flush=True)
"""


def expected_rows(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    painted = np.zeros((100, 100), np.uint32)
    for i in range(count):
        painted[i] = rng.integers(1, 99, (1, 100), np.uint32)
    return painted


def test_full_disk_continues_in_the_temporary_folder(tmp_path):
    with run_python(FULL_DISK, tmp_path / "home", IDENTITY, 3000, 12) as child:
        *lines, _, last = child.communicate()[0].splitlines()
    assert all(text.startswith("True|") for text in lines)
    assert lines[0] == "True|None"
    assert "could not be written to" in lines[-1]
    assert "They are now kept in" in lines[-1]
    assert str(fallback_folder()) in lines[-1]
    done, *paths = last.split("|")
    assert done == "True"
    assert len(paths) > 1
    (found,) = offered(tmp_path / "home")
    assert [str(path) for path in found.paths] == paths
    assert (found.strokes, found.damaged) == (12, 0)
    np.testing.assert_array_equal(replay(found.paths)[0], expected_rows(12))
    assert len(supersede(found.paths)) == len(paths)
    assert offered(tmp_path / "home") == []


def test_disk_without_any_room_is_said_and_tried_again(tmp_path):
    with run_python(FULL_DISK, tmp_path / "home", IDENTITY, 100, 3) as child:
        *lines, freed, last = child.communicate()[0].splitlines()
    assert all(text.startswith("False|") and "only in memory" in text for text in lines)
    assert freed == "True|None"
    assert last.startswith("True|")
    (found,) = offered(tmp_path / "home")
    assert len(list((tmp_path / "home").iterdir())) == 1
    assert not list(fallback_folder().iterdir())
    np.testing.assert_array_equal(replay(found.paths)[0], expected_rows(3))


def test_unusable_folder(tmp_path):
    (tmp_path / "file").write_text("in the way")
    painter = Painter(tmp_path / "file")
    painter.paint(Box((0, 0), (5, 5)), 1)
    assert painter.journal.flush(5)
    assert "They are now kept in" in painter.journal.problem
    assert painter.journal.close()
    (found,) = offered(tmp_path)
    assert found.paths[0].parent == fallback_folder()


def test_removed_folder_loses_nothing(tmp_path):
    painter = Painter(tmp_path / "home")
    painter.paint(Box((0, 0), (5, 5)), 1)
    assert painter.journal.flush(5)
    painter.journal.paths[0].unlink()
    painter.paint(Box((5, 5), (9, 9)), 2)
    assert painter.journal.flush(5)
    assert "removed" in painter.journal.problem
    assert painter.journal.close()
    (found,) = offered(tmp_path / "home")
    np.testing.assert_array_equal(replay(found.paths)[0], painter.painted)


def test_close_gives_up_where_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    painter = Painter(tmp_path / "file")
    painter.paint(Box((0, 0), (5, 5)), 1)
    assert not painter.journal.close(0.2)
    assert "only in memory" in painter.journal.problem
    assert not painter.journal._thread.is_alive()


# ---- damage


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """Content of a journal with 30 strokes in 3-D, and the records' places in it."""
    painter = Painter(tmp_path_factory.mktemp("journals"), (3, 60, 70))
    rng = np.random.default_rng(5)
    for i in range(30):
        painter.random(rng)
        if i % 10 == 0:
            painter.journal.note("saved", path="a.tif")
    assert painter.journal.close()
    content = painter.journal.paths[0].read_bytes()
    ends, position = [], 0
    for record in find_records(content)[0]:
        position += records.HEAD_BYTES + len(record.payload)
        ends.append(position)
    assert position == len(content)
    return content, list(zip([0, *ends[:-1]], ends, strict=True))


def damage(rng: random.Random, content: bytes) -> tuple[bytes, int, int]:
    """Return damaged content and the range of the old content that was touched."""
    at = rng.randrange(len(content))
    kind = rng.choice(["flip", "zero", "delete", "insert", "truncate", "swap"])
    length = rng.choice([1, 2, 10, 100])
    stop = min(len(content), at + length)
    if kind == "truncate":
        return content[:at], at, len(content)
    if kind == "insert":
        return content[:at] + rng.randbytes(length) + content[at:], at, at
    if kind == "delete":
        return content[:at] + content[stop:], at, stop
    if kind == "zero":
        return content[:at] + bytes(stop - at) + content[stop:], at, stop
    if kind == "swap":
        return content[:at] + rng.randbytes(stop - at) + content[stop:], at, stop
    flipped = bytes([content[at] ^ (1 << rng.randrange(8))])
    return content[:at] + flipped + content[at + 1 :], at, at + 1


def test_damage_loses_only_itself(intact, tmp_path):
    content, places = intact
    all_records, _ = find_records(content)
    rng = random.Random(7)
    path = tmp_path / f"{IDENTITY}-20260101T000000-1-0.journal"
    for _ in range(int(os.environ.get("JOURNAL_MUTATIONS", "400"))):
        damaged, start, stop = damage(rng, content)
        kept = [
            record
            for record, (first, after) in zip(all_records, places, strict=True)
            if after <= start or first >= max(stop, start)
        ]
        found, _ = find_records(damaged)
        # A record may be untouched in spite of the damage: zeros over zeros.
        assert set(kept) <= set(found)
        remaining = iter(all_records)
        assert all(record in remaining for record in found)  # nothing invented, in order
        path.write_bytes(damaged)
        if not any(record.kind == Kind.HEADER for record in found):
            continue
        painted, whose = replay(path)
        wanted = np.zeros(whose.shape, np.uint32)
        for record in found:
            if record.kind == Kind.STROKE:
                records.decode_stroke(record.payload, whose.shape).apply(wanted)
        np.testing.assert_array_equal(painted, wanted)
        assert len(offered(tmp_path)) <= 1
        clean(tmp_path)


def test_many_damages_raise_nothing_else(intact, tmp_path):
    content, _ = intact
    rng = random.Random(8)
    path = tmp_path / f"{IDENTITY}-20260101T000000-1-0.journal"
    for _ in range(60):
        damaged = content
        for _ in range(rng.randrange(1, 40)):
            damaged = damage(rng, damaged)[0] or b"x"
        path.write_bytes(damaged)
        offered(tmp_path)
        if any(record.kind == Kind.HEADER for record in find_records(damaged)[0]):
            replay(path)
        else:
            with pytest.raises(InputError, match="no undamaged header"):
                replay(path)


def hostile(tmp_path: Path, payload: bytes, shape=(60, 70)) -> Path:
    path = tmp_path / f"{IDENTITY}-20260101T000000-1-0.journal"
    head = encode_record(Kind.HEADER, 0, 0.0, header(shape).encode())
    path.write_bytes(head + encode_record(Kind.STROKE, 1, 1.0, payload))
    return path


def place(leading: int, box: tuple[int, ...], body: bytes) -> bytes:
    return struct.pack("<B4Ii", leading, *box, 5) + bytes(4 * leading) + zlib.compress(body)


@pytest.mark.parametrize(
    ("shape", "payload"),
    [
        ((60, 70), b""),
        ((60, 70), b"\xff" * 40),
        ((60, 70), place(0, (0, 0, 61, 1), b"\xff" * 100)),
        ((60, 70), place(0, (5, 5, 2, 2), b"\xff" * 100)),
        ((60, 70), place(1, (0, 0, 2, 2), b"\xf0\x01\0\0\0")),
        ((60, 70), place(0, (0, 0, 60, 70), b"\xff")),
        ((60, 70), place(0, (0, 0, 60, 70), bytes(50_000_000))),
        ((60, 70), place(0, (0, 0, 2, 2), b"\xf0" + bytes(8))),
        ((60, 70), place(0, (0, 0, 2, 2), b"")[:-3]),
        ((2**16, 2**16), place(0, (0, 0, 2**16, 2**16), bytes(50_000_000))),
    ],
)
def test_valid_checksum_around_nonsense(tmp_path, monkeypatch, shape, payload):
    path = hostile(tmp_path, payload, shape)
    offered(tmp_path)
    into = np.broadcast_to(np.uint32(0), shape)  # nothing may be written
    monkeypatch.setattr("napari_unet.journal.recovery._zeros", lambda _header: into)
    assert replay(path)[0] is into


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 50_000,
        b'{"version": 2}',
        b'{"version": 1, "shape": [1e999, 2]}',
        header().encode().replace(b"[60, 70]", b"[60, -70]"),
        header().encode().replace(b"[60, 70]", b'["a", 2]'),
        header().encode().replace(b"[60, 70]", b"7"),
        header().encode().replace(b"[60, 70]", b"[99999999999999, 99999999999999]"),
        header().encode().replace(IDENTITY.encode(), b"../../secret"),
    ],
)
def test_nonsense_header(tmp_path, payload):
    path = tmp_path / f"{IDENTITY}-20260101T000000-1-0.journal"
    path.write_bytes(encode_record(Kind.HEADER, 0, 0.0, payload))
    assert offered(tmp_path) == []
    with pytest.raises(InputError):
        replay(path)


def test_shape_that_no_memory_holds(tmp_path):
    path = hostile(tmp_path, b"", (2**24, 2**24))
    with pytest.raises(InputError, match="memory"):
        replay(path)


def test_names_are_fit_to_be_shown(tmp_path):
    named = header(image_name="a\nb\u202e" + "c" * 999, image_path="/a\nb/\udcff.tif")
    again = JournalHeader.decode(named.encode())
    assert again.image_name == "ab" + "c" * 198
    assert again.image_path == named.image_path  # a path stays exact


# ---- cleaning


@pytest.mark.parametrize("superseded", [False, True])
@pytest.mark.parametrize("state", ["unsaved", "saved", "painted again", "empty", "damaged"])
@pytest.mark.parametrize("age", [1, 59, 61, 364, 366])
def test_cleaning(tmp_path, superseded, state, age):
    painter = Painter(tmp_path)
    painter.paint(Box((0, 0), (9, 9)), 4)
    if state != "unsaved":
        painter.journal.note("saved", path="a.tif")
    if state == "painted again":
        painter.paint(Box((0, 0), (9, 9)), 5)
    assert painter.journal.close()
    (path,) = painter.journal.paths
    if state == "empty":
        path.write_bytes(encode_record(Kind.HEADER, 0, 0.0, header().encode()))
    if state == "damaged":
        path.write_bytes(path.read_bytes() + b"?")
    if superseded:
        (path,) = supersede(path)
    foreign = [tmp_path / name for name in ("mine.journal", "notes.txt", f"{path.name}.bak")]
    for file in (path, *foreign):
        file.touch()
        os.utime(file, (time.time() - age * DAY,) * 2)
    (tmp_path / "0000000000000000-20200101T000000-1-0.journal").mkdir()
    goes = age > 365 or (age > 60 and (superseded or state in ("saved", "empty")))
    assert clean(tmp_path) == [path] * goes
    assert path.exists() is not goes
    assert all(file.exists() for file in foreign)


def test_cleaning_an_absent_folder(tmp_path):
    assert clean(tmp_path / "absent") == []


# ---- identity


def test_fingerprint_is_of_the_pixels(tmp_path):
    image = np.random.default_rng(0).integers(0, 60000, (400, 700), np.uint16)

    def identity(data: np.ndarray) -> str:
        windows = [data[box.slices] for _, box in sample_boxes(data.shape, 1)]
        return fingerprint(data.shape, data.dtype, windows)

    first = identity(image)
    assert len(first) == 32
    header(identity=first)  # is accepted
    assert identity(np.asfortranarray(image)) == first
    assert identity(image.astype(">u2")) == first
    assert identity(image[::-1, ::-1][::-1, ::-1]) == first
    changed = image.copy()
    changed[200, 300] += 1
    others = [changed, image.astype(np.int32), image[:, :-1], image.T]
    assert len({first, *map(identity, others)}) == 5


def test_default_folder_is_the_persons_own():
    assert journal_folder().name == "journals"
    assert journal_folder().parent.name == "napari-unet-interactive"
