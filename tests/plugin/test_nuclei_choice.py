"""A channel of nuclei in the panel: who is given it, what is remembered, and what is recorded."""

from collections.abc import Iterator

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.execution.events import Waiting
from napari_unet.image import Box
from napari_unet.labels.painted import BACKGROUND
from napari_unet.models.library import load_model, user_folder
from napari_unet.network.spec import UNetSpec
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.retrain import preview
from napari_unet.plugin.retrain.painted_inputs import gather_request
from napari_unet.plugin.retrain.preview import Previewing
from napari_unet.plugin.segment.segment_form import AVERAGE, NO_NUCLEI, SegmentForm
from napari_unet.plugin.session import segmentation_runs
from napari_unet.plugin.session.open_region import Wanted, open_view
from napari_unet.plugin.session.segmentation_runs import decode_again, segment
from napari_unet.plugin.session.session import Session
from napari_unet.settings import FinetuneSettings
from tests.gui.flow import SHAPE, A, B
from tests.strategies import random_model

PATIENCE = 20_000  # milliseconds
TAKES, TAKES_NONE = "random", "nuclei"

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def session(qapp, network) -> Iterator[Session]:
    user_folder().mkdir(parents=True)
    random_model(user_folder(), UNetSpec(base_filters=2, depth=2, nuclei=True))
    network.finds[TAKES] = [A, B]
    session = Session(ViewerModel())
    session.intend(model=TAKES)
    yield session
    session.close()


@pytest.fixture
def stains(session):
    """An image of three channels."""
    layer = session.viewer.add_image(np.zeros((3, *SHAPE), np.uint16), name="stains")
    session.choose(layer)
    session.give("CYX", None)
    return layer


@pytest.fixture
def idle(session, qtbot):
    return lambda: qtbot.waitUntil(lambda: not session.runs.busy, timeout=PATIENCE)


# ---- who is given it -----------------------------------------------------------------------


def test_it_stays_with_its_image_and_is_given_to_a_model_that_takes_it(session, stains):
    session.give("CYX", 0, 2)
    assert (session.intent.channel, session.intent.nuclei) == (0, 2)
    assert session.opened(stains).nuclei == 2
    session.intend(model=TAKES_NONE)
    assert session.opened(stains).nuclei is None
    assert session.opened(stains).channel == 0
    other = session.viewer.add_image(np.zeros((3, *SHAPE), np.uint16), name="another")
    session.choose(other)
    assert session.intent.nuclei is None
    session.intend(model=TAKES)
    assert session.opened(stains).nuclei == 2  # also while another is chosen
    session.choose(stains)
    assert session.opened(stains).nuclei == session.intent.nuclei == 2


def test_a_channel_is_not_both(session, stains):
    session.give("CYX", 1, 1)
    assert (session.intent.channel, session.intent.nuclei) == (1, None)
    assert session.opened(stains).channel == 1


def test_a_model_that_cannot_be_read_takes_none(session, stains):
    session.give("CYX", 0, 2)
    session.intend(model="nobody")
    assert session.opened(stains).nuclei is None


def test_a_part_of_a_large_image_has_the_nuclei_of_the_whole(session, stains, idle):
    session.give("CYX", 0, 2)
    parts = []
    wanted = Wanted(stains, session.opened(stains), (), Box((0, 0), (128, 128)))
    open_view(session, wanted, parts.append)
    idle()
    [part] = parts
    image = session.opened(part)
    assert (image.channel, image.nuclei) == (image.whole.channel, image.whole.nuclei) == (0, 2)


@pytest.mark.parametrize("model", [TAKES, TAKES_NONE])
def test_a_preview_shows_them_to_a_candidate_that_takes_them(
    session, stains, idle, monkeypatch, model
):
    seen = []

    def events(image, *_, **__):
        seen.append(image)
        yield Waiting()

    monkeypatch.setattr(preview, "segment_events", events)
    session.give("CYX", 0, 2)
    session.intend(model=TAKES_NONE if model == TAKES else TAKES)
    Previewing(session).begin(load_model(model))
    idle()
    assert [image.nuclei for image in seen] == [2 if model == TAKES else None]


@pytest.mark.parametrize("model", [TAKES, TAKES_NONE])
def test_a_retraining_is_given_what_is_chosen_now(session, stains, model):
    """Also where the model in use takes none: one of those that compete may."""
    session.intend(model=model)
    painted = np.full(SHAPE, BACKGROUND, np.uint32)
    painted[A.slices] = 1
    session.take_corrections(stains, painted)
    session.give("CYX", 1, 2)
    request, _ = gather_request(session, FinetuneSettings(), None, frozenset())
    [(image, _)] = request.pairs
    assert (image.channel, image.nuclei) == (request.channel, request.nuclei) == (1, 2)
    session.give("ZYX", None)  # which does not fit what is painted
    request, _ = gather_request(session, FinetuneSettings(), None, frozenset())
    assert request.pairs[0][0].axes == "CYX"


def test_a_panel_that_takes_over_goes_on_with_the_same_channels(session, stains):
    session.give("CYX", 1, 2)
    session.take_corrections(stains, np.ones(SHAPE, np.uint32))
    session.close()
    again = Session(session.viewer)
    again.take_over()
    again.choose(stains)
    assert again.results.current is not None
    assert (again.intent.axes, again.intent.channel, again.intent.nuclei) == ("CYX", 1, 2)
    again.close()


# ---- what is recorded ----------------------------------------------------------------------


def recorded(session) -> tuple[int | None, int | None]:
    record = session.results.current.layer.metadata["napari_unet"]
    return record["channel"], record["nuclei"]


def test_the_record_names_the_channels_of_what_is_shown(session, stains, idle, monkeypatch):
    """A run that found nothing changes neither them nor what the sliders act on."""
    decoded = []

    def decode(self, _executor, blocks):
        decoded.append(self._planned)
        yield Waiting()

    session.give("CYX", 0, 2)
    segment(session)
    idle()
    assert recorded(session) == (0, 2)

    def nothing(*_, **__):
        yield Waiting()

    session.give("CYX", 1)
    monkeypatch.setattr(segmentation_runs, "segment_events", nothing)
    segment(session)
    idle()
    assert recorded(session) == (0, 2)
    monkeypatch.setattr(Result, "to_decode", lambda *_: [(0, 0)])
    monkeypatch.setattr(Result, "decode_again", decode)
    decode_again(session)
    idle()
    assert [(image.channel, image.nuclei) for image in decoded] == [(0, 2)]


# ---- the form ------------------------------------------------------------------------------


@pytest.fixture
def form(session) -> SegmentForm:
    form = SegmentForm(session)
    form.model.value = TAKES
    return form


def test_the_box_offers_every_channel_but_the_one_in_use(session, form, stains):
    session.give("CYX", None)
    assert form.nuclei.choices == (NO_NUCLEI, "0", "1", "2")
    assert form.nuclei.value == NO_NUCLEI
    form.nuclei.value = "2"
    assert session.intent.nuclei == 2
    form.channel.value = "0"
    assert form.nuclei.choices == (NO_NUCLEI, "1", "2")
    assert (session.intent.channel, session.intent.nuclei) == (0, 2)
    form.channel.value = "2"  # then it is none of the nuclei
    assert (session.intent.channel, session.intent.nuclei) == (2, None)
    assert form.nuclei.value == NO_NUCLEI
    assert form.nuclei.choices == (NO_NUCLEI, "0", "1")
    form.nuclei.value = "1"
    form.nuclei.value = NO_NUCLEI
    assert session.intent.nuclei is None


def test_the_box_shows_what_was_chosen_for_the_image(session, form, stains):
    session.give("CYX", 0, 1)
    assert (form.channel.value, form.nuclei.value) == ("0", "1")
    session.choose(session.viewer.add_image(np.zeros(SHAPE), name="grey"))
    assert (form.channel.value, form.nuclei.value) == (AVERAGE, NO_NUCLEI)
    form.model.value = TAKES_NONE
    session.choose(stains)
    form.model.value = TAKES
    assert (form.channel.value, form.nuclei.value) == ("0", "1")
    assert session.intent.nuclei == 1
    form.axes.value = "ZYX"
    assert session.intent.nuclei is None
