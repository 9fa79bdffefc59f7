"""The button Segment, its progress, and the sliders that make the objects anew."""

from functools import partial

from magicgui.widgets import ProgressBar, PushButton
from superqt.utils import qdebounced

from napari_unet.errors import UNetError
from napari_unet.execution.events import ObjectsFound
from napari_unet.plugin.layers import layers
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.result_registry import NO_IMAGE
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.segmentation_runs import decode_again, segment
from napari_unet.plugin.session.session import Intent, Session
from napari_unet.plugin.widgets.background import in_background
from napari_unet.plugin.widgets.setting_widgets import offer

SEGMENT = "Segment the image with the model, as it is set below"
CANCEL = "Stop; what is finished stays"
SLIDER_DELAY = 150  # milliseconds a slider must rest before the objects are made anew


class SegmentSection:
    """Starts and cancels runs, and shows how far they are.

    Parameters
    ----------
    session : Session
        What is worked on.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._refused = ""  # why nothing could be segmented
        self.segment = PushButton(text="Segment")
        self.progress = ProgressBar(visible=False)
        self._decode = qdebounced(self._make_anew, timeout=SLIDER_DELAY)
        self._waiting: Result | None = None  # its objects are made anew when the run has ended
        self._counting = False
        self._edited: Result | None = None  # while its objects were counted
        self.segment.clicked.connect(self._press)
        session.runs.started.connect(self._show_started)
        session.runs.found.connect(self._show_progress)
        session.runs.ended.connect(self._show_ended)
        session.runs.activity_changed.connect(self._take_turns)
        session.intent_changed.connect(self._on_intent)
        session.results.added.connect(self._watch)
        self._take_turns()

    def _press(self) -> None:
        if self._session.runs.segmenting:
            self._session.runs.cancel()
        else:
            self.start()

    def start(self) -> None:
        """Segment what is chosen; the person is told if that is not possible."""
        try:
            segment(self._session)
        except UNetError as error:
            self._refused = str(error)
            self._session.say(self._refused)

    def _on_intent(self, now: Intent, before: Intent) -> None:
        if now.layer is not before.layer or now.region != before.region:
            self._session.take_back(self._refused)
        if now.layer is None and not layers.image_layers(self._session.viewer):
            self._session.say("")  # there is nothing left to say anything of
        if now.model != before.model:
            self._session.warm_up()
        elif now.decode != before.decode:
            self._decode()
        self._take_turns()

    def _make_anew(self) -> None:
        done = decode_again(self._session)
        self._waiting = None if done else self._session.results.current

    def _watch(self, result: Result) -> None:
        result.correcting.changed.connect(partial(self._count_anew, result))

    def _count_anew(self, result: Result) -> None:
        """Count the objects after an edit, if their number is shown; a stack takes a while."""
        runs, shows = self._session.runs, self._session.says
        told = runs.concluded(result)
        if not told or not shows(told) or runs.segmenting:
            return
        if self._counting:  # one at a time: the last count must be the last that is said
            self._edited = result
            return
        self._counting = True

        def counted(text: str | None, _problem: str | None) -> None:
            self._counting = False
            if text and text != told and shows(told) and not runs.segmenting:
                runs.tell_again(result, text)
            edited, self._edited = self._edited, None
            if edited is not None:
                self._count_anew(edited)

        in_background(lambda: runs.conclude(result), counted)

    def _show_started(self) -> None:
        self.segment.text = "Cancel"
        self.progress.visible, self.progress.value = True, 0

    def _show_progress(self, event: ObjectsFound) -> None:
        self.progress.max, self.progress.value = event.total, event.done

    def _show_ended(self) -> None:
        self.segment.text, self.progress.visible = "Segment", False
        self._take_turns()
        session, waiting = self._session, self._waiting
        self._waiting = None
        if waiting is not None and waiting is session.results.current and not session.runs.problem:
            self._decode()

    def _take_turns(self) -> None:
        """Let the button be pressed where there is something to segment, or to cancel."""
        session, missing = self._session, ""
        if session.runs.doing(Activity.RETRAINING):
            missing = f"{Activity.RETRAINING.value}."
        elif session.intent.layer is None and not session.runs.segmenting:
            missing = NO_IMAGE
        offer(self.segment, CANCEL if session.runs.segmenting else SEGMENT, missing)
