"""Filters: which objects they leave out, in words, in a record, and in a script."""

import numpy as np
import pytest

from napari_unet.errors import InputError
from napari_unet.image import Box, Image, Spacing
from napari_unet.labels.linking import packed, separated, without_ids
from napari_unet.measure import ObjectTable, measure
from napari_unet.measure.filters import (
    filterable,
    hidden_ids,
    hidden_objects,
    left_out,
    rows_without_sections,
    title_of,
    without_rows,
)
from napari_unet.segmentation import methods_text
from napari_unet.segmentation.result import with_filter
from napari_unet.settings import FilterSettings, checked

LABELS = np.zeros((40, 60), np.uint32)
LABELS[0:4, 10:14] = 1  # at the edge, 16 px
LABELS[10:20, 10:20] = 2  # 100 px
LABELS[10:12, 30:32] = 3  # 4 px
LABELS[25:40, 40:60] = 4  # at the edge, 300 px
GREY = LABELS.astype(np.uint16) * 10
IMAGE = Image(GREY, "YX", spacing={axis: Spacing(0.5, "micrometer") for axis in "YX"})


@pytest.mark.parametrize(
    ("given", "hidden"),
    [
        ({}, []),
        ({"ranges": {"area": (16, None)}}, [3]),
        ({"ranges": {"area_um2": (None, 25.0)}}, [4]),
        ({"at_edge": True}, [1, 4]),
        ({"ranges": {"area": (10, None), "mean_intensity": (None, 30)}}, [3, 4]),
        ({"ranges": {"area": (10, None)}, "at_edge": True}, [1, 3, 4]),
    ],
)
def test_filters_add_up(given, hidden):
    filters = FilterSettings(**given)
    assert hidden_objects(LABELS, IMAGE, filters).tolist() == hidden
    assert filters.active is bool(given)


def test_what_a_person_painted_stays():
    filters = FilterSettings(at_edge=True)
    assert hidden_objects(LABELS, IMAGE, filters, kept={1, 2}).tolist() == [4]


def test_a_value_that_is_missing_hides_nothing():
    columns = {"label": np.array([1, 2]), "mean_intensity": np.array([np.nan, 3.0])}
    filters = FilterSettings(ranges={"mean_intensity": (5, None)})
    assert hidden_ids(columns, filters).tolist() == [2]


def test_an_id_in_several_planes_stays_if_it_stays_in_one():
    stack = np.stack([LABELS, np.where(LABELS == 3, 0, LABELS)])
    stack[1, 20:30, 5:35] = 3
    filters = FilterSettings(ranges={"area": (50, None)})
    assert hidden_objects(stack, None, filters).tolist() == [1]


def test_the_edge_is_that_of_the_image_also_for_a_window_measured_anew():
    labels, table = LABELS.copy(), ObjectTable(LABELS, IMAGE)
    assert measure(labels)["at_edge"].tolist() == [True, False, False, True]
    labels[20:40, 10] = 2
    table.update(labels, (), Box((20, 10), (40, 11)), [2])
    assert table.columns()["at_edge"].tolist() == [True, True, False, True]


def test_a_column_that_is_not_there_is_an_error_that_names_those_there_are():
    with pytest.raises(InputError, match=r"area_um2.*area, diameter, length"):
        hidden_objects(LABELS, None, FilterSettings(ranges={"area_um2": (1, 2)}))


def test_limits_in_the_wrong_order_or_infinite_are_refused():
    with pytest.raises(InputError) as refused:
        FilterSettings().with_limits("area", 5, 2)
    assert str(refused.value) == (
        "The least area was given as 5 and the most as 2: no object lies between. Give a most "
        "that is not less, or leave one empty for no limit."
    )
    with pytest.raises(InputError, match=r"^A limit of area was given as inf, .* finite"):
        checked(FilterSettings, ranges={"area": (None, float("inf"))})
    assert not FilterSettings(ranges={"area": (None, None)}).active


def test_sizes_are_offered_in_units_where_they_are_known():
    names = filterable(ObjectTable(LABELS, IMAGE).columns())
    assert [title_of(name) for name in names] == [
        "Area (µm²)",
        "Diameter (µm)",
        "Length (µm)",
        "Width (µm)",
        "Perimeter (µm)",
        "Circularity",
        "Mean intensity",
    ]
    assert title_of(filterable(ObjectTable(LABELS).columns())[0]) == "Area (px)"


def test_in_words():
    filters = FilterSettings(
        ranges={
            "area_um2": (30, None),
            "diameter": (None, 50),
            "circularity": (0.5, None),
            "mean_intensity_DAPI": (120, 4000),
        },
        at_edge=True,
    )
    assert left_out(filters) == (
        "objects smaller than 30 µm², larger than 50 px in diameter, with a circularity below 0.5, "
        "with a mean intensity of channel DAPI below 120, with a mean intensity of channel DAPI "
        "above 4000 or at the image's edge"
    )


def test_methods_tell_what_was_filtered():
    filters = FilterSettings(ranges={"area_um2": (30, None)})
    record = with_filter({"model": "nuclei", "corrected": [2]}, filters, 28)
    assert (
        "Objects smaller than 30 µm² were left out, unless a person had drawn, changed or "
        "confirmed them (28 objects)." in methods_text(record)
    )


def test_rows_of_one_time_go_there_only():
    movie = np.stack([LABELS, LABELS])
    movie[1, 10:15, 10:20] = 0  # half of 2
    columns = ObjectTable(movie, Image(np.stack([GREY] * 2), "TYX")).columns()
    left = without_rows(movie, "T", columns, columns["area"] == 50)
    assert 2 in left[0]
    assert 2 not in left[1]
    assert np.array_equal(left[left != movie], np.zeros(50))


def test_ids_of_planes_are_found_again_in_a_linked_file_that_was_filtered():
    own = np.stack([LABELS, np.where(LABELS > 0, LABELS + 10, 0)]).astype(np.uint32)
    linked = np.stack([LABELS, LABELS])
    text = packed([np.array([1, 2, 3, 4], np.uint32), np.array([11, 12, 13, 14], np.uint32)])
    assert np.array_equal(separated(linked, text), own)
    gone = np.array([2, 14])
    left = np.where(np.isin(own, gone), 0, linked).astype(np.uint32)
    found = separated(left, without_ids(linked, text, gone))
    assert np.array_equal(found, np.where(np.isin(own, gone), 0, own))


def test_a_linked_object_is_hidden_where_all_of_its_sections_are():
    sections = {"label": np.array([1, 2, 3, 4, 5]), "T": np.array([0, 0, 1, 1, 1])}
    linked = np.array([1, 1, 1, 7, 0])  # 5 was painted since
    table = {"label": np.array([1, 1, 7]), "T": np.array([0, 1, 1])}
    some = np.array([True, False, True, False, True])
    found = rows_without_sections(sections, linked, table, some, "T")
    assert found.tolist() == [False, True, False]
    assert not rows_without_sections(sections, linked, table, some, "").any()
