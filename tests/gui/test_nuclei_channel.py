"""A channel of nuclei, chosen in the window and seen by the network in the engine."""

import numpy as np
import pytest

from napari_unet import segment
from napari_unet.image import Image
from napari_unet.models.library import user_folder
from napari_unet.network.spec import UNetSpec
from napari_unet.plugin.retrain.painted_inputs import gather_request
from napari_unet.settings import FinetuneSettings
from tests.strategies import random_model

SHAPE = (60, 90)


@pytest.fixture
def stains(viewer):
    """Random dots in two channels, and a model with random weights that takes both."""
    user_folder().mkdir(parents=True)
    random_model(user_folder(), UNetSpec(base_filters=2, depth=2, nuclei=True), seed=7)
    dots = np.random.default_rng(1).integers(0, 2, (2, *SHAPE)).astype(np.uint8)
    return viewer.add_image(dots, axis_labels=("c", "y", "x"), name="stains")


def test_nuclei_are_chosen_beside_the_channel(viewer, stains, panel, click, idle, qtbot):
    form, session = panel.form, panel.session
    qtbot.waitUntil(lambda: not panel.advice.running, timeout=60_000)
    form.model.value = "nuclei"
    assert form.channel.visible
    assert not form.nuclei.visible  # the model takes none
    form.model.value = "random"
    assert form.nuclei.visible
    assert "nuclei" in form.nuclei.tooltip
    form.diameter.value = 20
    form.channel.value, form.nuclei.value = "0", "1"
    click(panel.segment.segment)
    idle()
    assert session.runs.problem is None
    result = session.results.current
    assert result.plan.channels == len(result.plan.limits) == 2
    image = Image(stains.data, "CYX", channel=0, nuclei=1)
    expected = segment(image, "random", diameter=20).labels
    assert expected.any()
    np.testing.assert_array_equal(result.layer.data > 0, expected > 0)
    record = result.layer.metadata["napari_unet"]
    assert (record["channel"], record["nuclei"]) == (0, 1)
    result.layer.data[10:20, 10:20] = 9
    request, _ = gather_request(session, FinetuneSettings(), None, frozenset())
    assert [pair[0].nuclei for pair in request.pairs] == [1]
    form.model.value = "nuclei"
    assert not form.nuclei.visible
    click(panel.segment.segment)
    idle()
    assert session.runs.problem is None
    assert session.results.current.plan.channels == 1
    form.model.value = "random"
    assert form.nuclei.value == "1"
    viewer.add_image(stains.data[0], name="grey")
    assert not form.nuclei.visible
