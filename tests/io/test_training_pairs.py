"""Which images and masks of a folder belong together, and what is wrong where they do not."""

from pathlib import Path

import imageio.v3
import numpy as np
import pytest
import tifffile

from napari_unet.errors import InputError
from napari_unet.image import Box
from napari_unet.io import training_pairs as module
from napari_unet.io.formats import tiff_images
from napari_unet.io.training_pairs import Pair, find_pairs, read_pairs
from napari_unet.labels.painted import BACKGROUND

SHAPE = (40, 50)


def touch(folder: Path, *names: str) -> Path:
    """Make small images of any name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        tifffile.imwrite(folder / name, np.zeros(SHAPE, np.uint8))
    return folder


def write(folder: Path, image: np.ndarray, mask: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / "a.tif", image)
    tifffile.imwrite(folder / "a_mask.tif", mask)
    return folder


def numbered() -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint16)
    mask[5:10, 5:10], mask[20:30, 20:30] = 1, 2
    return mask


def names(folder: Path, masks: Path | None = None) -> list[tuple[str, str]]:
    found = find_pairs(folder, masks)
    assert found is not None
    return [(pair.image.name, pair.mask.name) for pair in found.pairs]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("a.tif", "a.tif"),
        ("a.tif", "a.png"),
        ("a.ome.tif", "a.tiff"),
        ("a.tif", "a_mask.tif"),
        ("a.png", "a_masks.tif"),
        ("a.tif", "a_labels.ome.tif"),
        ("a.tif", "a_cp_masks.png"),
        ("a.tif", "a_Seg.TIF"),
        ("a_img.png", "a_masks.png"),
        ("a_img.png", "a_img_cp_masks.png"),
        ("t_mask.tif", "t_mask.tif"),  # an image may be called so
    ],
)
def test_names_that_belong_together(tmp_path: Path, image: str, mask: str) -> None:
    images, masks = touch(tmp_path / "i", image, "other.tif"), touch(tmp_path / "m", mask)
    found = find_pairs(images, masks)
    assert found is not None
    assert found.pairs == (Pair(images / image, masks / mask),)
    assert [file.name for file in found.alone] == ["other.tif"]
    assert "1 image with its mask" in found.sentence
    assert "other.tif" in found.sentence


def test_one_folder_with_both(tmp_path: Path) -> None:
    expected = [("a.tif", "a_mask.tif"), ("b.tif", "b_cp_masks.png")]
    beside = touch(tmp_path / "beside", *(name for pair in expected for name in pair))
    (beside / "notes.txt").write_text("no image")
    (beside / "a_seg.npy").write_bytes(b"no image either")
    touch(beside, "._a.tif")
    assert names(beside) == expected
    assert names(beside, beside) == expected
    for number, kind in enumerate(("masks", "Labels")):
        under = tmp_path / f"under{number}"
        touch(under / "images", "a.tif", "b.tif")
        touch(under / kind, "a_mask.tif", "b_cp_masks.png")
        assert names(under) == expected


def test_images_only_ask_for_the_masks(tmp_path: Path) -> None:
    assert find_pairs(touch(tmp_path, "a.tif", "b.tif")) is None


@pytest.mark.parametrize(
    ("images", "masks", "said"),
    [
        (["a.tif"], ["a_mask.tif", "b_mask.tif"], "no image for the mask b_mask.tif"),
        (["a.tif"], ["a.tif", "a_mask.tif"], "two masks, a.tif and a_mask.tif"),
        (["a.tif", "a.png"], ["a_mask.tif"], "fits 2 images, a.png and a.tif"),
        (["a.tif", "a_labels.tif"], ["a_labels.tif"], "fits 2 images"),
        (["a.tif"], ["b_mask.tif"], "no image for the mask"),
        ([], ["a.tif"], "holds no images"),
        (["a.tif"], [], "holds no images"),
    ],
)
def test_what_is_not_clear_is_a_sentence(
    tmp_path: Path, images: list[str], masks: list[str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        find_pairs(touch(tmp_path / "i", *images), touch(tmp_path / "m", *masks))


def test_one_folder_without_pairs_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        find_pairs(tmp_path / "gone")
    with pytest.raises(InputError, match="holds no images"):
        find_pairs(touch(tmp_path / "empty"))
    with pytest.raises(InputError, match="an image called a is needed"):
        find_pairs(touch(tmp_path / "masks only", "a_mask.tif"))
    images = touch(tmp_path / "images only", "a.tif")
    with pytest.raises(InputError, match="no masks"):
        find_pairs(images, images)


def test_a_mask_is_right_everywhere(tmp_path: Path) -> None:
    mask = numbered().astype(np.uint32)
    found = find_pairs(write(tmp_path, np.ones(SHAPE, np.uint16), mask))
    assert found is not None
    [(image, painted)] = read_pairs(found)
    assert image.labels_shape == SHAPE
    np.testing.assert_array_equal(painted, np.where(mask == 0, BACKGROUND, mask))


def test_a_mask_too_large_to_be_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff_images, "LAZY_BYTES", 0)
    write(tmp_path, np.ones(SHAPE, np.uint16), numbered())
    tifffile.imwrite(tmp_path / "a_mask.tif", numbered(), compression="zlib")
    found = find_pairs(tmp_path)
    assert found is not None
    [(_, painted)] = read_pairs(found)
    np.testing.assert_array_equal(np.where(painted == BACKGROUND, 0, painted), numbered())


def test_a_jpeg_is_no_mask(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif")
    imageio.v3.imwrite(tmp_path / "a_mask.jpg", numbered().astype(np.uint8))
    found = find_pairs(tmp_path)
    assert found is not None
    with pytest.raises(InputError, match="does not keep ids"):
        list(read_pairs(found))


def test_the_channel_chosen_where_there_are_several(tmp_path: Path) -> None:
    colours = np.stack([np.full(SHAPE, value, np.uint8) for value in (10, 20, 30)], axis=-1)
    for image, expected in ((colours, 20), (colours[..., 0], 10)):
        found = find_pairs(write(tmp_path, image, numbered()))
        assert found is not None
        [(read, _)] = read_pairs(found, channel=1)
        [plane] = read.planes()
        assert np.unique(read.read(plane, Box((0, 0), SHAPE))).tolist() == [expected]


def test_the_nuclei_where_there_are_several_channels(tmp_path: Path) -> None:
    colours = np.stack([np.full(SHAPE, value, np.uint8) for value in (10, 20, 30)], axis=-1)
    for image, expected in ((colours, ([15], [30])), (colours[..., 0], ([10],))):
        found = find_pairs(write(tmp_path, image, numbered()))
        assert found is not None
        [(read, _)] = read_pairs(found, nuclei=2)
        seen = read.read((), Box((0, 0), SHAPE), read.used_channels(1, nuclei=True), nuclei=True)
        assert [np.unique(one).tolist() for one in seen] == [*expected]


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (numbered()[:-1], r"a_mask.tif has the shape \(39, 50\); its image a.tif needs \(40, 50\)"),
        (np.stack([numbered().astype(np.uint8)] * 3, -1), "no colours"),
        ((numbered() > 0).astype(np.uint8) * 255, "value 255 in 2 separate places"),
        (numbered() / np.float32(3), "a_mask.tif: .* not all whole numbers"),
    ],
)
def test_a_mask_that_is_none_is_a_sentence(tmp_path: Path, mask: np.ndarray, said: str) -> None:
    found = find_pairs(write(tmp_path, np.ones(SHAPE, np.uint16), mask))
    assert found is not None
    with pytest.raises(InputError, match=said):
        list(read_pairs(found))


def test_one_object_alone_is_no_mistake(tmp_path: Path) -> None:
    found = find_pairs(write(tmp_path, np.ones(SHAPE, np.uint16), (numbered() == 2).astype("u1")))
    assert found is not None
    assert len(list(read_pairs(found))) == 1


def test_too_much_for_the_memory_is_a_sentence(tmp_path: Path, monkeypatch) -> None:
    found = find_pairs(write(tmp_path, np.ones(SHAPE, np.uint16), numbered()))
    assert found is not None
    monkeypatch.setattr(module, "MOST_PIXELS", 1000)
    with pytest.raises(InputError, match="million pixels"):
        list(read_pairs(found))


def test_an_image_that_is_known_already_is_left_out(tmp_path: Path) -> None:
    found = find_pairs(touch(tmp_path, "a.tif", "a_mask.tif", "b.tif", "b_mask.tif"))
    assert found is not None
    left = found.excluding([tmp_path / "x" / ".." / "a.tif"])
    assert [pair.image.name for pair in left.pairs] == ["b.tif"]
