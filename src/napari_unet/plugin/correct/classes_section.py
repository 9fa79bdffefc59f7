"""Painting classes instead of objects: the switch, and the list of classes that is the palette."""

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, PushButton
from napari import Viewer
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_unet.errors import UNetError
from napari_unet.labels.painted import CLASSES
from napari_unet.models.class_names import DEFAULT, FEWEST, default_name, tidy
from napari_unet.plugin.layers.class_colours import COLOURS, colour_dict, features_of
from napari_unet.plugin.result.correcting import MARK_COLOURS
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.widgets.fold import unfold

if TYPE_CHECKING:
    from napari_unet.plugin.segment_panel import SegmentPanel

SWATCH = QSize(26, 16)
ROWS = 4  # of the list that are seen at once
TOLD = (
    "Choose a class and paint some of it; double-click a class to name it. Then press Retrain for "
    "a model of these classes."
)
NO_OBJECTS = "Press Segment; then paint on the objects that it finds."
BOTH = {
    True: "Objects are painted too; the classes are taught. To teach the "
    "objects, untick the box 'Paint classes instead of objects'.",
    False: "Classes are painted too; the objects are taught. To teach the "
    "classes, tick the box 'Paint classes instead of objects'.",
}


class ClassesSection(QWidget):
    """Switch between objects and classes, and the classes there are.

    Parameters
    ----------
    host : SegmentPanel
        The panel it is part of.
    viewer : napari.Viewer
        The viewer whose layers are painted on.
    """

    def __init__(self, host: "SegmentPanel", viewer: Viewer) -> None:
        super().__init__()
        self._host, self._viewer = host, viewer
        self.names = DEFAULT  # background first
        self._choosing = False  # a layer is added, meanwhile napari makes others active
        self.switch = CheckBox(
            text="Paint classes instead of objects",
            tooltip="For a model that tells what each pixel is: tissue, debris, background",
        )
        self.list = QListWidget()
        self.add = PushButton(text="Add class")
        self.remove = PushButton(text="Remove class", tooltip="The last one, if it is not painted")
        self._lay_out()
        self.show_on(on=False)
        self._fill()
        self.switch.changed.connect(self._press_switch)
        self.add.clicked.connect(self._press_add)
        self.remove.clicked.connect(self._press_remove)
        self.list.itemChanged.connect(self._rename)
        self.list.currentRowChanged.connect(self.choose)
        self.list.itemClicked.connect(lambda item: self.choose(self.list.row(item)))
        viewer.layers.selection.events.active.connect(self._follow)

    def _lay_out(self) -> None:
        self.list.setIconSize(SWATCH)
        self.list.setEditTriggers(
            QListWidget.EditTrigger.DoubleClicked | QListWidget.EditTrigger.EditKeyPressed
        )
        self._buttons = QWidget()
        row = QHBoxLayout(self._buttons)
        row.setContentsMargins(0, 0, 0, 0)
        for button in (self.add, self.remove):
            row.addWidget(button.native)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.switch.native, self.list, self._buttons):
            layout.addWidget(widget)

    @property
    def native(self) -> QWidget:
        """The Qt widget, as of other sections."""
        return self

    @property
    def on(self) -> bool:
        """Whether classes are painted, segmented and taught, not objects."""
        return bool(self.switch.value)

    # ---- the switch ------------------------------------------------------------------------

    def show_on(self, *, on: bool) -> None:
        """Turn the switch without changing what is painted on."""
        with self.switch.changed.blocked():
            self.switch.value = on
        self.list.setVisible(on)
        self._buttons.setVisible(on)
        if on:  # nobody shall paint classes without seeing it
            unfold(self)

    def _press_switch(self, on: bool) -> None:
        self.show_on(on=on)
        if on:
            self.choose(max(1, self.list.currentRow()))
            if self.on:
                self._host.say(TOLD)
        else:
            result = self._host.current_result()
            if result is not None:
                result.correcting.brush_background(on=False)
            else:  # nobody shall go on painting classes unawares
                self._viewer.layers.selection.active = self._host.image.value
            self._host.say("" if result is not None else NO_OBJECTS)
        self._host.kind_changed()

    def choose(self, number: int) -> None:
        """Paint a class from now on; its layer is added if there is none."""
        if not self.on or not 0 <= number < len(self.names):
            return
        self._choosing = True
        try:
            result = self._host.class_result()
        except UNetError as error:
            self.show_on(on=False)
            self._host.say(str(error))
            return
        finally:
            self._choosing = False
        result.layer.visible = True
        if number:
            result.layer.selected_label = number
        self._host.correct.paint_background(on=number == 0)
        self._select(number)

    def _follow(self, *_: Any) -> None:
        """Turn the switch to what the active layer holds."""
        active = self._viewer.layers.selection.active
        if self._host.closed or self._choosing or not isinstance(active, Labels):
            return
        for result in self._host.results():
            marks = result.correcting.is_marks(active)
            if marks or active == result.layer:
                changed = self.on != result.classes
                self.show_on(on=result.classes)
                if changed:
                    self._host.kind_changed()
                self._select(0 if marks else int(result.layer.selected_label))

    def to_teach(self, *, objects: bool = False) -> tuple[tuple[str, ...], str]:
        """Return the names of the classes if they are to be taught; and why, if one may wonder.

        The switch decides, unless only one of objects and classes is painted.

        Parameters
        ----------
        objects : bool, default False
            Whether there are objects to teach besides those that are painted.
        """
        self._take_channels()
        painted = {False: objects, True: False}
        for result in self._host.results():
            result.correcting.look_everywhere()
            painted[result.classes] |= result.correcting.any
        on = self.on or (painted[True] and not painted[False])
        if on != self.on:
            self.show_on(on=on)
            self._host.kind_changed()
        return self.names if on else (), BOTH[on] if all(painted.values()) else ""

    def _take_channels(self) -> None:
        """Teach the channels that are chosen now, which Segment will give to the model."""
        layer = self._host.image.value
        result = self._host.result_of(layer, classes=True)
        image = self._host.describe(layer, quietly=True) if result is not None else None
        if result is not None and image is not None and result.fits(image):
            result.image = image

    # ---- layers ----------------------------------------------------------------------------

    def dress(self, result: Result) -> None:
        """Give a new result of classes its colours and names, and follow it."""
        layer = result.layer
        layer.colormap = DirectLabelColormap(color_dict=colour_dict())
        layer.selected_label = 1
        layer.features = features_of(self.names)
        layer.events.selected_label.connect(self._follow)
        result.correcting.changed.connect(self._add_painted)

    def note_names(self, result: Result) -> None:
        """Write the names to the journal of a result of classes."""
        journal, there = result.correcting.journal, result.layer in self._viewer.layers
        if journal is not None and there and not self._host.closed:
            journal.note("classes", **{str(i): name for i, name in enumerate(self.names)})

    def adopt_names(self, names: tuple[str, ...]) -> None:
        """Take names from a model or a journal, but none in place of what a person chose."""
        used = any(result.correcting.any for result in self._results())
        if self.names == DEFAULT or not used:
            self._set_names(tidy(names))
        else:
            self._set_names(tidy([*self.names, *names[len(self.names) :]]))

    def _results(self) -> list[Result]:
        return self._host.results(classes=True)

    def _highest(self) -> int:
        """Highest class that is painted or named, as far as was looked."""
        painted = [i for r in self._results() for i in r.correcting.tracker.ids]
        return max(painted, default=0)

    def _add_painted(self) -> None:
        """List a class that was painted by its number alone."""
        missing = range(len(self.names), min(self._highest() + 1, CLASSES))
        if missing and not self._host.closed:
            self._set_names(tidy([*self.names, *map(default_name, missing)]))

    # ---- the list --------------------------------------------------------------------------

    def _set_names(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._fill()
        for result in self._results():
            result.layer.features = features_of(names)
            self.note_names(result)

    def _fill(self) -> None:
        """Show the names; items stay, as one of them may just be edited."""
        self.list.blockSignals(True)
        for number in range(self.list.count(), len(self.names)):
            item = QListWidgetItem(_swatch(number), "")
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            self.list.addItem(item)
        while self.list.count() > len(self.names):
            self.list.takeItem(self.list.count() - 1)
        for number, name in enumerate(self.names):
            shown = self.list.item(number)
            assert shown is not None, "every class has its item"
            shown.setText(name)
        self.list.blockSignals(False)
        rows = min(ROWS, len(self.names))
        self.list.setFixedHeight(rows * self.list.sizeHintForRow(0) + 2 * self.list.frameWidth())
        self.add.enabled, self.remove.enabled = len(self.names) < CLASSES, len(self.names) > FEWEST

    def _select(self, number: int) -> None:
        self.list.blockSignals(True)
        self.list.setCurrentRow(number if number < len(self.names) else -1)
        self.list.blockSignals(False)

    def _rename(self, item: QListWidgetItem) -> None:
        number = self.list.row(item)
        names = [*self.names]
        names[number] = item.text()
        self._set_names(tidy(names))

    def _press_add(self) -> None:
        self._set_names(tidy([*self.names, default_name(len(self.names))]))
        self.choose(len(self.names) - 1)
        self.list.scrollToBottom()

    def _press_remove(self) -> None:
        for result in self._results():
            result.correcting.look_everywhere()
        last = len(self.names) - 1
        if self._highest() >= last:
            self._host.say(f"{self.names[last]!r} is painted. Erase it, then remove the class.")
            return
        self._set_names(self.names[:last])
        self.choose(min(max(0, self.list.currentRow()), last - 1))


def _swatch(number: int) -> QIcon:
    """Return a class's colour with its number on it."""
    pixmap = QPixmap(SWATCH)
    pixmap.fill(QColor(COLOURS[number - 1] if number else MARK_COLOURS[1]))
    painter = QPainter(pixmap)
    painter.setPen(Qt.GlobalColor.black)
    painter.drawText(
        QRect(0, 0, SWATCH.width(), SWATCH.height()), Qt.AlignmentFlag.AlignCenter, str(number)
    )
    painter.end()
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)  # else Qt tints it
    return icon
