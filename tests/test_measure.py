"""The object table against scikit-image, on every kind of array."""

import os

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from skimage.measure import regionprops_table

from napari_unet import measure as objects
from napari_unet.errors import InputError, SaveError
from napari_unet.image import Image, Spacing
from napari_unet.io.exports import save_table
from napari_unet.measure import measure, measure_linked
from napari_unet.plugin.synthetic_nuclei import nuclei_window

GREY, LABELS = nuclei_window((30, 50), (300, 260), 4000)


@pytest.mark.parametrize("window", [1024, 64, 37])
def test_same_as_scikit_image(monkeypatch, window):
    monkeypatch.setattr(objects, "WINDOW", window)
    table = measure(LABELS, Image(GREY, "YX"))
    wanted = regionprops_table(
        LABELS, GREY, ["label", "centroid", "area", "equivalent_diameter_area", "intensity_mean"]
    )
    names = ["label", "centroid_y", "centroid_x", "area", "diameter", "mean_intensity"]
    assert list(table.columns) == names
    for name, values in zip(names, wanted.values(), strict=True):
        np.testing.assert_allclose(table[name], values, rtol=1e-12)


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
    wanted = regionprops_table(labels[0], grey[0], ["centroid", "intensity_mean"])
    for i, axis in enumerate("zyx"):
        np.testing.assert_allclose(table[f"centroid_{axis}"][0], wanted[f"centroid-{i}"][0])
    np.testing.assert_allclose(table["mean_intensity"][0], wanted["intensity_mean"][0])
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
