"""The panel fits a small screen in every state, and what matters is seen without looking for it."""

import numpy as np
import pytest
from flow import PANEL, PLUGIN, SHAPE
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QCursor, QWheelEvent
from qtpy.QtWidgets import QAbstractSlider, QApplication, QWidget

from napari_unet.plugin.retrain import retrain_section
from napari_unet.training.events import TrainingStep

TALLEST = 500  # screen pixels that the panel may ask for
SCREEN = 1366, 768  # the smallest one
PATIENCE = 30_000  # milliseconds
STEPS = 30


@pytest.fixture
def panel(viewer, image, network, qtbot, monkeypatch):
    """Docked from the manifest, on a small screen, with a curve in every retraining."""
    short = retrain_section.retrain

    def with_curve(*arguments):
        for step in range(1, STEPS):
            yield TrainingStep(step, float(step), 60.0, 1 / step, 0.5 if step % 9 == 0 else None)
        yield from short(*arguments)

    monkeypatch.setattr(retrain_section, "retrain", with_curve)
    viewer.window.resize(*SCREEN)
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    qtbot.waitUntil(panel.segment.segment.native.isVisible, timeout=PATIENCE)
    away()
    yield panel
    panel.close_down()


def test_models_do_not_make_the_window_larger(viewer, panel, click, idle, qtbot):
    window = viewer.window._qt_window
    click(panel.segment.segment)
    idle()
    click(panel.measure.table)
    window.resize(SCREEN[0], 1)  # as low as it can be
    qtbot.wait(300)
    before = window.height()
    _, models = viewer.window.add_plugin_dock_widget(PLUGIN, "Models")
    qtbot.waitUntil(lambda: models.isVisible() and models.name != "", timeout=PATIENCE)
    qtbot.wait(500)
    assert window.height() == before
    assert models.list.height() > 50


def away() -> None:
    """The mouse rests outside of the panel."""
    QCursor.setPos(QApplication.primaryScreen().geometry().bottomLeft())


def over(widget: QWidget) -> None:
    QCursor.setPos(widget.mapToGlobal(widget.rect().center()))


def bar(panel):
    return panel._scrolling.verticalScrollBar()


def shown(widget: QWidget) -> bool:
    """Whether a person sees all of a widget."""
    return bool(widget.visibleRegion().boundingRect() == widget.rect())


def fits(panel, viewer) -> bool:
    """Whether the panel asks for little room and nothing in it is cut at the side."""
    window, scrolling = viewer.window._qt_window, panel._scrolling
    assert panel.native.minimumSizeHint().height() <= TALLEST
    assert (window.width(), window.height()) == SCREEN
    assert not scrolling.horizontalScrollBar().isVisible()
    assert scrolling.widget().width() <= scrolling.viewport().width()
    for widget in (panel.segment.segment.native, panel.saving.save.native, panel._sentence):
        assert shown(widget)
    return True


# ---- room --------------------------------------------------------------------------------------


def test_every_state_fits(viewer, panel, network, painted, click, idle, qtbot):
    width, viewport = panel.native.width(), panel._scrolling.viewport().width()
    for outcome in ("refused", "preview", "accepted", "accepted", "cancel", "error"):
        network.outcome = outcome
        click(panel.retrain.form.retrain)
        qtbot.wait(100)
        assert fits(panel, viewer)
        if outcome == "cancel":
            click(panel.retrain.form.cancel)
        idle()
        qtbot.wait(100)
        assert fits(panel, viewer)
        if outcome == "preview":
            click(panel.retrain.form.look)
            assert fits(panel, viewer)
            click(panel.retrain.form.discard)
    assert bar(panel).isVisible()
    for fold in folds(panel):
        click(fold.toggleButton())
        qtbot.wait(50)
        assert fits(panel, viewer)
    assert (panel.native.width(), panel._scrolling.viewport().width()) == (width, viewport)


def test_a_low_window_stays_low(viewer, panel, painted, click, idle, qtbot):
    dock = panel.native.parentWidget()
    dock.setFloating(True)
    dock.resize(dock.width(), TALLEST)
    click(panel.retrain.form.retrain)
    idle()
    qtbot.wait(100)
    assert dock.height() == TALLEST
    for widget in (panel.segment.segment.native, panel._sentence):
        assert shown(widget)
    qtbot.waitUntil(lambda: shown(panel.retrain.form.keep.native), timeout=PATIENCE)


@pytest.mark.parametrize("text", ["", "word", "word " * 200, "/a/path/without/blanks" * 30])
def test_the_message_is_seen_and_widens_nothing(viewer, panel, qtbot, text):
    least = panel.native.minimumSizeHint().width()
    panel.session.say(text)
    qtbot.wait(50)
    assert panel.sentence == text
    assert fits(panel, viewer)
    assert panel.native.minimumSizeHint().width() == least
    lines = panel._sentence.height() / panel._sentence.fontMetrics().lineSpacing()
    assert 2 <= lines < 4.5


def test_long_names_widen_nothing(viewer, panel, painted, qtbot):
    least = panel.native.minimumSizeHint().width()
    viewer.add_labels(np.zeros(SHAPE, np.uint8), name="labels " * 20)
    viewer.add_image(np.zeros(SHAPE), name="experiment_" * 12)
    scrolling = panel._scrolling  # its bar comes or goes
    qtbot.waitUntil(lambda: scrolling.widget().width() <= scrolling.viewport().width())
    assert panel.native.minimumSizeHint().width() == least
    assert fits(panel, viewer)


# ---- what is folded ----------------------------------------------------------------------------


def folds(panel):
    correct = panel.correct
    return (
        correct.other_labels,
        correct.other_classes,
        correct.key_list,
        panel.retrain.form.other_images,
    )


def test_what_everybody_needs_is_there_at_once(viewer, panel, painted):
    for widget in (
        panel.segment.segment,
        panel.saving.save,
        panel.correct.brush,
        panel.retrain.form.retrain,
    ):
        assert shown(widget.native)
        assert widget.enabled


def test_what_is_folded_is_a_click_away(panel, painted, click):
    go_on, folder = panel.correct.others.go_on, panel.retrain.form.folder
    inside = go_on.native, panel.classes.switch.native, None, folder.add.native
    for fold, widget in zip(folds(panel), inside, strict=True):
        widget = widget or fold.content()
        assert not widget.isVisible()
        click(fold.toggleButton())
        assert widget.isVisible()
        click(fold.toggleButton())
        assert not widget.isVisible()


def test_the_keys_are_listed_whole(panel, click, qtbot):
    fold = panel.correct.key_list
    click(fold.toggleButton())
    qtbot.wait(100)
    listed = fold.content()
    assert listed.height() >= listed.heightForWidth(listed.width())


def test_saved_labels_that_are_opened_are_offered(viewer, image, panel, painted, idle, tmp_path):
    panel.saving.save_to(tmp_path / "cells_labels.ome.tif")
    idle()
    viewer.layers.remove(painted.layer)
    assert not panel.correct.other_labels.isExpanded()
    viewer.add_labels(np.zeros(SHAPE, np.uint8), name="not from here")
    assert not panel.correct.other_labels.isExpanded()
    [labels] = viewer.open(tmp_path / "cells_labels.ome.tif", plugin=PLUGIN)
    assert panel.correct.others.layer.value is labels
    assert panel.correct.others.go_on.native.isVisible()
    panel.correct.other_labels.collapse(animate=False)
    panel.correct.refresh()
    assert not panel.correct.other_labels.isExpanded()  # folded by the person


def test_classes_unfold_with_a_layer_of_classes(viewer, panel, painted, click, tick):
    click(panel.correct.other_classes.toggleButton())
    tick(panel.classes.switch)
    assert panel.session.results.classes  # though the layer of objects was active
    classes = viewer.layers.selection.active
    viewer.layers.selection.active = painted.layer
    assert not panel.session.results.classes
    click(panel.correct.other_classes.toggleButton())
    assert not panel.classes.list.isVisible()
    viewer.layers.selection.active = classes
    assert panel.classes.list.isVisible()


def test_an_offer_to_restore_is_seen(viewer, image, panel, painted, qtbot):
    qtbot.waitUntil(lambda: painted.correcting.journal is not None, timeout=PATIENCE)
    painted.painted()
    bar(panel).setValue(bar(panel).maximum())
    viewer.layers.remove(painted.layer)
    qtbot.waitUntil(lambda: panel.restoring.visible, timeout=PATIENCE)
    qtbot.waitUntil(lambda: shown(panel.restoring.restore.native), timeout=PATIENCE)
    assert fits(panel, viewer)


# ---- scrolling ---------------------------------------------------------------------------------


@pytest.fixture
def low(panel, qtbot):
    """So low that the curve is out of view."""
    dock = panel.native.parentWidget()
    dock.setFloating(True)
    dock.resize(dock.width(), TALLEST)
    away()
    bar(panel).setValue(0)
    qtbot.wait(50)


def test_the_curve_and_what_came_of_it_are_scrolled_to(
    panel, network, painted, low, idle, click, qtbot
):
    network.outcome = "cancel"
    panel.retrain.start()
    qtbot.waitUntil(lambda: shown(panel.retrain.form.curve), timeout=PATIENCE)
    click(panel.retrain.form.cancel)
    idle()
    for outcome, seen in (("preview", "discard"), ("accepted", "back")):
        network.outcome = outcome
        panel.retrain.start()
        bar(panel).setValue(0)
        idle()
        widget = getattr(panel.retrain.form, seen).native
        qtbot.waitUntil(lambda native=widget: shown(native), timeout=PATIENCE)


def test_a_folded_section_unfolds_for_what_came(panel, painted, click, idle, qtbot):
    section = panel.retrain.form.parentWidget()
    panel.retrain.start()
    click(section.toggleButton())
    assert not panel.retrain.form.isVisible()
    idle()
    qtbot.waitUntil(lambda: shown(panel.retrain.form.keep.native), timeout=PATIENCE)


def test_nothing_scrolls_away_under_the_mouse(panel, painted, idle, qtbot):
    over(panel.form.where.native)
    panel.retrain.start()
    idle()
    qtbot.wait(600)
    assert bar(panel).value() == 0
    assert not shown(panel.retrain.form.keep.native)
    away()
    qtbot.waitUntil(lambda: shown(panel.retrain.form.keep.native), timeout=PATIENCE)


def test_nothing_scrolls_away_from_who_types(viewer, panel, painted, low, idle, qtbot):
    panel.retrain.start()
    panel.native.activateWindow()
    panel.form.diameter.native.setFocus()
    qtbot.waitUntil(panel.form.diameter.native.hasFocus, timeout=PATIENCE)
    bar(panel).setValue(0)
    idle()
    qtbot.wait(600)
    assert bar(panel).value() == 0
    panel.form.diameter.native.clearFocus()
    qtbot.waitUntil(lambda: shown(panel.retrain.form.keep.native), timeout=PATIENCE)


def taken(widget: QWidget) -> bool:
    """Whether a widget takes a turn of the wheel; else what it is in gets it."""
    at, none = QPointF(widget.rect().center()), Qt.MouseButton.NoButton
    where = QPointF(widget.mapToGlobal(at.toPoint()))
    turned = QWheelEvent(
        at, where, QPoint(), QPoint(0, -120), none, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(widget, turned)
    return turned.isAccepted()


def chosen(panel):
    return panel.session.intent, panel.retrain.form.settings()


def test_the_wheel_changes_no_value_on_its_way(panel, painted, qtbot):
    slider, spins = panel.form.sliders[0].native, panel.retrain.form.time.native
    inner = [*slider.findChildren(QAbstractSlider), *spins.findChildren(QAbstractSlider)]
    assert len(inner) >= 2
    before = chosen(panel)
    for native in (panel.form.where.native, panel.form.diameter.native, *inner):
        assert not taken(native)
    assert chosen(panel) == before
    panel.native.activateWindow()
    panel.form.where.native.setFocus()  # clicked
    qtbot.waitUntil(panel.form.where.native.hasFocus, timeout=PATIENCE)
    assert taken(panel.form.where.native)
    assert panel.form.where.value != before[0].region
