"""The session without a window: intent, turns, runs, and the inputs of a retraining."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.errors import InputError
from napari_unet.execution.events import ObjectsFound, Started, Waiting
from napari_unet.image import Box, Image
from napari_unet.journal.recovery import replay
from napari_unet.labels.painted import BACKGROUND
from napari_unet.labels.watershed import Patch
from napari_unet.models.class_names import DEFAULT
from napari_unet.models.library import load_card, load_model
from napari_unet.plugin.correct import other_labels
from napari_unet.plugin.correct.other_labels import ReopenLabels
from napari_unet.plugin.correct.uncertain_regions import NO_RESULT, UncertainRegions
from napari_unet.plugin.layers.label_grid import grid_of
from napari_unet.plugin.result import incremental
from napari_unet.plugin.result import result as result_module
from napari_unet.plugin.result.result import IN_PART, IN_VIEW
from napari_unet.plugin.retrain.painted_inputs import class_names_to_train, gather_request
from napari_unet.plugin.segment import model_advice
from napari_unet.plugin.segment.model_advice import ModelAdvice
from napari_unet.plugin.segment.segment_form import AVERAGE, SegmentForm
from napari_unet.plugin.segment.segment_section import SegmentSection
from napari_unet.plugin.session import segmentation_runs
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.segmentation_runs import (
    LATER,
    decode_again,
    segment,
    segment_again,
)
from napari_unet.plugin.session.session import PLANE, Session
from napari_unet.settings import DecodeSettings, FinetuneSettings
from napari_unet.tiling.plan import Key, SegmentPlan
from tests.gui.flow import SHAPE, C

PATIENCE = 20_000  # milliseconds


pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def session(qapp, network) -> Iterator[Session]:
    session = Session(ViewerModel())
    session.intend(model="nuclei")
    yield session
    session.close()


@pytest.fixture
def image(session):
    layer = session.viewer.add_image(np.zeros(SHAPE, np.uint16), name="cells")
    session.choose(layer)
    return layer


@pytest.fixture
def said(session) -> list[str]:
    texts: list[str] = []
    session.said.connect(texts.append)
    return texts


@pytest.fixture
def idle(session, qtbot):
    return lambda: qtbot.waitUntil(lambda: not session.runs.busy, timeout=PATIENCE)


# ---- the intent ----------------------------------------------------------------------------


def test_listeners_are_told_what_changed_and_only_then(session, image):
    told = []
    session.intent_changed.connect(lambda now, before: told.append((now.diameter, before.diameter)))
    session.intend(diameter=20.0)
    session.intend(diameter=20.0)
    assert told == [(20.0, None)]
    with pytest.raises(AttributeError):
        session.intent.diameter = 30.0


def test_given_axes_and_channel_stay_with_their_image(session):
    stains = session.viewer.add_image(np.zeros((4, 64, 64)), name="stains")
    session.choose(stains)
    assert session.intent.axes == "ZYX"
    session.give("CYX", 2)
    session.refresh()  # as when a layer is added
    assert (session.intent.axes, session.intent.channel) == ("CYX", 2)
    session.choose(session.viewer.add_image(np.zeros((64, 64)), name="another"))
    assert (session.intent.axes, session.intent.channel) == ("YX", None)
    session.choose(stains)
    assert (session.intent.axes, session.intent.channel) == ("CYX", 2)
    assert session.opened(stains).channel == 2


def test_an_array_that_was_replaced_is_looked_at_again(session):
    layer = session.viewer.add_image(np.zeros((64, 64)))
    session.choose(layer)
    layer.data = np.zeros((3, 64, 64))
    assert session.opened(layer).axes == session.intent.axes == "ZYX"


@pytest.mark.parametrize(
    ("shape", "axes", "scale", "rgb"),
    [
        ((64, 48, 2), "YXC", (0.3, 0.2, 7.0), False),
        ((2, 64, 48), "CYX", (7.0, 0.3, 0.2), False),
        ((64, 5, 48), "YZX", (0.3, 7.0, 0.2), False),
        ((64, 48, 3), "YXC", (0.3, 0.2), True),
    ],
)
def test_the_pixel_size_is_that_of_rows_and_columns(session, shape, axes, scale, rgb):
    units = ("um",) * len(scale)
    layer = session.viewer.add_image(np.zeros(shape, np.uint8), scale=scale, units=units, rgb=rgb)
    session.choose(layer)
    session.give(axes, None)
    image = session.opened(layer)
    assert image.pixel_size == (0.3, 0.2)
    labels = session.results.make(layer, image, classes=False).layer
    assert grid_of(labels).of_layer(labels.scale)[-2:] == (0.3, 0.2)


def test_what_was_found_out_about_an_array_is_handed_on_while_it_stays(session):
    layer = session.viewer.add_image(np.zeros((64, 64)))
    session.choose(layer)
    looks = session.opened(layer).looks
    assert session.opened(layer).looks is looks
    layer.data = np.ones((64, 64))
    assert session.opened(layer).looks is not looks


def test_wrong_axes_are_a_sentence(session, said):
    layer = session.viewer.add_image(np.zeros((5, 64, 64)))
    session.choose(layer)
    session.give("Q", None)
    with pytest.raises(InputError, match="axes"):
        segment(session)
    assert session.describe(layer, quietly=True) is None
    assert said == []
    assert session.describe(layer) is None
    assert "axes" in said[0]


# ---- turns ---------------------------------------------------------------------------------


def test_one_place_knows_what_to_wait_for(session):
    runs = session.runs
    assert runs.reason_to_wait("save") is None
    assert not runs.busy
    runs.begin(Activity.SAVING)
    assert runs.reason_to_wait("press Retrain").endswith("Wait a moment, then press Retrain.")
    runs.begin(Activity.REGION)
    assert runs.reason_to_wait() == "Another part is being read or put back. Wait a moment."
    runs.begin(Activity.RETRAINING)
    reason = "The model is being retrained. Wait for it or stop it, then press Segment."
    assert runs.reason_to_wait("press Segment") == reason
    assert runs.reason_to_wait(beside=set(Activity)) is None
    for activity in Activity:
        runs.end(activity)
    assert runs.reason_to_wait("save") is None


@pytest.mark.parametrize("activity", [Activity.RETRAINING, Activity.REGION])
def test_no_run_begins_beside_what_needs_the_engine_or_the_image(session, image, network, activity):
    session.runs.begin(activity)
    with pytest.raises(InputError, match=r"Wait .*, then press Segment\."):
        segment(session)
    assert network.asked == []


def test_a_retraining_makes_what_only_looks_stop(session):
    stopped = []
    session.runs.making_way.connect(lambda: stopped.append(1))
    session.runs.begin(Activity.SAVING)
    assert stopped == []
    session.runs.begin(Activity.RETRAINING)
    assert stopped == [1]


def test_what_hinders_a_run_is_said(session, said):
    section = SegmentSection(session)
    section.start()
    assert "no image" in said[-1]
    session.choose(session.viewer.add_image(np.zeros((5, 64, 64))))
    session.viewer.dims.ndisplay = 3
    section.start()
    assert "2-D" in said[-1]
    session.viewer.dims.ndisplay = 2
    session.give("Q", None)
    section.start()
    assert "axes" in said[-1]
    assert section.segment.text == "Segment"


def test_where_to_paint_next_needs_a_result_and_its_turn(session, image, said):
    regions = UncertainRegions(session)
    for asked in (regions.jump, lambda: regions.show_heat(on=True)):
        asked()
        assert said[-1] == NO_RESULT
    result = session.results.make(image, session.opened(image), classes=False)
    regions.jump()
    assert "Press Segment" in said[-1]
    result.plan = result.folder = object()
    session.runs.begin(Activity.SAVING)
    regions.jump()
    assert said[-1] == session.runs.reason_to_wait("try again")
    assert not regions.running


# ---- the form ------------------------------------------------------------------------------


@pytest.fixture
def form(session) -> SegmentForm:
    return SegmentForm(session)


def test_the_form_shows_the_axes_and_the_channel_of_the_image(session, form):
    stains = session.viewer.add_image(np.zeros((4, 64, 64)), name="stains")
    assert form.image.value is stains
    assert form.axes.value == "ZYX"
    form.axes.value, form.channel.value = "CYX", "2"
    session.viewer.add_labels(np.zeros((64, 64), np.uint32))  # what is on top of the image
    assert (form.axes.value, form.channel.value) == ("CYX", "2")
    session.viewer.add_image(np.zeros((64, 64)), name="another")
    form.image.value = session.viewer.layers["another"]
    assert form.channel.value == AVERAGE
    form.image.value = stains
    assert (form.axes.value, form.channel.value) == ("CYX", "2")
    assert session.settings().model == "nuclei"


def test_the_form_follows_the_active_layer(session, form):
    first = session.viewer.add_image(np.zeros((32, 32)), name="first")
    second = session.viewer.add_image(np.zeros((32, 32)), name="second")
    assert form.image.value is session.intent.layer is second
    session.viewer.layers.selection.active = first
    assert form.image.value is session.intent.layer is first
    session.viewer.layers.remove("first")
    assert form.image.value is session.intent.layer is second
    session.viewer.layers.remove("second")
    assert form.image.value is session.intent.layer is None


def test_another_model_brings_its_own_thresholds(session, form):
    form.sliders[0].value = 0.9
    assert session.intent.decode.sensitivity == 0.9
    session.intend(model="cells-phase")
    assert form.model.value == "cells-phase"
    assert session.intent.decode is None
    assert form.sliders[0].value == load_card("cells-phase").decode.sensitivity


class Tiles:
    """Stands for the engine where it finds nothing, tile by tile, as these are released.

    Attributes
    ----------
    decoded : list
        Blocks that each slider asked for.
    """

    def __init__(self, monkeypatch, folder: Path) -> None:
        self.decoded: list[list[Key]] = []
        self._free, self._folder = threading.Semaphore(0), folder
        monkeypatch.setattr(segmentation_runs, "segment_events", self._segment)
        monkeypatch.setattr(result_module, "live_run", self._decode)

    def release(self, count: int) -> None:
        self._free.release(count)

    def _segment(self, image, model, settings, _engine, *, where) -> Iterator:
        plan = SegmentPlan(
            shape=image.shape,
            planes=((),),
            region=Box((0, 0), image.shape),
            card=model.card,
            model_path=str(model.path),
            model_sha=model.sha,
            channels=1,
            limits=((0.0, 1.0),),
            diameter=40.0,
            tile=400,
            device="cpu",
        )
        maps: set[Key] = set()
        for key in plan.blocks():
            while not self._free.acquire(timeout=0.01):
                yield Waiting()
            if not maps:
                yield Started(plan, self._folder, 10**9, maps)
            maps |= {(0, number) for number in plan.needs(key[1])}
            yield found_nothing(plan, key)

    def _decode(self, job, blocks, cached_tiles, budget) -> SimpleNamespace:
        def events(_engine) -> Iterator:
            yield Started(job.plan, self._folder, budget, cached_tiles)
            yield from (found_nothing(job.plan, key) for key in blocks)

        self.decoded.append([*blocks])
        return SimpleNamespace(events=events)


def found_nothing(plan: SegmentPlan, key: Key) -> ObjectsFound:
    owned, count = plan.owned(plan.tiles.tiles[key[1]]), len(plan.tiles.tiles)
    patch = Patch(owned, np.zeros(owned.shape, np.int32), 0)
    return ObjectsFound(key, (), owned, key[1], 0, key[1] + 1, count, patch)


@pytest.fixture
def tiles(session, monkeypatch, tmp_path) -> Tiles:
    """An image of three tiles."""
    session.choose(session.viewer.add_image(np.zeros((400, 1200), np.uint16), name="tiles"))
    return Tiles(monkeypatch, tmp_path)


# ---- runs ----------------------------------------------------------------------------------


def test_a_run_fills_a_result_and_says_how_far_it_is(session, image, said, idle):
    told = []
    for name in ("started", "planned", "found", "ended"):
        getattr(session.runs, name).connect(lambda *_, name=name: told.append(name))
    segment(session)
    assert session.runs.segmenting
    idle()
    assert told == ["started", "planned", "found", "ended"]
    result = session.results.current
    assert result.count == 2
    assert result.layer.metadata["napari_unet"]["model"] == "nuclei"
    assert session.viewer.layers.selection.active == result.layer
    assert said[0] == "Looking at the image…"
    assert said[1].startswith("Tile 1 of 1")
    assert said[2].startswith("2 objects")


def test_only_what_was_segmented_is_segmented_again(session, network, idle):
    stack = session.viewer.add_image(np.zeros((5, *SHAPE), np.uint16), name="stack")
    session.choose(stack)
    session.intend(region=PLANE)
    for plane in (3, 1):
        session.viewer.dims.set_point(0, plane)
        segment(session)
        idle()
    session.viewer.dims.set_point(0, 4)
    segment_again(session, session.results.current)
    idle()
    assert network.asked[-1][1].planes == ((1,), (3,))
    assert network.asked[-1][1].first == (4,)


def test_a_stack_begins_at_the_plane_that_is_shown(session, network, idle):
    stack = session.viewer.add_image(np.zeros((2, 3, 5, *SHAPE), np.uint16), name="stack")
    session.choose(stack)
    session.give("TCZYX", 1)
    session.viewer.dims.point = (1, 2, 3, 0, 0)
    segment(session)
    idle()
    assert network.asked[-1][1].first == (1, 3)
    assert network.asked[-1][1].planes is None


def test_another_model_finds_its_own_objects_around_the_paint(session, image, network, idle):
    segment(session)
    idle()
    result = session.results.current
    result.layer.data[150:160, 20:40] = 9
    network.finds["nuclei"] = [C]
    segment_again(session, result)
    idle()
    expected = np.zeros(SHAPE, bool)
    expected[C.slices] = True
    expected[150:160, 20:40] = True
    np.testing.assert_array_equal(result.layer.data > 0, expected)
    assert (result.layer.data[150:160, 20:40] == 9).all()


@pytest.mark.parametrize("loss", ["image removed", "image replaced", "layer removed"])
def test_a_run_whose_layers_are_lost_ends_with_a_reason(session, image, said, idle, loss):
    segment(session)
    result = session.results.current
    if loss == "image removed":
        session.viewer.layers.remove(image)
    elif loss == "image replaced":
        image.data = np.zeros((50, 50), np.uint16)
    else:
        session.viewer.layers.remove(result.layer)
    idle()
    assert loss.split()[1] in session.runs.problem
    assert said[-1] == session.runs.problem
    assert not result.layer.data.any()


def test_a_run_that_another_one_replaces_ends_in_silence(session, image, said, network, idle):
    segment(session)
    idle()
    ended = []
    session.runs.ended.connect(lambda: ended.append(1))
    result = session.results.current
    segment_again(session, result)
    segment_again(session, result)
    idle()
    assert ended == [1]
    assert said[-1].startswith("2 objects")


@pytest.mark.parametrize("planned", [False, True])
def test_a_run_that_found_nothing_leaves_the_record_of_what_is_shown(
    session, image, monkeypatch, idle, qtbot, planned
):
    segment(session)
    idle()
    result, run = session.results.current, segmentation_runs.segment_events
    record, plan = result.layer.metadata["napari_unet"], result.plan

    def endless(*given, **where):
        if planned:
            yield next(run(*given, **where))
        while True:
            yield Waiting()

    monkeypatch.setattr(segmentation_runs, "segment_events", endless)
    plans = []
    session.runs.planned.connect(plans.append)
    session.intend(model="cells-phase", diameter=99.0, decode=DecodeSettings(sensitivity=0.9))
    segment(session)
    qtbot.waitUntil(lambda: len(plans) == planned, timeout=PATIENCE)
    session.runs.cancel()
    idle()
    assert result.plan is plan
    assert result.layer.metadata["napari_unet"] == record


def test_a_slider_changes_nothing_but_thresholds_in_the_record(session, tiles, idle):
    tiles.release(3)
    segment(session)
    idle()
    record = session.results.current.layer.metadata["napari_unet"]
    session.intend(model="cells-phase", diameter=99.0, decode=DecodeSettings(sensitivity=0.9))
    decode_again(session)
    idle()
    changed = session.results.current.layer.metadata["napari_unet"]
    assert changed["decode"]["sensitivity"] == 0.9
    assert changed["settings"] == {**record["settings"], "decode": changed["decode"]}
    assert {**changed, "settings": 0, "decode": 0} == {**record, "settings": 0, "decode": 0}


def test_a_slider_does_not_end_a_run(session, tiles, said, idle, qtbot):
    """It makes the objects anew when the run has found all of them."""
    section = SegmentSection(session)
    tiles.release(3)
    segment(session)
    idle()
    segment(session)
    for number in (1, 2):  # at first the run has no plan yet
        section._make_anew()
        assert said[-1] == LATER
        tiles.release(1)
        start = f"Tile {number} of 3"
        qtbot.waitUntil(lambda start=start: said[-1].startswith(start), timeout=PATIENCE)
    assert tiles.decoded == []
    tiles.release(1)
    qtbot.waitUntil(lambda: tiles.decoded != [], timeout=PATIENCE)
    idle()
    assert [text[:4] for text in said[-6:]] == ["Tile", "No o", "Tile", "Tile", "Tile", "No o"]
    assert [sorted(blocks) for blocks in tiles.decoded] == [[(0, 0), (0, 1), (0, 2)]]


def test_after_a_cancelled_run_sliders_act_on_what_it_finished(session, tiles, said, idle, qtbot):
    segment(session)
    tiles.release(1)
    qtbot.waitUntil(lambda: said[-1].startswith("Tile 1 of 3"), timeout=PATIENCE)
    session.runs.cancel()
    idle()
    assert decode_again(session)
    idle()
    assert tiles.decoded == [[(0, 0)]]  # its neighbours would need the network
    assert said[-1].endswith(IN_PART)


def test_without_all_maps_sliders_act_on_the_view(session, tiles, said, idle, monkeypatch):
    tiles.release(3)
    segment(session)
    idle()
    session.results.current.budget = 10**6
    view = Box((0, 900), (400, 1100))
    monkeypatch.setattr(segmentation_runs.layers, "visible_box", lambda *_: view)
    assert decode_again(session)
    idle()
    assert tiles.decoded == [[(0, 2)]]
    assert said[-1].endswith(IN_VIEW)


def test_the_thresholds_wait_for_a_retraining(session, image, monkeypatch, idle):
    segment(session)
    idle()
    session.runs.begin(Activity.RETRAINING)
    monkeypatch.setattr(session.runs, "start", lambda *_: pytest.fail("the engine is in use"))
    decode_again(session)


def test_many_planes_are_a_large_image_too(monkeypatch):
    """Labels of 200 planes of 9000² px would take 65 GB of memory."""
    monkeypatch.setattr(incremental, "LARGE", 10**8)
    for planes, large in ((200, True), (5, False)):
        data = np.broadcast_to(np.uint8(0), (planes, 9000, 9000))
        assert incremental.is_large(Image(data, "ZYX")) is large


def test_nothing_is_said_once_it_is_closed(session, image, said):
    session.close()
    session.say("Nobody listens.")
    assert said == []


# ---- results and classes -------------------------------------------------------------------


def test_labels_without_room_for_ids_are_no_result_any_more(session, image):
    session.take_corrections(image, np.ones(SHAPE, np.uint32))
    result = session.results.current
    result.layer.data = result.layer.data.astype(np.uint8)
    assert session.results.all() == []
    assert session.results.replaced(classes=False) == ["cells objects"]
    assert session.results.make(image, session.opened(image), classes=False) is not result


def test_names_that_a_person_chose_are_kept_when_a_model_brings_its_own(session, image):
    names = session.class_names
    names.adopt(("glass", "stroma"))
    assert names.names == ("glass", "stroma")
    session.take_corrections(image, np.ones(SHAPE, np.uint32), classes=True)
    names.adopt(("a", "b", "c"))
    assert names.names == ("glass", "stroma", "c")
    assert list(session.results.current.layer.features["class"]) == list(names.names)


def test_a_painted_class_is_not_removed(session, image):
    assert session.class_names.names == DEFAULT
    session.take_corrections(image, np.full(SHAPE, 2, np.uint32), classes=True)
    with pytest.raises(InputError, match="'class 2' is painted"):
        session.class_names.remove_last()
    session.class_names.add()
    session.class_names.remove_last()
    assert session.class_names.names == DEFAULT


def test_objects_and_classes_side_by_side(session, image):
    painted = np.zeros(SHAPE, np.uint32)
    painted[20:40, 20:40] = 1
    session.take_corrections(image, painted, classes=True)
    session.take_corrections(image, painted, classes=False)
    names, remark = class_names_to_train(session)
    assert names == ()
    assert "the objects are learned" in remark
    session.results.work_on(classes=True)
    names, remark = class_names_to_train(session)
    assert names == session.class_names.names
    assert "the classes are learned" in remark
    session.results.of(image, classes=False).layer.data[:] = 0
    session.results.of(image, classes=False).correcting.marks.array[:] = 0
    session.results.work_on(classes=False)
    assert class_names_to_train(session) == (session.class_names.names, "")
    assert session.results.classes


def test_a_replaced_result_is_left_out_with_a_sentence(session, image):
    other = session.viewer.add_image(np.zeros(SHAPE, np.uint16), name="second")
    painted = np.where(np.arange(SHAPE[1]) < 9, 3, BACKGROUND).astype(np.uint32)
    painted = np.broadcast_to(painted, SHAPE).copy()
    for layer in (image, other):
        session.take_corrections(layer, painted)
    session.results.of(image).layer.data = np.zeros((50, 50), np.uint32)
    work, left_out = gather_request(session, FinetuneSettings(), None, frozenset())
    assert "replaced by one of another shape or kind: cells objects" in left_out
    assert [pair[0].name for pair in work.pairs] == ["second"]
    assert left_out in work.remark


@pytest.mark.parametrize("failure", ["removed", "unreadable", "running"])
def test_a_result_stays_until_other_labels_take_its_place(
    session, image, said, idle, qtbot, monkeypatch, failure
):
    segment(session)
    idle()
    result = session.results.current
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=PATIENCE)
    other = session.viewer.add_labels(np.zeros(SHAPE, np.uint32), name="last week")
    if failure == "unreadable":
        monkeypatch.setattr(other_labels, "find_painted", unreadable)
    said.clear()
    ReopenLabels(session).begin(image, other)
    result.layer.data[0:5, 0:5] = 9  # while it looks
    if failure == "removed":
        session.viewer.layers.remove(other)
    elif failure == "running":
        session.runs.begin(Activity.SAVING)
    qtbot.waitUntil(lambda: len(said) > 1, timeout=PATIENCE)
    assert session.results.current is result
    assert session.results.looks_after(result)
    result.layer.data[10:15, 0:5] = 9
    result.correcting.look_everywhere()
    assert result.correcting.journal.flush(10)
    kept = replay(result.correcting.journal.paths)[0]
    assert (kept[0:5, 0:5] == 9).all()
    assert (kept[10:15, 0:5] == 9).all()


def unreadable(*_) -> None:
    raise InputError("The journal cannot be read.")


def test_strokes_made_while_other_labels_take_over_stay_in_the_journal(session, image, idle, qtbot):
    segment(session)
    idle()
    result = session.results.current
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=PATIENCE)
    result.layer.data[0:5, 0:5] = 9
    other = session.viewer.add_labels(result.layer.data.copy(), name="copy")
    ReopenLabels(session).begin(image, other)
    result.layer.data[10:15, 0:5] = 9
    qtbot.waitUntil(lambda: session.results.current.layer == other, timeout=PATIENCE)
    assert set(np.unique(session.results.current.painted())) == {0, 9}
    old = result.correcting.journal.paths
    qtbot.wait(200)  # in which it would be set aside
    assert (replay(old)[0][10:15, 0:5] == 9).all()


# ---- which model ---------------------------------------------------------------------------


@pytest.fixture
def phase(monkeypatch) -> None:
    """Every image looks like cells in phase contrast."""

    def looks(*_):
        yield Waiting()
        return load_model("cells-phase")

    monkeypatch.setattr(model_advice, "best_model", looks)


def test_advice_that_fails_is_in_the_log(session, monkeypatch, said, caplog, qtbot):
    def looks(*_):
        yield Waiting()
        raise InputError("Rows 0 to 9 cannot be read.")

    monkeypatch.setattr(model_advice, "best_model", looks)
    advice = ModelAdvice(session)
    session.choose(session.viewer.add_image(np.zeros(SHAPE, np.uint16)))
    assert advice.running
    qtbot.waitUntil(lambda: not advice.running, timeout=PATIENCE)
    qtbot.waitUntil(lambda: "Rows 0 to 9 cannot be read." in caplog.text, timeout=PATIENCE)
    assert said == []


def test_another_channel_or_other_axes_are_looked_at_again(session, monkeypatch, qtbot):
    seen = []

    def looks(image, *_):
        seen.append((image.axes, image.channel))
        yield Waiting()
        return load_model(session.intent.model)

    monkeypatch.setattr(model_advice, "best_model", looks)
    advice = ModelAdvice(session)
    session.choose(session.viewer.add_image(np.zeros((3, *SHAPE), np.uint16)))
    for given in (("CYX", None), ("cyx", 2), ("CY", 2)):  # the last fit nothing
        qtbot.waitUntil(lambda: not advice.running, timeout=PATIENCE)
        session.give(*given)
    qtbot.waitUntil(lambda: not advice.running, timeout=PATIENCE)
    assert seen == [("ZYX", None), ("CYX", None), ("CYX", 2)]


def test_the_model_that_fits_is_chosen_and_said(session, phase, said, qtbot):
    advice = ModelAdvice(session)
    session.choose(session.viewer.add_image(np.zeros(SHAPE, np.uint16)))
    qtbot.waitUntil(lambda: session.intent.model == "cells-phase", timeout=PATIENCE)
    assert said[-1].startswith("cells-phase fits the cells of this image better than nuclei")
    qtbot.waitUntil(lambda: not advice.running, timeout=PATIENCE)
    session.intend(model="nuclei")  # a person's choice
    session.choose(session.viewer.add_image(np.zeros(SHAPE, np.uint16)))
    assert not advice.running
    assert session.intent.model == "nuclei"
