"""Label TIFFs: ids and pixel size survive, other programs read them, no failure loses a file."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import skimage.io
import tifffile
import zarr
from napari.layers import Labels, Layer
from napari_builtins.io import napari_get_reader

from napari_unet.errors import InputError, SaveError
from napari_unet.io import atomic, tiff
from napari_unet.io import tiff_header as header
from napari_unet.io.atomic import sweep
from napari_unet.io.images import read_image
from napari_unet.io.tiff import read_labels, save_labels

KINDS = [".tif", ".ome.tif"]


def with_ids(count: int, shape: tuple[int, ...] = (300, 301)) -> np.ndarray:
    """One-pixel objects 1 to `count`, then background."""
    labels = np.zeros(shape, np.int64)
    labels.flat[:count] = np.arange(1, count + 1)
    return labels


def digest(path: Path) -> str:
    """Return the hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize(
    ("count", "dtype"),
    [(0, "u2"), (255, "u2"), (300, "u2"), (65535, "u2"), (65536, "u4"), (70000, "u4")],
)
def test_ids_survive_in_every_reader(tmp_path, suffix, count, dtype):
    labels = with_ids(count)
    path = save_labels(tmp_path / f"a{suffix}", labels)
    for read in (tifffile.imread, skimage.io.imread, lambda p: read_labels(p)[0]):
        found = read(path)
        assert found.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize("suffix", KINDS)
def test_napari_reads_the_file(tmp_path, suffix):
    labels = with_ids(70000)
    path = str(save_labels(tmp_path / f"a{suffix}", labels))
    layer = Layer.create(*napari_get_reader(path)(path)[0])
    assert isinstance(layer, Labels)  # napari takes 32-bit whole numbers for labels
    np.testing.assert_array_equal(layer.data, labels)


@pytest.mark.parametrize("suffix", KINDS)
def test_largest_id(tmp_path, suffix):
    labels = np.array([[0, 2**32 - 1], [2**24 + 1, 7]], np.uint64)
    np.testing.assert_array_equal(
        read_labels(save_labels(tmp_path / f"a{suffix}", labels))[0], labels
    )


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([[-1, 3]]), "-1"),
        (np.array([[2**32]]), "4294967296"),
        (np.array([[2**64 - 1]], np.uint64), "18446744073709551615"),
        (np.ones((2, 2), np.float32), "float32"),
        (np.ones(3, np.uint8), "shape"),
        (np.ones((0, 3), np.uint8), "shape"),
    ],
)
def test_unusable_labels_are_refused(tmp_path, labels, words):
    path = save_labels(tmp_path / "a.tif", with_ids(3))
    before = digest(path)
    with pytest.raises(SaveError, match=words):
        save_labels(path, labels)
    assert digest(path) == before
    assert os.listdir(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("name", ["a.png", "a.zarr", "tif", "a.tif.gz"])
def test_other_suffixes_name_the_possible_ones(tmp_path, name):
    with pytest.raises(SaveError, match=r"\.ome\.tif, .*\.tiff"):
        save_labels(tmp_path / name, with_ids(3))


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("kind", ["bool", "big", "reversed", "memmap", "dask", "zarr", "list"])
def test_every_kind_of_array(tmp_path, suffix, kind):
    wanted = with_ids(900, (3, 130, 70))
    arrays = {
        "bool": lambda: wanted > 0,
        "big": lambda: wanted.astype(">i4"),
        "reversed": lambda: wanted[::-1, ::-1, ::-1],
        "dask": lambda: da.from_array(wanted, chunks=(1, 50, 50)),
        "zarr": lambda: zarr.array(wanted.astype("u4"), chunks=(1, 64, 64)),
        "list": lambda: wanted.tolist(),
        "memmap": lambda: np.memmap(tmp_path / "m", ">u4", "w+", shape=wanted.shape),
    }
    labels = arrays[kind]()
    if kind == "memmap":
        labels[:] = wanted
    found = read_labels(save_labels(tmp_path / f"a{suffix}", labels))[0]
    np.testing.assert_array_equal(found, np.asarray(labels))


class Windows:
    """Labels that refuse to be loaded whole and note what is read."""

    def __init__(self, shape):
        self.shape, self.dtype, self.largest = shape, np.dtype("i8"), 0

    def __array__(self, *_args, **_kwargs):
        raise AssertionError("loaded whole")

    def __getitem__(self, key):
        rows = key[-1]
        block = np.full((rows.stop - rows.start, self.shape[-1]), 70000)
        self.largest = max(self.largest, block.nbytes)
        return block


def test_lazy_labels_are_read_by_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "BAND_BYTES", 2**16)
    monkeypatch.setattr(header, "STRIP_BYTES", 2**14)
    labels = Windows((2, 500, 300))
    path = save_labels(tmp_path / "a.tif", labels)
    assert labels.largest <= 2**16
    assert (read_labels(path)[0] == 70000).all()


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX", "TZYX", "ZTYX", "QYX", "TCZYX", "PTCZYX"])
def test_axes_pixel_size_and_description(tmp_path, suffix, axes):
    labels = np.arange(np.prod(range(2, 2 + len(axes)))).reshape(range(2, 2 + len(axes)))
    size = tuple(1 / n for n in range(3, 3 + len(axes)))
    about = {"model": "nuclei", "note": "µ <&> {x} 日本", "n": 3}
    path = save_labels(
        tmp_path / f"a{suffix}", labels, pixel_size=size, unit="µm", axes=axes, description=about
    )
    found, found_size, unit, found_axes = read_labels(path)
    np.testing.assert_array_equal(found, labels)
    assert (found_size, unit, found_axes) == (size, "micrometer", axes)
    assert header.read_header(path).description == about


def test_ome_metadata(tmp_path):
    path = save_labels(
        tmp_path / "a.ome.tif", np.ones((4, 5, 6), int), pixel_size=(2, 0.5, 0.25), unit="um"
    )
    with tifffile.TiffFile(path) as tif:
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
        assert tif.series[0].axes == "ZYX"
    assert [pixels[f"PhysicalSize{a}"] for a in "XYZ"] == [0.25, 0.5, 2]
    assert {pixels[f"PhysicalSize{a}Unit"] for a in "XYZ"} == {"µm"}


@pytest.mark.parametrize("suffix", KINDS)
def test_time_is_kept_and_what_is_unknown_stays_so(tmp_path, suffix):
    size, units = (250.0, None, 0.5, 0.5), ("ms", "um", "um", "um")
    path = save_labels(
        tmp_path / f"a{suffix}", np.ones((4, 2, 5, 6), int), pixel_size=size, unit=units
    )
    assert read_labels(path)[1:] == (size, "micrometer", "TZYX")
    assert header.read_header(path).time_unit == "millisecond"
    assert read_image(path).label_sizes == pytest.approx((0.25, None, 0.5, 0.5))


@pytest.mark.parametrize("top", [300, 70000])
def test_tags_as_imagej_reads_them(tmp_path, top):
    labels = np.full((4, 500, 600), top)
    path = save_labels(tmp_path / "a.tif", labels, pixel_size=(2, 0.5, 0.25), unit="micrometer")
    with tifffile.TiffFile(path) as tif:
        assert tif.byteorder == "<"
        facts = tif.imagej_metadata
        assert (facts["images"], facts["slices"], facts["hyperstack"]) == (4, 4, True)
        assert (facts["unit"], facts["spacing"]) == ("micron", 2)
        for page in tif.pages:
            tags = page.tags
            assert tags["Compression"].value == 8
            assert "Predictor" not in tags
            assert not page.is_tiled
            x, y = tags["XResolution"].value, tags["YResolution"].value
            assert (x[1] / x[0], y[1] / y[0]) == (0.25, 0.5)
            assert tags["ResolutionUnit"].value == 1
        # ImageJ reads further pages of a compressed stack only if it meets the compression first
        assert list(tif.pages[0].tags.keys()) == sorted(tif.pages[0].tags.keys())


def test_bigtiff_by_uncompressed_size(tmp_path, monkeypatch):
    for limit, big in ((10**6, False), (10**3, True)):
        monkeypatch.setattr(tiff, "BIGTIFF_BYTES", limit)
        path = save_labels(tmp_path / "a.tif", with_ids(300))
        with tifffile.TiffFile(path) as tif:
            assert tif.is_bigtiff is big
        np.testing.assert_array_equal(read_labels(path)[0], with_ids(300))


@pytest.mark.parametrize("name", ["æøå 日本 😀", "e\u0301", "x" * 240])
def test_names_in_any_script_and_length(tmp_path, name):
    path = save_labels(tmp_path / f"{name}.tif", with_ids(3))
    assert read_labels(path)[0].max() == 3


@pytest.mark.parametrize("size", [(1,), (0, 1), (-1, 1), (float("nan"), 1), (1, 2, 3, 4)])
def test_unusable_pixel_size(tmp_path, size):
    with pytest.raises(SaveError, match="pixel size"):
        save_labels(tmp_path / "a.tif", with_ids(3), pixel_size=size)


def test_foreign_and_damaged_files_are_not_label_files(tmp_path):
    foreign = tmp_path / "b.tif"
    tifffile.imwrite(foreign, with_ids(3).astype("u2"))
    damaged = save_labels(tmp_path / "c.tif", with_ids(30000))
    damaged.write_bytes(damaged.read_bytes()[:20])
    for path in (foreign, damaged, tmp_path / "missing.tif"):
        with pytest.raises(InputError, match=path.name):
            read_labels(path)


FULL_DISK = """
import resource, sys
import numpy as np
from napari_unet.errors import SaveError
from napari_unet.io.images import read_image
from napari_unet.io.tiff import save_labels
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
noise = np.random.default_rng(0).integers(0, 2**32, (400, 500))
try:
    save_labels(sys.argv[1], noise)
except SaveError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("limit", [0, 2000, 300_000, 790_000])
def test_full_disk_keeps_the_old_file(tmp_path, suffix, limit):
    path = save_labels(tmp_path / f"a{suffix}", with_ids(300))
    before = digest(path)
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path, str(limit)], capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "refused" in run.stderr
    assert str(path) in run.stderr
    assert "800,000 bytes" in run.stderr
    assert digest(path) == before
    assert os.listdir(tmp_path) == [path.name]


KILLED = """
import sys
import numpy as np
from napari_unet.io.images import read_image
from napari_unet.io.tiff import save_labels
noise = np.random.default_rng(0).integers(0, 2**32, (900, 900))
print("ready", flush=True)
while True:
    save_labels(sys.argv[1], noise)
"""


def test_killed_while_saving(tmp_path):
    path = tmp_path / "a.tif"
    new = np.random.default_rng(0).integers(0, 2**32, (900, 900))
    for pause in (0.02, 0.05, 0.09, 0.2):
        save_labels(path, with_ids(300))
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
        found = read_labels(path)[0]
        assert np.array_equal(found, new) or np.array_equal(found, with_ids(300))
    save_labels(path, with_ids(3))
    assert os.listdir(tmp_path) == ["a.tif"]


def test_sweep_leaves_the_living_and_strangers(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    host = atomic._host()
    names = {n: f".napari-unet-{h}-{p}-abc.part" for n, h, p in (
        ("dead", host, process.pid), ("own", host, os.getpid()), ("living", host, os.getppid()),
        ("other machine", "00000000" if host != "00000000" else "00000001", process.pid),
    )}  # fmt: skip
    for name in [*names.values(), ".napari-unet-notes.part"]:
        (tmp_path / name).touch()
    assert sweep(tmp_path) == [tmp_path / names["dead"]]
    assert len(os.listdir(tmp_path)) == 4


@pytest.mark.parametrize(("failures", "saved"), [(5, True), (6, False)])
def test_replacing_is_tried_again(tmp_path, monkeypatch, failures, saved):
    path = save_labels(tmp_path / "a.tif", with_ids(3))
    before, calls, real = digest(path), [], os.replace

    def locked(source, target):
        calls.append(source)
        if len(calls) <= failures:
            raise PermissionError(13, "Permission denied")
        real(source, target)

    monkeypatch.setattr(atomic, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(os, "replace", locked)
    if saved:
        save_labels(path, with_ids(300))
        assert read_labels(path)[0].max() == 300
    else:
        with pytest.raises(SaveError, match="Permission denied"):
            save_labels(path, with_ids(300))
        assert digest(path) == before
    assert os.listdir(tmp_path) == ["a.tif"]


def test_a_page_that_reads_back_differently_is_noticed(tmp_path, monkeypatch):
    path = save_labels(tmp_path / "a.tif", with_ids(3))
    before = digest(path)
    monkeypatch.setattr(tiff, "_page_sum", lambda *_: 1)
    with pytest.raises(SaveError, match="read back"):
        save_labels(path, with_ids(300))
    assert digest(path) == before
    assert os.listdir(tmp_path) == ["a.tif"]


def test_missing_folder_and_folder_as_name(tmp_path):
    (tmp_path / "a.tif").mkdir()
    for path, words in (
        (tmp_path / "no" / "a.tif", "does not exist"),
        (tmp_path / "a.tif", "folder"),
    ):
        with pytest.raises(SaveError, match=words):
            save_labels(path, with_ids(3))


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the administrator")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(SaveError, match="Permission"):
        save_labels(tmp_path / "a.tif", with_ids(3))
    tmp_path.chmod(0o755)


def test_permissions_and_links_are_kept(tmp_path):
    real = save_labels(tmp_path / "real.tif", with_ids(3))
    umask = os.umask(0)
    os.umask(umask)
    assert real.stat().st_mode & 0o777 == 0o666 & ~umask
    real.chmod(0o640)
    (tmp_path / "link.tif").symlink_to(real)
    save_labels(tmp_path / "link.tif", with_ids(300))
    assert (tmp_path / "link.tif").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert read_labels(real)[0].max() == 300


def test_memory_stays_flat_for_lazy_labels(tmp_path):
    script = (
        "import resource, dask.array as da; from napari_unet.io.tiff import save_labels\n"
        "import sys\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "save_labels(sys.argv[1], da.ones((64, 64), dtype='u4')); low = peak()\n"
        "save_labels(sys.argv[1], da.full((5000, 8000), 70000, dtype='u4', chunks=500))\n"
        "sys.exit(int(peak() - low > 120))"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", script, tmp_path / "a.tif"]
    assert subprocess.run(command).returncode == 0  # the whole array would be 160 MB


class Chunks(Windows):
    """As `Windows`, kept in chunks of 100 rows; counts how often each is read."""

    def __init__(self, shape):
        super().__init__(shape)
        self.chunks, self.reads = (1, 100, 100), np.zeros(-(-shape[-2] // 100), int)

    def __getitem__(self, key):
        self.reads[key[-1].start // 100 : -(-key[-1].stop // 100)] += 1
        return super().__getitem__(key)


def test_chunks_are_read_once_where_memory_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "BAND_BYTES", 2**14)
    monkeypatch.setattr(header, "STRIP_BYTES", 2**13)
    labels = Chunks((1, 800, 300))
    path = save_labels(tmp_path / "a.tif", labels)
    assert labels.reads.max() <= 3  # once for the largest id, and once or in two halves to be saved
    assert (read_labels(path)[0] == 70000).all()
