"""The use case from end to end with a tiny network: every kind of input, and every refusal."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet import Segmentation, segment
from napari_unet.errors import InputError, ModelError
from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.execution.events import NOT_NUMBERS, ObjectsFound, Started, Waiting
from napari_unet.execution.orders import ComputeBlock, Order, PredictTile
from napari_unet.image import Box, Image
from napari_unet.models.card import NEAR
from napari_unet.models.library import Model, load_model
from napari_unet.models.weights import load_model as load_network
from napari_unet.models.weights import save_model
from napari_unet.network.spec import UNetSpec
from napari_unet.planning.planner import Where
from napari_unet.segmentation import open_image, segment_events
from napari_unet.settings import DecodeSettings, FilterSettings, SegmentSettings
from tests.strategies import random_model

pytestmark = pytest.mark.usefixtures("one_thread")


SAMPLE = Path(__file__).parents[1] / "sample_data" / "nuclei.tif"
NO_CONTRAST = "The image has no contrast, so there is nothing to find."
BASE = np.random.default_rng(0).integers(0, 2, (24, 30)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(random_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def expected(model: Model) -> np.ndarray:
    labels = segment(BASE, model, diameter=20).labels
    assert len(np.unique(labels)) > 1
    return labels


def run(image: Any, model: Model, **options: Any) -> Segmentation:
    return segment(image, model, diameter=20, **options)


# ------------------------------------------------------------------------------ what is accepted

TYPES = ["?", *"bBhHiIqQ", *"efdg"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", TYPES)
def test_any_number_type_in_any_byte_order(
    model: Model, expected: np.ndarray, kind: str, order: str
) -> None:
    image = BASE.astype(np.dtype(kind).newbyteorder(order))
    assert (run(image, model).labels == expected).all()


def _memmap(folder: Path) -> np.ndarray:
    array = np.memmap(folder / "image.raw", np.uint8, "w+", shape=BASE.shape)
    array[:] = BASE
    return np.memmap(folder / "image.raw", np.uint8, "r", shape=BASE.shape)


def _read_only() -> np.ndarray:
    array = BASE.copy()
    array.flags.writeable = False
    return array


def _dask(folder: Path) -> Any:
    import dask.array

    return dask.array.from_array(BASE, chunks=(7, 11))


FORMS = {
    "fortran": lambda _: np.asfortranarray(BASE),
    "negative strides": lambda _: BASE[::-1, ::-1].copy()[::-1, ::-1],
    "strided": lambda _: np.repeat(np.repeat(BASE, 2, 0), 3, 1)[::2, ::3],
    "read-only": lambda _: _read_only(),
    "memmap": _memmap,
    "dask": _dask,
    "zarr": lambda folder: zarr.array(BASE, store=folder / "image.zarr", chunks=(7, 11)),
    "list": lambda _: BASE.tolist(),
    "Image": lambda _: Image(BASE, "YX"),
}


@pytest.mark.parametrize("form", FORMS)
def test_any_kind_of_array(model: Model, expected: np.ndarray, tmp_path: Path, form: str) -> None:
    assert (run(FORMS[form](tmp_path), model).labels == expected).all()


def test_a_broadcast_array_and_one_with_a_negative_stride_of_length_one(model: Model) -> None:
    row = np.random.default_rng(0).random((1, 40))
    wide = np.broadcast_to(row, (20, 40))
    assert run(wide, model).labels.shape == (20, 40)
    assert (run(row[::-1], model).labels == run(row, model).labels).all()


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_is_averaged_and_opacity_left_out(
    model: Model, expected: np.ndarray, channels: int
) -> None:
    image = np.repeat(BASE[..., None], channels, axis=2)
    image[..., 3:] = 9
    result = run(image, model)
    assert result.image.axes == "YXC"
    assert (result.labels == expected).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3), (1, 1, 5, 5), (5, 5, 5)])
def test_any_size(model: Model, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).random(shape)
    result = run(image, model)
    assert result.labels.shape == shape
    assert result.labels.dtype == np.uint32
    assert len(result.objects) == len(np.unique(result.labels)) - (result.labels == 0).any()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 20)),
        np.full((20, 20), 7, np.int16),
        np.full((20, 20), np.nan),
        np.full((20, 20), np.inf),
        np.full((20, 20), 2**64 - 1, np.uint64),
        np.ones((3, 20, 20), bool),
    ],
    ids=["zero", "seven", "nan", "inf", "max", "true"],
)
def test_without_contrast_there_is_nothing(model: Model, image: np.ndarray) -> None:
    result = segment(image, model)
    assert not result.labels.any()
    assert NO_CONTRAST in result.notices
    assert len(result.objects) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_told_and_count_as_dark(model: Model, value: float) -> None:
    image = BASE.astype(np.float32)
    image[5:9, 7:12] = 0
    holes = image.copy()
    holes[5:9, 7:12] = value
    limits = run(image, model)
    result = run(holes, model)
    assert result.notices == (NOT_NUMBERS,)
    assert limits.notices == ()
    assert (result.labels == limits.labels).mean() > 0.9


@pytest.mark.parametrize("scale", [1e-320, 1e-40, 1e300, 1.7e308])
def test_the_smallest_and_largest_numbers(model: Model, expected: np.ndarray, scale: float) -> None:
    result = run(BASE * scale, model)
    assert np.abs((result.labels > 0).mean() - (expected > 0).mean()) < 0.5
    assert np.isfinite(result.plan.limits).all()


def test_numbers_of_both_signs_at_the_limit(model: Model) -> None:
    assert run(np.where(BASE, 1.7e308, -1.7e308), model).labels.shape == BASE.shape
    assert run(np.where(BASE, np.uint64(2**64 - 1), np.uint64(0)), model).labels.any()


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "image",
    [
        BASE * 1j,
        BASE.astype(object),
        BASE.astype(str),
        BASE.astype("M8[s]"),
        BASE.astype("m8[s]"),
        np.zeros((4, 4), [("a", int)]),
        np.zeros((0, 5)),
        np.zeros((5, 0)),
        np.array(3.0),
        np.arange(5),
        np.zeros((2,) * 10),
        [[1, 2], [3]],
        None,
        "image.tif",
    ],
    ids=lambda image: f"{type(image).__name__}-{getattr(image, 'dtype', '')}",
)
def test_other_arrays_get_one_sentence(model: Model, image: Any) -> None:
    with pytest.raises(InputError) as caught:
        segment(image, model)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "first."))


@pytest.mark.parametrize(
    "wrong",
    [{"diameter": -1}, {"diameter": 0.01}, {"diameter": float("nan")}, {"diameter": "wide"},
     {"tile": 5}, {"device": "gpu"}, {"sensitivity": 0.5}, {"decode": {"separation": 9}},
     {"colour": 1}],
    ids=str,
)  # fmt: skip
def test_wrong_settings_get_one_sentence_that_names_them(model: Model, wrong: dict) -> None:
    with pytest.raises(InputError) as caught:
        segment(BASE, model, **wrong)
    assert next(iter(wrong)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_for_other_channels_gets_a_sentence(tmp_path: Path) -> None:
    from napari_unet.network.spec import UNetSpec

    path = random_model(tmp_path, UNetSpec(in_channels=5, base_filters=1, depth=1))
    with pytest.raises(InputError, match=r"offers 1 channel.*needs 5"):
        segment(BASE, path)
    with pytest.raises(ModelError, match="no model called 'nuclie'"):
        segment(BASE, "nuclie")


# ----------------------------------------------------------------------------------- large images


class Lazy:
    """An array that cannot be loaded whole: windows are made when asked for, and counted."""

    dtype = np.dtype(np.uint16)

    def __init__(self, *shape: int) -> None:
        self.shape, self.windows = shape, []
        self.ndim = len(shape)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("loaded whole")

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        y, x = (np.arange(s.start, s.stop) for s in key[-2:])
        self.windows.append((len(y), len(x)))
        return ((y[:, None] // 9 + x // 9) % 2 * 1000).astype(np.uint16)


def test_a_part_of_a_large_image_reads_only_small_windows(model: Model) -> None:
    lazy = Lazy(20_000, 20_000)
    region = Box((7000, 9000), (7300, 9250))
    done = []
    events = segment_events(
        Image(lazy, "YX"), model, SegmentSettings(diameter=20, tile=128), ThreadExecutor(),
        where=Where(region=region, centre=(7100, 9100)),
    )  # fmt: skip
    for event in events:
        if isinstance(event, Started):
            assert event.plan.region == region
            around = event.plan.overlap  # the first block is computed with its surroundings
        if isinstance(event, ObjectsFound):
            done.append(event)
    assert sum(event.owned.size for event in done) == region.size
    assert done[-1].done == done[-1].total == len(done)
    halo = model.card.spec.halo
    assert max(max(window) for window in lazy.windows) <= max(256, 128 + 2 * (halo + around))
    assert sum(h * w for h, w in lazy.windows[64:]) < 5 * (250 + 300) ** 2


def test_a_part_outside_the_image_is_a_sentence(model: Model) -> None:
    where = Where(region=Box((500, 0), (600, 30)))
    with pytest.raises(InputError, match="lies outside the image of 24 × 30 px"):
        list(
            segment_events(
                Image(BASE, "YX"), model, SegmentSettings(), ThreadExecutor(), where=where
            )
        )


def test_stopping_leaves_no_files_behind(model: Model) -> None:
    events = segment_events(
        Image(np.random.default_rng(0).random((100, 100)), "YX"), model,
        SegmentSettings(diameter=20, tile=32), ThreadExecutor(),
    )  # fmt: skip
    started = next(e for e in events if isinstance(e, Started))
    next(e for e in events if isinstance(e, ObjectsFound))
    assert started.folder.exists()
    events.close()
    assert not started.folder.exists()


class Reading(ThreadExecutor):
    """Counts the orders for which a window is read."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = 0

    def submit(self, order: Order) -> None:
        self.windows += isinstance(order, PredictTile | ComputeBlock)
        super().submit(order)


def test_a_consumer_can_stop_between_any_two_windows(model: Model) -> None:
    image = Image(np.random.default_rng(0).random((90, 90)), "YX")
    executor = Reading()
    events = segment_events(image, model, SegmentSettings(tile=32), executor)
    assert isinstance(next(events), Waiting)
    read = [executor.windows for event in events if isinstance(event, Waiting)]
    assert read[-1] > 9
    assert np.diff(read, prepend=0).max() <= 1


def test_the_record_says_how_the_labels_were_made(model: Model) -> None:
    decode = DecodeSettings(sensitivity=0.7)
    record = run(BASE, model, decode=decode).record
    assert record["decode"]["sensitivity"] == 0.7
    assert (record["model_sha256"], record["diameter"]) == (model.sha, 20)
    assert record["versions"]["numpy"] == np.__version__


def test_no_network_is_used() -> None:
    code = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto"):
        raise AssertionError(f"network: {event} {arguments}")
sys.addaudithook(refuse)
import numpy as np
from napari_unet import segment
y, x = np.ogrid[:64, :64]
image = np.exp(-((y - 30) ** 2 + (x - 30) ** 2) / 60) * 1000
print(len(segment(image).objects))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1


@pytest.mark.parametrize(
    ("usual", "found", "settled"),
    [
        (30.0, 20.0, 30.0),  # what it was trained on, where the estimate does not contradict
        (30.0, 30.0 / NEAR - 1, 30.0 / NEAR - 1),
        (30.0, 30.0 * NEAR + 1, 30.0 * NEAR + 1),
        (30.0, None, 30.0),
        (None, 20.0, 20.0),
    ],
)
def test_a_retrained_model_trusts_the_size_that_was_painted(
    usual: float | None, found: float | None, settled: float
) -> None:
    card = load_model("nuclei").card.model_copy(update={"usual_diameter": usual})
    assert card.diameter_for(found) == settled


def test_a_model_of_objects_of_many_sizes_trusts_what_it_was_trained_on() -> None:
    sizes = {"usual_diameter": 30.0, "taught_diameters": (10.0, 90.0)}
    card = load_model("nuclei").card.model_copy(update=sizes)
    assert card.diameter_for(90.0) == 30.0
    assert card.diameter_for(300.0) == 300.0


def test_a_model_of_large_cells_still_sees_that_an_image_has_small_ones(tmp_path: Path) -> None:
    """Else nothing would be left to estimate from, and the small ones would be left out."""
    nuclei = load_model("nuclei")
    network, card = load_network(nuclei.path)
    large_objects = {"usual_diameter": 60.0, "decode": DecodeSettings(minimum_diameter=40.0)}
    large = save_model(
        tmp_path / "large.safetensors", network, card.model_copy(update=large_objects)
    )
    image = tifffile.imread(SAMPLE)[:256, :256]
    found = segment(image, large)
    usual = segment(image, nuclei).plan.found
    assert found.plan.found is not None
    assert usual is not None
    assert 0.7 < found.plan.found / usual < 1.4
    assert 13 < found.record["decode"]["minimum_diameter"] < 30
    assert found.labels.max() > 5


def test_nuclei_are_seen_where_they_are_given(tmp_path: Path) -> None:
    spec = UNetSpec(base_filters=2, depth=2, nuclei=True)
    model = load_model(random_model(tmp_path, spec, seed=7))
    random = np.random.default_rng(1)
    pair = random.integers(0, 2, (2, 60, 90)).astype(np.uint8)
    cells = Image(pair[0], "YX")
    both = Image(pair, "CYX", channel=0, nuclei=1)
    alone, paired = run(cells, model), run(both, model)
    assert (alone.labels == run(Image(pair, "CYX", channel=0), model).labels).all()
    assert (alone.labels != paired.labels).any()
    assert paired.plan.channels == 2
    assert [paired.record[name] for name in ("channel", "nuclei")] == [0, 1]
    opened = open_image(pair, "CYX", 0, nuclei=1)
    assert (run(opened, model).labels == paired.labels).all()
    # tiles agree with the whole image
    tiled = run(both, model, tile=32)
    assert ((paired.labels > 0) == (tiled.labels > 0)).all()


def test_a_model_without_nuclei_refuses_them(model: Model) -> None:
    image = Image(np.zeros((2, 40, 40), np.uint8), "CYX", channel=0, nuclei=1)
    with pytest.raises(InputError, match="takes none"):
        run(image, model)


def test_filters_of_a_result_add_up_and_its_tracks_are_those_left() -> None:
    pixels = tifffile.imread(SAMPLE)[:160, :200]
    frames = np.stack([np.roll(pixels, by, axis=0) for by in (0, 2, 4)])
    result = segment(Image(frames, "TYX"), "nuclei").linked()
    large = FilterSettings(ranges={"area": (250, None)})
    inner = FilterSettings(at_edge=True)
    both = result.filtered(large).filtered(inner)
    assert 0 < both.count < result.filtered(large).count < result.count
    assert both.record["filters"] == [
        {"ranges": {"area": [250, None]}, "at_edge": True, "left_out": result.count - both.count}
    ]
    left = np.unique(both.labels)[1:]
    assert both.links is not None
    assert both.links.count == both.count == len(left)
    assert np.array_equal(np.unique(both.links.tracks()[0][:, 0]), left)
    at_once = result.filtered(large.and_also(inner))
    assert np.array_equal(at_once.labels, both.labels)


def test_classes_are_not_filtered(tmp_path: Path) -> None:
    spec = UNetSpec(in_channels=1, classes=3, distance=False, depth=2, base_filters=2)
    made = load_model(random_model(tmp_path, spec, class_names=("a", "b", "c")))
    result = segment(np.random.default_rng(0).normal(100, 20, (40, 50)), made)
    with pytest.raises(InputError, match="finds classes"):
        result.filtered(FilterSettings(at_edge=True))
