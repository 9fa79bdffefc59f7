"""The panel "Segment, retrain": makes the sections, gives each the session, and lays them out."""

import atexit
import weakref
from functools import partial
from typing import Any

from magicgui.widgets import Container
from napari import Viewer
from qtpy.QtCore import QCoreApplication, QEvent, Qt
from qtpy.QtWidgets import QHBoxLayout

from napari_unet.plugin.batch.batch_window import Batch
from napari_unet.plugin.canvas import draw_in_own_contexts
from napari_unet.plugin.correct.classes_section import ClassesSection
from napari_unet.plugin.correct.correct_section import CorrectSection
from napari_unet.plugin.correct.keys import WHERE
from napari_unet.plugin.correct.restoring import Restoring
from napari_unet.plugin.filter.filter_section import FilterSection
from napari_unet.plugin.guide.help import Help
from napari_unet.plugin.guide.next_step import Buttons, NextStep
from napari_unet.plugin.guide.welcome import Welcome
from napari_unet.plugin.linking.link_planes import LinkPlanes
from napari_unet.plugin.measure.measure_section import MeasureSection
from napari_unet.plugin.objects.leaving_out import leaving_out
from napari_unet.plugin.objects.objects import ObjectsOfResults
from napari_unet.plugin.preferences import read_preferences, write_preferences
from napari_unet.plugin.retrain.retrain_section import RetrainSection
from napari_unet.plugin.segment.large_images import LargeImages
from napari_unet.plugin.segment.model_advice import ModelAdvice
from napari_unet.plugin.segment.model_in_use import ModelInUse
from napari_unet.plugin.segment.saving import Saving
from napari_unet.plugin.segment.segment_form import SegmentForm
from napari_unet.plugin.segment.segment_section import SegmentSection
from napari_unet.plugin.session.session import Session
from napari_unet.plugin.widgets.background import import_early
from napari_unet.plugin.widgets.docks import DockTitle, Undocking
from napari_unet.plugin.widgets.fold import Fold
from napari_unet.plugin.widgets.library_watch import LibraryWatch
from napari_unet.plugin.widgets.scrolling import Scrolling
from napari_unet.plugin.widgets.setting_widgets import side_by_side
from napari_unet.plugin.widgets.wrapping_text import Wrapped


class SegmentPanel(Container):  # type: ignore[type-arg]
    """Dock widget "Segment, retrain".

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer it is docked in.

    Attributes
    ----------
    session : Session
        What the person works on; the sections know nothing else of each other.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(labels=True)
        draw_in_own_contexts()
        self.session = session = Session(napari_viewer)
        self.form = SegmentForm(session)
        self.segment, self.link = SegmentSection(session), LinkPlanes(session)
        for_file = leaving_out(self.link.results.for_file)
        self.saving = Saving(session, for_file, self.link.results)
        self.help = Help()
        self.welcome = Welcome(napari_viewer, self.help.open)
        self.large, self.batch = LargeImages(session), Batch(session, self.link.results.chosen)
        self.classes = ClassesSection(session)
        self.restoring = Restoring(session)
        self.correct = CorrectSection(session, self.classes)
        self.retrain = RetrainSection(session)
        objects = ObjectsOfResults(session)
        self.filter = FilterSection(session, objects)
        self.measure = MeasureSection(session, objects, for_file, self.filter.fold)
        self._lay_out()
        self._connect()
        self._take_preferences()
        self.form.refresh()
        session.take_over()
        session.warm_up()
        # napari's first labels layer imports pandas; half a second better spent before the click
        import_early("pandas")

    def _lay_out(self) -> None:
        """Keep what is always needed at the top and the bottom; the rest scrolls in between."""
        self.extend([self.form.image, self.form.model])
        self._scrolling, self._sentence = Scrolling(), Wrapped(fewest=2, most=4)
        self._scrolling.add(self.form.options.native)
        self._scrolling.add(self.link.native)
        for title, native in (("2 Correct", self.correct.native), ("3 Retrain", self.retrain.form)):
            self._scrolling.add(Fold(title, native, main=True))
        self._scrolling.add(Fold("4 Measure", self.measure.native, main=True))
        layout = self.native.layout()
        layout.addWidget(self.welcome)
        buttons = self.segment.segment, self.batch.button, self.saving.save
        layout.addLayout(side_by_side(*buttons))
        for question in (self.restoring, self.large):  # not to be overlooked
            layout.addWidget(question.native)
        layout.addWidget(self._scrolling, 1)
        layout.addWidget(self.segment.progress.native)
        said = QHBoxLayout()
        said.addWidget(self._sentence, 1)
        said.addWidget(self.help, alignment=Qt.AlignmentFlag.AlignBottom)
        layout.addLayout(said)

    def _connect(self) -> None:
        session = self.session
        session.said.connect(self._sentence.say)
        session.said.connect(self.help.follow)
        session.reveal.connect(self._scrolling.reveal)
        self._model_in_use = ModelInUse(session, self.form.model)
        LibraryWatch(self.native).changed.connect(self._model_in_use.library_changed)
        self.advice = ModelAdvice(session)
        self._lead()
        self.native.destroyed.connect(self.close_down)
        DockTitle(self.native, "Segment, retrain")
        self._undocking = Undocking(self.native)
        self._undocking.happened.connect(self.close_down)
        self._at_exit = partial(_end_before_qt, weakref.ref(self))
        atexit.register(self._at_exit)

    def _lead(self) -> None:
        """Let the next sensible button stand out."""
        buttons = Buttons(
            segment=self.segment.segment,
            where_next=self.correct.buttons[WHERE],
            retrain=self.retrain.form.retrain,
            table=self.measure.table,
            save=self.saving.save,
        )
        self.next_step = NextStep(self.session, buttons, self.saving.unsaved)
        self.correct.uncertain.looked.connect(self.next_step.note_looked)
        self.retrain.asking.connect(self.next_step.note_asked)
        self.link.results.changed.connect(self.next_step.refresh)

    def _take_preferences(self) -> None:
        """Begin with what was chosen last; after the advice, which a person's model ends."""
        last, time = read_preferences(), self.retrain.form.time
        time.value = min(
            max(last.time_limit, time.min), time.max
        )  # another version may have others
        if last.own_model:
            self.session.intend(model=last.own_model)

    @property
    def sentence(self) -> str:
        """What the panel says at the moment."""
        return self._sentence.text

    def close_down(self, *_: Any) -> None:
        """Stop everything that was started here; what is on the layers stays."""
        atexit.unregister(self._at_exit)
        if not self.session.closed:
            write_preferences(self.session.intent.model, self.retrain.form.time.value)
        self.welcome.leave()
        self.help.close_down()
        self.session.close()


def _end_before_qt(panel: "weakref.ref[SegmentPanel]") -> None:
    """Take a panel apart where a session (a script, IPython) ends with its window open.

    Qt's objects are taken apart one by one afterwards, and the panel might come last: what it stops
    must still be there. PyQt6 may also end with a segmentation fault, as docs/reliability.md tells,
    if widgets with event filters, such as magicgui's, are left to it.
    """
    alive = panel()
    if alive is not None:
        native = alive.native
        alive.close_down()
        native.deleteLater()
        QCoreApplication.sendPostedEvents(native, QEvent.Type.DeferredDelete)
