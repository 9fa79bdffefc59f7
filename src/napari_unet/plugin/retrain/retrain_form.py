"""The widgets of the Retrain section, and which of them are shown when."""

from collections.abc import Sequence

from magicgui.widgets import CheckBox, ComboBox, ProgressBar, PushButton
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_unet.models.report import Report
from napari_unet.plugin.retrain.curve import Curve
from napari_unet.plugin.retrain.retrain_folder import FolderRow
from napari_unet.plugin.widgets.fold import Fold
from napari_unet.plugin.widgets.setting_widgets import field_widget, keep_narrow, side_by_side
from napari_unet.plugin.widgets.wrapping_text import Wrapped
from napari_unet.settings import FinetuneSettings
from napari_unet.training.events import TrainingStep
from napari_unet.wording import counted

SHORTEST, LONGEST = 10, 300  # seconds on the slider
RETRAIN = "Retrain", "Train the model on what is painted on the open images, and the folder added"
FOLDER = "Learn from a folder of images and masks too"
SHOW_NEW = "Show the new one"
FEWEST_STEPS = 5  # with fewer nothing can be told of what is learned
NO_TIME = (
    "There was no time to learn: it ended after {}, as what the model finds now is looked "
    "at first. So the old one stays; choose a longer time and press Retrain."
)
STOP = "Stop", "End now; the best so far is judged, and kept if it is better"


class RetrainForm(QWidget):
    """Button, time, curve, and what came of it; knows no layers, starts nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.time = field_widget(
            FinetuneSettings, "time_limit", "FloatSlider", min=SHORTEST, max=LONGEST, step=5
        )
        self.folder = FolderRow()
        self.retrain = PushButton(text=RETRAIN[0], tooltip=RETRAIN[1])
        self.cancel = PushButton(text="Cancel", tooltip="End without a new model")
        self.progress = ProgressBar(min=0, max=1000)
        self.curve = Curve()
        self.keep = PushButton(
            text="Keep the new model", tooltip="Add it to your models, and segment with it"
        )
        self.discard = PushButton(text="Discard", tooltip="Delete it, and keep the old model")
        self.look = CheckBox(text=SHOW_NEW, tooltip="What the new model finds, before you decide")
        self.compare = CheckBox(text="Show before", tooltip="What the model before had found")
        self.back = PushButton(text="Go back to", tooltip="Use it again, and segment with it")
        self.earlier = ComboBox(choices=[], tooltip="Models that were in use before, newest first")
        self._outcome = Wrapped()
        keep_narrow(self.earlier)
        self._lay_out()
        for widget in (self.cancel, self.progress, self.keep, self.discard, self.look):
            widget.native.hide()
        for native in (self.compare.native, self.back.native, self.earlier.native):
            native.hide()
        self._outcome.hide()

    def _lay_out(self) -> None:
        self.progress_part, self.outcome_part = QWidget(), QWidget()
        self.other_images = Fold(FOLDER, self.folder)
        time = QFormLayout()
        time.addRow(self.time.label, self.time.native)
        layout, progress, outcome = QVBoxLayout(self), QVBoxLayout(), QVBoxLayout()
        for one in (layout, progress, outcome):
            one.setContentsMargins(0, 0, 0, 0)
        left = Qt.AlignmentFlag.AlignLeft
        progress.addLayout(side_by_side(self.retrain, self.cancel))
        progress.addWidget(self.progress.native)
        progress.addWidget(self.curve)
        self.progress_part.setLayout(progress)
        outcome.addWidget(self._outcome)
        outcome.addWidget(self.look.native, alignment=left)
        outcome.addLayout(side_by_side(self.keep, self.discard))
        outcome.addWidget(self.compare.native, alignment=left)
        outcome.addLayout(side_by_side(self.back, self.earlier))
        self.outcome_part.setLayout(outcome)
        layout.addLayout(time)
        for widget in (self.other_images, self.progress_part, self.outcome_part):
            layout.addWidget(widget)

    @property
    def native(self) -> QWidget:
        """The Qt widget, as of other sections."""
        return self

    @property
    def outcome(self) -> str:
        """What is said about the last retraining."""
        return self._outcome.text

    def settings(self) -> FinetuneSettings:
        """Return what is set."""
        return FinetuneSettings(time_limit=self.time.value)

    def show_running(self, *, running: bool) -> None:
        """Make one button Stop while it runs, which there is nothing to keep of at first."""
        self.retrain.text, self.retrain.tooltip = STOP if running else RETRAIN
        self.retrain.native.clearFocus()  # else Qt scrolls to whatever takes the focus over
        self.retrain.enabled = not running
        self.cancel.native.setVisible(running)
        self.progress.native.setVisible(running)
        self.time.enabled = not running
        for widget in (self.keep, self.discard, self.look, self.back):  # they wait meanwhile
            widget.enabled = not running
        self.folder.setEnabled(not running)
        if running:
            self.progress.value = 0
            self._outcome.hide()
            self.curve.begin(self.time.value)
        else:
            self.curve.draw()

    def show_step(self, event: TrainingStep) -> None:
        """Show how far it is."""
        self.progress.value = round(1000 * min(1.0, event.seconds / event.limit))
        self.curve.add(event)

    def show_outcome(self, report: Report, remark: str = "") -> None:
        """Say what came of it, old and new side by side, and what else there is to know."""
        said = f"{told(report)} {remark}".strip()
        self._outcome.say(f"{said}\n\n{summary(report)}")
        self._outcome.show()

    def say_outcome(self, text: str) -> None:
        """Say how it goes on."""
        self._outcome.say(text)
        self._outcome.show()

    def offer_preview(self, *, there: bool) -> None:
        """Show or hide the question whether to keep the new model, and the box to look at it."""
        self.look.value = False
        for widget in (self.look, self.keep, self.discard):
            widget.native.setVisible(there)

    def show_preview_again(self) -> None:
        """Show what was said of a preview that is still to be decided about."""
        self._outcome.show()

    def offer_comparison(self, *, there: bool) -> None:
        """Show or hide the box that shows what the model before had found."""
        self.compare.value = False
        self.compare.native.setVisible(there)

    def offer_earlier(self, names: Sequence[str], chosen: str | None = None) -> None:
        """Offer models to go back to, newest first; with no names, hide the choice.

        Parameters
        ----------
        names : sequence of str
            The models.
        chosen : str, optional
            The one that is chosen there; default the newest.
        """
        self.earlier.choices = []  # else those that stay keep their place, and the order is lost
        self.earlier.choices = names
        if names:
            self.earlier.value = chosen if chosen in names else names[0]
        for widget in (self.back, self.earlier):
            widget.native.setVisible(bool(names))


def told(report: Report) -> str:
    """Return what came of it, in a sentence; a model that had no time to learn is not to blame."""
    if report.outcome == "refused" and report.steps < FEWEST_STEPS:
        return NO_TIME.format(counted(report.steps, "step"))
    return report.sentence


def summary(report: Report) -> str:
    """Return what was compared, before and after, a line each."""
    pairs = {
        "agreement with held-out objects": (report.old, report.new) if report.held else None,
        "objects learned from": report.learned,
        "found again in an enlarged image": report.steady,
        "nuclei of other images": (report.base_old, report.base_new),
    }
    # a model of classes is not judged on nuclei
    return "\n".join(f"{k}: {v[0]:.2f} → {v[1]:.2f}" for k, v in pairs.items() if v and any(v))
