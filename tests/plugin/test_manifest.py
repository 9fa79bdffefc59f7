"""The manifest and what it names: writer, reader, samples."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from napari._app_model.constants import MenuId
from napari.layers import Image as NapariImage
from napari.layers import Labels
from npe2 import PluginManager, PluginManifest
from npe2.io_utils import _read, _write

import napari_unet
from napari_unet.io.images import read_image
from napari_unet.io.tiff_header import read_header
from napari_unet.plugin import samples
from napari_unet.plugin.layers import labels_files
from napari_unet.plugin.layers.layers import Looks, image_of

NAME = "napari-unet-interactive"
MANIFEST = Path(napari_unet.__file__).parent / "napari.yaml"


@pytest.fixture
def plugins(monkeypatch):
    manager = PluginManager()
    manager.register(PluginManifest.from_file(MANIFEST))
    monkeypatch.setattr(PluginManager, "instance", lambda: manager)  # where npe2 looks commands up
    return manager


def test_every_id_is_declared_and_every_menu_is_open():
    manifest = PluginManifest.from_file(MANIFEST)
    parts = manifest.contributions
    declared = {c.id: c.python_name for c in parts.commands}
    used = [*parts.widgets, *parts.writers, *parts.readers, *parts.sample_data]
    used += [item for items in parts.menus.values() for item in items]
    assert {item.command for item in used} == set(declared)
    assert set(parts.menus) <= MenuId.contributables()
    for name in declared.values():
        module, attribute = name.split(":")
        assert find_spec(module) is not None
        modules = {one.__name__: one for one in (samples, labels_files)}
        assert module not in modules or hasattr(modules[module], attribute)
    assert declared[f"{NAME}.panel"] == "napari_unet.plugin.segment_panel:SegmentPanel"


def test_top_level_manifest_is_the_packaged_one():
    top = Path(__file__).parents[2] / "napari.yaml"
    assert (
        top.read_text() == MANIFEST.read_text() or top.read_text() == "src/napari_unet/napari.yaml"
    )


@pytest.mark.parametrize("name", ["a_labels.tif", "a_labels.ome.tif", "a_classes.ome.tif"])
def test_writer_and_reader_through_npe2(plugins, tmp_path, name):
    data = np.zeros((3, 40, 50), np.int64)
    data[1, 2, 3] = 70000
    settings = {"model": "nuclei", "sha256": "ab"}
    layer = Labels(
        data,
        scale=(3, 0.5, 0.25),
        units=("s", "um", "um"),
        axis_labels=("t", "y", "x"),
        metadata={"napari_unet": settings, "other": object()},
    )
    path = str(tmp_path / name)
    written = _write(path, layer_data=[layer.as_layer_data_tuple()], plugin_name=NAME, _pm=plugins)
    assert written == [path]
    found, attributes, kind = _read([path], stack=False, plugin_name=NAME, _pm=plugins)[0]
    assert kind == "labels"
    again = Labels(found, **attributes)
    np.testing.assert_array_equal(again.data, data)
    np.testing.assert_allclose(again.scale, layer.scale, rtol=1e-9)
    assert again.axis_labels == ("t", "y", "x")
    assert [str(u) for u in again.units[1:]] == ["micrometer", "micrometer"]
    assert again.metadata == {"napari_unet": settings}
    assert read_header(path).axes == "TYX"


def test_reader_declines_what_is_not_ours(tmp_path):
    foreign = tmp_path / "b_labels.tif"
    foreign.write_bytes(b"II*\0 not a TIFF")
    for path in (str(foreign), str(tmp_path / "missing.tif"), [str(foreign)]):
        assert labels_files.get_labels_reader(path) is None
    assert labels_files.get_labels_reader(str(samples.sample_folder() / "nuclei_truth.tif")) is None


@pytest.mark.parametrize(
    "name", ["a_labels.tif", "A_classes.OME.TIFF", "week1.tif", "a_Labels.tif", "labels.tif"]
)
def test_names_that_open_as_labels_are_those_of_the_manifest(plugins, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"")
    asked = any(plugins.iter_compatible_readers([str(path)]))
    assert labels_files.opens_as_labels(path) == asked


@pytest.mark.parametrize(
    ("meta", "wanted"),
    [
        ({"scale": (1, 1)}, (None, "pixel")),
        ({"scale": (0.5, 0.5)}, ((0.5, 0.5), "pixel")),
        ({"scale": (-2, 3), "units": ("um", "um")}, ((2, 3), "micrometer")),
        ({"scale": (2, 3), "units": ("um", "nm")}, ((2000, 3), "nanometer")),
        ({"scale": (1, 1), "units": ("um", "um")}, ((1, 1), "micrometer")),
    ],
)
def test_pixel_size_of_a_layer(meta, wanted):
    assert labels_files.layer_pixel_size(meta, 2) == wanted


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
@pytest.mark.parametrize(
    ("scale", "units", "wanted"),
    [
        ((3, 0.2, 0.2), ("um", "um", "um"), (3, 0.2, 0.2)),
        ((3000, 0.2, 0.2), ("nm", "um", "um"), (3, 0.2, 0.2)),
        ((1, 0.2, 0.2), ("pixel", "um", "um"), (None, 0.2, 0.2)),
    ],
)
def test_planes_of_a_layer_keep_their_distance(tmp_path, suffix, scale, units, wanted):
    layer = Labels(np.ones((2, 8, 9), int), scale=scale, units=units, axis_labels=("z", "y", "x"))
    path = str(tmp_path / f"a{suffix}")
    labels_files.write_labels(path, *layer.as_layer_data_tuple()[:2])
    assert read_image(path).label_sizes == pytest.approx(wanted)
    ((_, again, _),) = labels_files.get_labels_reader(path)(path)
    assert again["scale"] == pytest.approx(tuple(size or 1 for size in wanted))
    assert again["units"][0] == ("micrometer" if wanted[0] else "pixel")


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
def test_labels_keep_their_place(tmp_path, suffix):
    layer = Labels(
        np.ones((2, 8, 9), int), scale=(3, 0.2, 0.2), units=("um", "um", "um"),
        translate=(-6, 10, 20), axis_labels=("z", "y", "x"),
    )  # fmt: skip
    path = str(tmp_path / f"a{suffix}")
    labels_files.write_labels(path, *layer.as_layer_data_tuple()[:2])
    ((_, again, _),) = labels_files.get_labels_reader(path)(path)
    assert again["translate"] == pytest.approx((-6, 10, 20))
    assert again["scale"] == pytest.approx((3, 0.2, 0.2))


def test_the_place_of_a_layer_is_that_of_its_image():
    layer = NapariImage(np.zeros((8, 9), np.uint8), scale=(0.2, 0.1), units=("um", "nm"))
    layer.translate = (10, 300)
    spacing = image_of(layer, "YX", None, None, Looks()).spacing
    assert spacing["X"].offset == 300
    assert spacing["Y"].offset == pytest.approx(10_000)


def test_steps_of_an_image_layer():
    data, labels = np.zeros((2, 3, 8, 9), np.uint8), ("t", "z", "y", "x")
    layer = NapariImage(data, scale=(250, 2, 1, 1), units=("ms", "um", "um", "um"))
    layer.axis_labels = labels
    assert image_of(layer, "", None, None, Looks()).label_sizes == (0.25, 2, 1, 1)
    assert image_of(NapariImage(data), "", None, None, Looks()).label_sizes == (None,) * 4
    colours = NapariImage(data[0], scale=(0.3, 0.2, 1), units=("um", "um", "pixel"))
    image = image_of(colours, "YXC", None, None, Looks())
    assert (image.label_sizes, image.unit) == ((0.3, 0.2), "micrometer")


def test_multiscale_labels_are_saved_at_the_finest_level(tmp_path):
    layer = Labels([np.eye(64, dtype=int), np.eye(64, dtype=int)[::2, ::2]], multiscale=True)
    path = str(tmp_path / "a.tif")
    labels_files.write_labels(path, *layer.as_layer_data_tuple()[:2])
    assert read_header(path).shape == (64, 64)


def test_samples():
    (image, _, _), (truth, attributes, kind) = samples.sample_nuclei()
    assert (image.dtype, image.shape, kind) == (np.uint16, truth.shape, "labels")
    assert len(np.unique(truth)) - 1 >= 30
    assert not attributes["visible"]
    assert image[truth > 0].mean() > 2 * image[truth == 0].mean()
    assert samples.sample_tissue()[0][0].shape == (512, 512, 3)
    for file in ("LICENSE-mnfinder", "README.md"):
        assert "Lucian DiPeso" in (samples.sample_folder() / file).read_text()


def test_large_sample_is_lazy_and_the_same_however_it_is_cut():
    images, truths = (layer[0] for layer in samples.sample_large())
    image, truth = images[0], truths[0]
    assert image.shape == truth.shape == (8192, 8192)
    assert (image.dtype, truth.dtype) == (np.uint16, np.uint32)
    window = np.s_[900:1300, 7900:8192]
    [again], [again_truth] = samples.large_arrays((8192, 8192), 300, 1)
    np.testing.assert_array_equal(image[window].compute(), again[window].compute())
    np.testing.assert_array_equal(truth[window].compute(), again_truth[window].compute())
    assert truth[window].compute().max() > 6000


def test_smaller_copies_of_the_large_sample_are_of_the_same_pixels():
    for finest, *smaller in samples.large_arrays((1000, 900), 300, 3):
        for number, level in enumerate(smaller, 1):
            step = 2**number
            np.testing.assert_array_equal(level.compute(), finest.compute()[::step, ::step])


def test_samples_and_files_load_without_torch():
    code = "import sys, napari_unet.plugin.samples, napari_unet.plugin.layers.labels_files; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
