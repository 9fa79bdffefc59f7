"""The object table against scikit-image, on every kind of array."""

import os
import time

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import perimeter_crofton, regionprops_table

from napari_unet.errors import InputError, SaveError
from napari_unet.image import Box, Image, Spacing
from napari_unet.io.exports import save_table
from napari_unet.measure import ObjectTable, measure, measure_linked, sections
from napari_unet.plugin.synthetic_nuclei import nuclei_window
from tests.strategies import intervals, label_images

GREY, LABELS = nuclei_window((30, 50), (300, 260), 4000)


# our name: scikit-image's
PROPERTIES = {
    "label": "label",
    "centroid_y": "centroid-0",
    "centroid_x": "centroid-1",
    "area": "area",
    "diameter": "equivalent_diameter_area",
    "length": "axis_major_length",
    "width": "axis_minor_length",
    "mean_intensity": "intensity_mean",
    "min_intensity": "intensity_min",
    "max_intensity": "intensity_max",
}


def wanted(labels, grey=None, **options):
    names = {name.split("-")[0] for name in PROPERTIES.values()}
    if grey is None:
        names = {name for name in names if not name.startswith("intensity")}
    return regionprops_table(labels, grey, sorted(names), **options)


@pytest.mark.parametrize("window", [1024, 64, 37])
def test_same_as_scikit_image(monkeypatch, window):
    monkeypatch.setattr(sections, "WINDOW", window)
    table, found = measure(LABELS, Image(GREY, "YX")), wanted(LABELS, GREY)
    assert set(table.columns) == {*PROPERTIES, "perimeter", "circularity", "at_edge"}
    for ours, theirs in PROPERTIES.items():
        np.testing.assert_allclose(table[ours], found[theirs], rtol=1e-9, atol=1e-9)
    outlines = [perimeter_crofton(number == LABELS, 4) for number in table["label"]]
    np.testing.assert_allclose(table["perimeter"], outlines)
    round_ = 4 * np.pi * table["area"] / table["perimeter"] ** 2
    np.testing.assert_allclose(table["circularity"], np.minimum(round_, 1))


@given(labels=label_images(), window=st.integers(1, 50))
def test_any_labels_are_measured_as_scikit_image_does(labels, window):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "WINDOW", window)
        table = measure(labels)
    found = wanted(labels)
    for ours, theirs in PROPERTIES.items():
        if theirs in found:
            np.testing.assert_allclose(table[ours], found[theirs], rtol=1e-7, atol=1e-6)
    outlines = [perimeter_crofton(number == labels, 4) for number in table["label"]]
    np.testing.assert_allclose(table["perimeter"], outlines)


@given(labels=label_images(), data=st.data(), linked=st.booleans())
def test_a_table_that_is_kept_is_that_of_a_fresh_look(labels, data, linked):
    stack = np.stack([labels.astype(np.int32), labels[::-1, ::-1].astype(np.int32)])
    grey = np.arange(stack.size, dtype=np.float32).reshape(stack.shape)
    image = Image(grey, "ZYX", spacing={axis: Spacing(0.5, "micrometer") for axis in "ZYX"})
    table = ObjectTable(stack, image, linked=linked)
    ids = [0, 7, *np.unique(stack).tolist()]
    for _ in range(data.draw(st.integers(1, 4))):
        plane = (data.draw(st.integers(0, 1)),)
        y, x = (data.draw(intervals(low=0, high=side)) for side in labels.shape)
        box = Box((y[0], x[0]), (y[1], x[1]))
        before = stack.copy()
        holes = data.draw(st.integers(1, 4))
        stack[(*plane, *box.slices)][::holes, ::holes] = data.draw(st.sampled_from(ids))
        changed = before != stack
        known = set(before[changed]) | set(stack[changed])
        looked_at = table.update(stack, plane, box, known if data.draw(st.booleans()) else None)
        assert set(looked_at) >= known - {0}
    fresh = ObjectTable(stack, image, linked=linked).columns()
    kept = table.columns()
    assert list(kept) == list(fresh)
    for name, values in fresh.items():
        np.testing.assert_allclose(kept[name], values, rtol=1e-7, atol=1e-6, err_msg=name)
    some = table.columns(ids[:2])
    assert set(some["label"]) == set(fresh["label"]) & set(ids[:2])


def test_a_stroke_among_ten_thousand_objects_is_quick():
    labels = np.zeros((4000, 4000), np.uint32)
    rows, columns = np.ogrid[:4000, :4000]
    inside = (rows % 40 - 20) ** 2 + (columns % 40 - 20) ** 2 < 18**2
    labels[inside] = (rows // 40 * 100 + columns // 40 + 1)[inside]
    grey = np.broadcast_to(np.arange(4000, dtype=np.uint16), (3, 4000, 4000))
    table = ObjectTable(labels, Image(grey, "CYX", spacing={"Y": Spacing(1), "X": Spacing(1)}))
    assert len(table.columns()["label"]) == 10_000
    times = []
    for i in range(10):
        box = Box((1000 + 50 * i, 1000), (1030 + 50 * i, 1100))
        labels[box.slices] = (0, 20_000 + i, labels[box.start])[i % 3]
        start = time.perf_counter()
        table.update(labels, (), box)
        table.columns()
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05  # of several: other tests run beside this one


def test_a_stroke_below_an_object_in_pieces_far_apart_is_quick():
    """Who knows which ids changed need not look at others, however far they reach."""
    labels = np.zeros((3000, 3000), np.uint32)
    labels[:9, :9] = labels[-9:, -9:] = 7
    table = ObjectTable(labels)
    box = Box((1500, 1500), (1530, 1530))
    labels[box.slices] = 8
    start = time.perf_counter()
    assert table.update(labels, (), box, [0, 8]).tolist() == [8]
    assert time.perf_counter() - start < 0.05
    assert table.columns()["area"].tolist() == [162, 900]


def test_every_channel_has_its_name():
    grey = np.stack([GREY, GREY // 2])
    image = Image(grey, "CYX", channel=1, channel_names=("DAPI", "actin"))
    table, halves = measure(LABELS, image), measure(LABELS, Image(GREY // 2, "YX"))
    for kind in ("mean", "min", "max"):
        np.testing.assert_array_equal(table[f"{kind}_intensity_actin"], halves[f"{kind}_intensity"])
        assert f"{kind}_intensity_DAPI" in table
    assert "mean_intensity" not in table
    assert "mean_intensity_1" in measure(LABELS, Image(grey, "CYX"))
    colours = np.stack([GREY.astype(np.uint8)] * 4, axis=-1)
    assert "mean_intensity_Blue" in measure(LABELS, Image(colours, "YXC"))
    assert not [one for one in measure(LABELS, Image(colours, "YXC")) if one.endswith("_3")]


def test_what_a_person_drew_is_named():
    ids = measure(LABELS)["label"]
    table = measure(LABELS, corrected=ids[:3])
    assert table["corrected"].tolist() == [True] * 3 + [False] * (len(ids) - 3)


def test_shape_of_pixels_that_are_no_squares():
    """A disc stays a disc, however its pixels are cut."""
    rows, columns = np.ogrid[-50:50, -200:200]
    disc = (rows / 40) ** 2 + (columns / 160) ** 2 < 1
    image = Image(disc, "YX", spacing={"Y": Spacing(2, "µm"), "X": Spacing(0.5, "µm")})
    [row] = measure(disc, image).to_dict("records")
    assert row["perimeter_um"] == pytest.approx(2 * np.pi * 80, rel=0.03)
    assert row["circularity"] > 0.94
    assert row["length_um"] == pytest.approx(160, rel=0.01)
    assert row["width_um"] == pytest.approx(160, rel=0.01)
    assert row["length"] == pytest.approx(320, rel=0.01)


def test_lazy_arrays_and_leading_axes():
    labels, grey = np.stack([LABELS, LABELS * 0, LABELS + 9]), np.stack([GREY] * 3)
    labels[2][LABELS == 0] = 0
    whole = measure(labels, Image(grey, "TYX"))
    lazy = measure(
        da.from_array(labels, chunks=(1, 90, 90)), Image(da.from_array(grey, chunks=100), "TYX")
    )
    pd.testing.assert_frame_equal(whole, lazy)
    assert list(whole.columns[:2]) == ["label", "T"]
    assert set(whole["T"]) == {0, 2}
    assert len(whole) == 2 * len(measure(LABELS))
    assert "axis_0" in measure(labels).columns


def test_units():
    image = Image(GREY, "YX", spacing={"Y": Spacing(0.5, "µm"), "X": Spacing(0.25, "µm")})
    table = measure(LABELS, image)
    np.testing.assert_allclose(table["area_um2"], table["area"] / 8)
    np.testing.assert_allclose(table["centroid_y_um"], table["centroid_y"] / 2)
    np.testing.assert_allclose(table["centroid_x_um"], table["centroid_x"] / 4)
    np.testing.assert_allclose(table["diameter_um"], np.sqrt(table["area_um2"] * 4 / np.pi))
    assert "area_nm2" in measure(LABELS, pixel_size=(1, 9, 9), unit="nanometer").columns
    assert "area_unit2" in measure(LABELS, pixel_size=(2, 2)).columns


def test_places_are_in_units_and_begin_with_the_image():
    spacing = {"T": Spacing(1.5, "second", 3.0), "Y": Spacing(0.5, "µm", 10.0),
               "X": Spacing(0.25, "µm", -4.0)}  # fmt: skip
    table = measure(np.stack([LABELS] * 2), Image(np.stack([GREY] * 2), "TYX", spacing=spacing))
    np.testing.assert_allclose(table["T_s"], table["T"] * 1.5 + 3)
    np.testing.assert_allclose(table["centroid_y_um"], table["centroid_y"] / 2 + 10)
    np.testing.assert_allclose(table["centroid_x_um"], table["centroid_x"] / 4 - 4)


def test_large_ids_no_objects_and_missing_grey_values():
    labels = np.array([[0, 2**32 - 1], [2**32 - 1, 7]], np.uint64)
    grey = np.array([[1, 2], [np.nan, np.nan]])
    table = measure(labels, Image(grey, "YX"))
    assert list(table["label"]) == [7, 2**32 - 1]
    assert np.isnan(table["mean_intensity"][0])
    assert table["mean_intensity"][1] == 2
    assert measure(np.zeros((4, 5), int)).empty
    assert list(measure(np.ones((2, 2), bool))["area"]) == [4]


def test_unusable_labels():
    with pytest.raises(InputError, match="float64"):
        measure(np.ones((3, 3)))
    with pytest.raises(InputError, match="do not fit"):
        measure(LABELS, Image(GREY[1:], "YX"))


def test_table_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    table = measure(LABELS, Image(GREY, "YX"))
    path = save_table(tmp_path / "æ.csv", table)
    pd.testing.assert_frame_equal(pd.read_csv(path), table)
    before = path.read_bytes()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SaveError, match="No space left"):
        save_table(path, table[:1])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_linked_objects_through_planes_and_time():
    labels = np.zeros((2, 3, 6, 6), np.uint32)
    labels[0, :2, 1:3, 1:4] = 4
    labels[0, 2, 1, 1] = 4
    labels[1, 1, 2:4, 2:4] = 9
    grey = np.arange(labels.size, dtype=np.float32).reshape(labels.shape)
    spacing = {axis: Spacing(0.5, "micrometer") for axis in "YX"}
    spacing |= {"Z": Spacing(3.0, "micrometer"), "T": Spacing(10.0, "second")}
    image = Image(grey, "TZYX", spacing=spacing)
    table = measure_linked(labels, image, {9: 4})
    assert table["label"].tolist() == [4, 9]
    assert table["T"].tolist() == [0, 1]
    assert table["parent"].tolist() == [0, 4]
    assert table["time_s"].tolist() == [0, 10]
    assert table["volume"].tolist() == [13, 4]
    assert table["planes"].tolist() == [3, 1]
    names = ["centroid", "intensity_mean", "intensity_max", "axis_major_length"]
    found = regionprops_table(labels[0], grey[0], names, spacing=(3, 0.5, 0.5))
    for i, axis in enumerate("zyx"):
        np.testing.assert_allclose(table[f"centroid_{axis}_um"][0], found[f"centroid-{i}"][0])
    np.testing.assert_allclose(table["mean_intensity"][0], found["intensity_mean"][0])
    np.testing.assert_allclose(table["max_intensity"][0], found["intensity_max"][0])
    np.testing.assert_allclose(table["length_um"][0], found["axis_major_length"][0])
    np.testing.assert_allclose(table["volume_um3"], table["volume"] * 0.75)
    np.testing.assert_allclose(table["centroid_z_um"], table["centroid_z"] * 3)
    np.testing.assert_allclose(np.pi / 6 * table["diameter_um"] ** 3, table["volume_um3"])


def test_linked_objects_without_known_sizes_or_objects():
    labels = np.zeros((3, 6, 6), np.uint32)
    none = measure_linked(labels, Image(labels, "ZYX"))
    assert none.empty
    labels[1, 2:4, 2:4] = 2
    assert not any("_um" in name for name in measure_linked(labels, Image(labels, "ZYX")))
    spacing = {axis: Spacing(2.0, "micrometer") for axis in "YX"}
    flat = measure_linked(labels, Image(labels, "ZYX", spacing=spacing))
    assert flat["centroid_y_um"][0] == 5
    assert "volume_um3" not in flat
    assert list(measure_linked(labels, Image(labels, "TYX"))["area"]) == [4]
