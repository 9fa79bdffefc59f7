"""Images: axes, windows, grey-value range, and any real number type."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.errors import InputError
from napari_unet.image import Box, Image, read_region
from napari_unet.intensity import CLIP, grey_limits, normalise, percentiles, to_grey
from napari_unet.sampling import SAMPLE_WINDOWS, sample_boxes
from tests.strategies import intervals


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    y, x = (draw(intervals(low=-20, high=30)) for _ in "yx")
    return Box((y[0], x[0]), (y[1], x[1]))


def pixels(box: Box) -> set[tuple[int, int]]:
    return {
        (y, x) for y in range(box.start[0], box.stop[0]) for x in range(box.start[1], box.stop[1])
    }


@given(boxes(), boxes())
def test_boxes_are_sets_of_pixels(one: Box, other: Box) -> None:
    both = one.intersect(other)
    assert pixels(both) == pixels(one) & pixels(other)
    assert both.size == len(pixels(both))
    assert one.shift((3, -4)).shift((-3, 4)) == one
    assert one.grow(2).intersect(one) == one


def test_a_part_that_cannot_be_read_is_a_sentence() -> None:
    class Damaged:
        shape, dtype = (30, 40), np.dtype("u2")

        def __getitem__(self, key: object) -> object:
            raise OSError("truncated chunk")

    image = Image(Damaged(), "YX", name="slide")
    for read in (image.read, lambda plane, box: read_region(image, plane, box)):
        with pytest.raises(InputError, match=r"Rows 1 to 4, columns 2 to 6 of slide cannot be"):
            read((), Box((1, 2), (4, 6)))


def test_axes_in_any_order_and_channels() -> None:
    data = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)  # T C Y X
    box = Box((1, 2), (4, 6))
    image = Image(data, "TCYX", channel=1)
    assert (image.shape, image.channels, image.labels_shape) == ((5, 7), 3, (2, 5, 7))
    assert (image.read((1,), box) == data[1, 1, 1:4, 2:6]).all()
    assert np.allclose(Image(data, "TCYX").read((1,), box)[0], data[1, :, 1:4, 2:6].mean(axis=0))
    assert (Image(data, "TCYX").read((1,), box, 3) == data[1, :, 1:4, 2:6]).all()
    turned = Image(data.transpose(3, 2, 0, 1), "XYTC", channel=1)
    assert (turned.read((1,), box) == image.read((1,), box)).all()


def test_opacity_is_left_out_but_a_fourth_stain_is_not() -> None:
    rgba = np.zeros((6, 6, 4), np.uint8)
    rgba[..., :3], rgba[..., 3] = 90, 255
    box = Box((0, 0), (6, 6))
    assert (Image(rgba, "YXC").read((), box) == 90).all()
    assert Image(rgba, "YXC").used_channels(3) == 3
    assert (Image(rgba, "YXC").read((), box, 3) == 90).all()
    stains = Image(np.moveaxis(rgba, -1, 0), "CYX")
    assert np.allclose(stains.read((), box), (3 * 90 + 255) / 4)
    with pytest.raises(InputError, match="offers 4 channel"):
        stains.used_channels(3)


@pytest.mark.parametrize(
    ("axes", "words"),
    [("YXZ", "do not fit"), ("YY", "do not fit"), ("ZX", "name no Y and X"), ("", "do not fit")],
)
def test_wrong_axes_are_a_sentence(axes: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Image(np.zeros((4, 5)), axes)


def test_a_channel_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(InputError, match="has channels 0 to 2"):
        Image(np.zeros((3, 4, 5)), "CYX", channel=3)


@given(st.tuples(st.integers(1, 9000), st.integers(1, 9000)), st.integers(1, 300))
def test_sampled_windows_are_few_inside_and_spread(shape: tuple[int, int], planes: int) -> None:
    found = list(sample_boxes(shape, planes))
    assert found == list(sample_boxes(shape, planes))
    assert 1 <= len(found) <= SAMPLE_WINDOWS
    assert len(set(found)) == len(found)
    whole = Box((0, 0), shape)
    assert all(box.size > 0 and box.intersect(whole) == box for _, box in found)
    assert all(0 <= plane < planes for plane, _ in found)


def test_sampled_windows_are_not_all_in_one_column() -> None:
    for side in (2048, 8192, 16384):
        found = [box for _, box in sample_boxes((side, side), 1)]
        for axis in (0, 1):
            assert len({box.start[axis] for box in found}) > 7


def test_small_images_are_sampled_whole() -> None:
    covered = np.zeros((700, 900), int)
    for _, box in sample_boxes(covered.shape, 1):
        covered[box.slices] += 1
    assert (covered >= 1).all()


EXTREMES = [
    0,
    1,
    -1,
    255,
    2**31,
    2**63,
    1e-320,
    -1e-300,
    1.7e308,
    -1.7e308,
    np.nan,
    np.inf,
    -np.inf,
]


@given(st.lists(st.sampled_from(EXTREMES), min_size=1, max_size=20))
def test_normalised_values_are_always_numbers(values: list[float]) -> None:
    array = np.array(values, np.float64)
    low, high = percentiles(array)
    assert np.isfinite([low, high, high - low]).all()
    result = normalise(array, (low, high))
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert (result[~np.isfinite(array)] == 0).all()
    assert result.min() >= CLIP[0]
    assert result.max() <= CLIP[1]


def test_limits_map_to_zero_and_one() -> None:
    assert (normalise(np.array([3, 5, 7, 1000, -1000]), (3, 7)) == [0, 0.5, 1, 2, -0.5]).all()
    assert not normalise(np.arange(5), (2, 2)).any()


def field(seed: int, objects: float) -> np.ndarray:
    """Bright pixels on a dark ground, as many as asked for."""
    random = np.random.default_rng(seed)
    bright = random.random(5000) < objects
    return np.where(bright, random.normal(180, 10, 5000), random.normal(60, 10, 5000))


@given(st.integers(0, 99), st.floats(0.03, 0.4))
def test_dark_objects_become_bright_ones(seed: int, objects: float) -> None:
    image = field(seed, objects)
    assert grey_limits(image, bright_objects=True) == percentiles(image)
    negative = 255 - image
    assert grey_limits(negative, bright_objects=False) == percentiles(negative)
    low, high = grey_limits(negative, bright_objects=True)
    assert low > high
    np.testing.assert_allclose(
        normalise(negative, (low, high)), normalise(image, percentiles(image)), atol=1e-6
    )


def test_pixels_without_a_value_are_background_in_inverted_images_too() -> None:
    assert normalise(np.array([np.nan, 9.0]), (9, 1)).tolist() == [0, 0]
    assert grey_limits(np.full(9, np.nan), bright_objects=True) == (0, 0)
    assert grey_limits(np.full(9, 4), bright_objects=True) == (4, 4)


def test_nearly_constant_images_keep_their_few_bright_pixels() -> None:
    image = np.zeros((100, 100))
    image[50, 50] = 7
    assert percentiles(image) == (0, 7)
    assert percentiles(np.full(9, 4)) == (4, 4)
    assert percentiles(np.full(9, np.nan)) == (0, 0)


def test_grey_of_wide_types_neither_wraps_nor_overflows() -> None:
    assert to_grey(np.full((1, 1, 3), 2**64 - 1, np.uint64))[0, 0] == pytest.approx(2**64)
    assert to_grey(np.full((1, 1, 3), 1e100))[0, 0] == pytest.approx(1e100)
    assert to_grey(np.full((1, 1, 3), 200, np.uint8))[0, 0] == 200


def test_nuclei_come_after_the_image_and_are_no_part_of_its_average() -> None:
    data = np.stack([np.full((4, 5), value, np.uint8) for value in (10, 20, 90)])
    box = Box((0, 0), (4, 5))
    image = Image(data, "CYX", nuclei=2)
    assert image.used_channels(1) == 1
    assert image.read((), box)[:, 0, 0].tolist() == [15]
    assert image.used_channels(1, nuclei=True) == 2
    assert image.read((), box, 2, nuclei=True)[:, 0, 0].tolist() == [15, 90]
    chosen = Image(data, "CYX", channel=0, nuclei=2)
    assert chosen.read((), box, 2, nuclei=True)[:, 0, 0].tolist() == [10, 90]
    # a model of classes is given all that there is
    assert image.read((), box, 3)[:, 0, 0].tolist() == [10, 20, 90]


@pytest.mark.parametrize(("channel", "nuclei"), [(None, 3), (None, -1), (1, 1)])
def test_nuclei_need_a_channel_of_their_own(channel: int | None, nuclei: int) -> None:
    with pytest.raises(InputError, match="nuclei"):
        Image(np.zeros((3, 4, 5)), "CYX", channel=channel, nuclei=nuclei)
    with pytest.raises(InputError, match="nuclei"):
        Image(np.zeros((4, 5)), "YX", nuclei=0)


def test_the_fourth_channel_is_no_opacity_where_it_shows_nuclei() -> None:
    data = np.stack([np.full((4, 5), v, np.uint8) for v in (10, 20, 30, 90)], axis=-1)
    box = Box((0, 0), (4, 5))
    image = Image(data, "YXC", nuclei=3)
    assert image.read((), box, 2, nuclei=True)[:, 0, 0].tolist() == [20, 90]
    assert Image(data, "YXC").read((), box)[:, 0, 0].tolist() == [20]


def test_a_model_that_takes_no_nuclei_is_given_the_image_without_them() -> None:
    whole = Image(np.zeros((2, 8, 9)), "CYX", nuclei=1)
    image = Image(np.zeros((2, 4, 5)), "CYX", nuclei=1, whole=whole)
    assert image.for_model(nuclei=True) is image
    alone = image.for_model(nuclei=False)
    assert alone.whole is not None
    assert alone.nuclei is alone.whole.nuclei is None
    assert alone.data is image.data
