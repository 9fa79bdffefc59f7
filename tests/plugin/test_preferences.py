"""What was chosen last is there again."""

import json

import numpy as np
import pytest

from napari_unet.models.store import duplicate
from napari_unet.plugin import preferences
from napari_unet.plugin.preferences import Preferences, read_preferences, write_preferences
from napari_unet.plugin.segment_panel import SegmentPanel

pytestmark = pytest.mark.usefixtures("home")


def test_an_own_model_and_the_time_are_there_again(make_napari_viewer, network):
    viewer = make_napari_viewer()
    duplicate("nuclei", "mine")
    first = SegmentPanel(viewer)
    assert first.session.intent.model == "nuclei"
    first.session.intend(model="mine")
    first.retrain.form.time.value = 90
    first.close_down()
    second = SegmentPanel(viewer)
    assert second.session.intent.model == second.form.model.value == "mine"
    assert second.retrain.form.time.value == 90
    viewer.add_image(np.zeros((64, 64)))
    assert second.session.intent.model == "mine"  # nobody advises against it
    second.close_down()


def test_a_bundled_model_is_chosen_for_each_image_anew():
    write_preferences("cells", 60)
    assert read_preferences() == Preferences()


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"model": 3}), "{"])
def test_what_cannot_be_read_is_as_if_nothing_was_chosen(content):
    write_preferences("gone", 60)
    assert read_preferences().own_model == ""
    preferences._file().write_text(content)
    assert read_preferences() == Preferences()


def test_a_time_that_the_slider_does_not_have_is_the_nearest(make_napari_viewer, network):
    write_preferences("", 5)
    panel = SegmentPanel(make_napari_viewer())
    assert panel.retrain.form.time.value == 10
    panel.close_down()
