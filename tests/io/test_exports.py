"""Exports read back: by roifile, as GeoJSON, and as labels of an OME-Zarr image."""

import json

import numpy as np
import pytest
import roifile
import zarr
from skimage.draw import polygon2mask

from napari_unet.errors import SaveError
from napari_unet.image import Image, Spacing
from napari_unet.io.exports import save_geojson, save_into_image, save_rois
from napari_unet.io.images import read_image
from napari_unet.io.records import read_record
from napari_unet.measure import measure, measure_linked
from tests.strategies import blob_labels


@pytest.fixture
def labels():
    """Blobs, one of them with a hole, one in two pieces."""
    picture = blob_labels(5, (120, 140), largest=24)
    picture[2:14, 2:14], picture[6:9, 6:9] = 900, 0
    picture[100:106, 100:106] = picture[110:113, 110:113] = 901
    return picture


def sizes(labels):
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    return dict(zip(map(str, ids.tolist()), counts.tolist(), strict=True))


def test_rois_enclose_the_pixels_of_their_objects(labels, tmp_path):
    path = save_rois(tmp_path / "a.zip", labels, "YX")
    rois = roifile.roiread(path)
    found = {}
    for roi in rois:
        mask = np.zeros(labels.shape, bool)
        for ring in roi.coordinates(multi=True):
            mask ^= polygon2mask(labels.shape, ring[:, ::-1] - 0.5)
        found[roi.name] = int(mask.sum())
    assert found == sizes(labels)
    hole = next(roi for roi in rois if roi.name == "900")
    assert (hole.left, hole.top, hole.right, hole.bottom) == (2, 2, 14, 14)


def test_rois_lie_in_their_planes(tmp_path):
    labels = np.zeros((2, 3, 20, 20), np.uint16)
    labels[1, 2, 3:9, 4:8] = 5
    [roi] = roifile.roiread(save_rois(tmp_path / "a.zip", labels, "TZYX"))
    assert (roi.name, roi.t_position, roi.z_position, roi.c_position) == ("T2-Z3-5", 2, 3, 0)
    [roi] = roifile.roiread(save_rois(tmp_path / "a.zip", labels[1], "ZYX"))
    assert (roi.name, roi.position) == ("Z3-5", 3)
    [roi] = roifile.roiread(save_rois(tmp_path / "a.zip", labels, "PZYX"))
    assert (roi.name, roi.position) == ("P2-Z3-5", 6)


def filled(feature, shape):
    """Draw a feature again, and look at what GeoJSON asks of its rings."""
    geometry, mask = feature["geometry"], np.zeros(shape, bool)
    several = geometry["type"] == "MultiPolygon"
    for polygon in geometry["coordinates"] if several else [geometry["coordinates"]]:
        for ring in polygon:
            assert ring[0] == ring[-1]
            assert len(ring) >= 5
            mask ^= polygon2mask(shape, np.array(ring)[:, ::-1] - 0.5)
    return mask


def test_geojson_has_outlines_and_measurements(labels, tmp_path):
    image = Image(labels.astype(np.float32), "YX", spacing={a: Spacing(0.5, "µm") for a in "YX"})
    table = measure(labels, image)
    path = save_geojson(tmp_path / "a.geojson", labels, "YX", table)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["type"] == "FeatureCollection"
    found = {one["properties"]["name"]: one for one in content["features"]}
    assert {name: filled(one, labels.shape).sum() for name, one in found.items()} == sizes(labels)
    assert found["900"]["geometry"]["type"] == "Polygon"
    assert found["901"]["geometry"]["type"] == "MultiPolygon"
    assert "plane" not in found["900"]["geometry"]
    measured = found["900"]["properties"]["measurements"]
    assert measured["area"] == 144 - 9
    assert measured["mean_intensity"] == 900
    assert "label" not in measured


def test_geojson_of_planes_gives_each_its_own_row(tmp_path):
    labels = np.zeros((2, 2, 20, 20), np.uint16)
    labels[0, :, 3:9, 4:8] = 5
    labels[1, 1, 3:6, 4:8] = 5
    grey = Image(np.full(labels.shape, np.nan, np.float32), "TZYX")
    for table, key, wanted in (
        (measure(labels, grey), "area", [24, 24, 12]),
        (measure_linked(labels, grey), "volume", [48, 48, 12]),
    ):
        path = save_geojson(tmp_path / "a.geojson", labels, "TZYX", table)
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
        values = [one["properties"]["measurements"] for one in features]
        assert [one[key] for one in values] == wanted
        assert not any("intensity" in name for one in values for name in one)  # none is a number
        planes = [one["geometry"]["plane"] for one in features]
        assert planes == [{"c": -1, "z": z, "t": t} for t, z in ((0, 0), (0, 1), (1, 1))]


@pytest.fixture(params=["0.4", "0.5"])
def image_folder(tmp_path, request):
    folder, version = tmp_path / "a.zarr", request.param
    group = zarr.open_group(folder, mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("0", shape=(120, 140), chunks=(64, 64), dtype="uint8")
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = {"type": "scale", "scale": [0.5, 0.5]}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    scales = {"multiscales": [{"axes": axes, "datasets": datasets}]}
    group.attrs.update(scales if version == "0.4" else {"ome": {"version": version, **scales}})
    return folder


def told(folder):
    """Attributes of a group, wherever its version keeps them."""
    attributes = dict(zarr.open_group(folder, mode="r").attrs)
    return attributes.get("ome", attributes)


def test_labels_go_into_the_folder_of_their_image(labels, image_folder):
    image = read_image(image_folder)
    target = save_into_image(image_folder, "cells", labels, image, {"model": "nuclei"})
    assert target == image_folder / "labels" / "cells"
    save_into_image(image_folder, "more", labels * 2, image, {})
    assert told(image_folder / "labels")["labels"] == ["cells", "more"]
    assert told(target)["image-label"]["source"] == {"image": "../../"}
    assert told(target)["multiscales"][0]["name"] == "cells"
    np.testing.assert_array_equal(zarr.open_group(target, mode="r")["0"][:], labels)
    assert read_record(target) == {"model": "nuclei"}
    again = read_image(target)
    assert (again.axes, again.label_sizes) == ("YX", (0.5, 0.5))
    assert read_image(image_folder).shape == labels.shape


def test_labels_of_somebody_else_are_never_replaced(labels, image_folder, tmp_path):
    image = read_image(image_folder)
    save_into_image(image_folder, "cells", labels, image, {})
    with pytest.raises(SaveError, match="exists already"):
        save_into_image(image_folder, "cells", labels * 0, image, {})
    with pytest.raises(SaveError, match="cannot be called"):
        save_into_image(image_folder, "../cells", labels, image, {})
    with pytest.raises(SaveError, match="no OME-Zarr image"):
        save_into_image(tmp_path, "cells", labels, image, {})
    group = zarr.open_group(image_folder / "labels", mode="r")
    np.testing.assert_array_equal(group["cells"]["0"][:], labels)
    assert told(image_folder / "labels")["labels"] == ["cells"]
