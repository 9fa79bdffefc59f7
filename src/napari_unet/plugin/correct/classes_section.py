"""Painting classes instead of objects: the switch, and the list of classes that is the palette."""

from typing import Any

from magicgui.widgets import CheckBox, PushButton
from napari.layers import Labels
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_unet.errors import UNetError
from napari_unet.labels.painted import CLASSES
from napari_unet.models.class_names import FEWEST
from napari_unet.plugin.result.marks import MARK_COLOURS
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.class_names import COLOURS
from napari_unet.plugin.session.session import Session
from napari_unet.plugin.widgets.fold import unfold

SWATCH = QSize(26, 16)
ROWS = 4  # of the list that are seen at once
TOLD = (
    "Choose a class and paint some of it; double-click a class to name it. Then press Retrain for "
    "a model of these classes."
)
NO_OBJECTS = "Press Segment; then paint on the objects that it finds."


class ClassesSection(QWidget):
    """Switch between objects and classes, and the classes there are.

    Parameters
    ----------
    session : Session
        What is worked on.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session, self._class_names = session, session.class_names
        self._choosing = False  # a layer is added, meanwhile napari makes others active
        self.switch = CheckBox(
            text="Paint classes instead of objects",
            tooltip="For a model that tells what each pixel is: tissue, debris, background",
        )
        self.list = QListWidget()
        self.add = PushButton(text="Add class", tooltip="One more class to paint")
        self.remove = PushButton(text="Remove class", tooltip="The last one, if it is not painted")
        self._lay_out()
        self._show_kind(classes=False)
        self._fill()
        self.switch.changed.connect(self._press_switch)
        self.add.clicked.connect(self._press_add)
        self.remove.clicked.connect(self._press_remove)
        self.list.itemChanged.connect(self._rename)
        self.list.currentRowChanged.connect(self.choose)
        self.list.itemClicked.connect(lambda item: self.choose(self.list.row(item)))
        session.viewer.layers.selection.events.active.connect(self._follow)
        session.results.added.connect(self._watch)
        session.results.kind_changed.connect(self._show_kind)
        session.class_names.changed.connect(self._fill)

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

    # ---- the switch ------------------------------------------------------------------------

    def _show_kind(self, classes: bool) -> None:
        """Show what is worked on."""
        with self.switch.changed.blocked():
            self.switch.value = classes
        self.list.setVisible(classes)
        self._buttons.setVisible(classes)
        if classes:  # nobody shall paint classes without seeing it
            unfold(self)

    def _press_switch(self, on: bool) -> None:
        session, results = self._session, self._session.results
        results.work_on(classes=on)
        if on:
            self.choose(max(1, self.list.currentRow()))
            if results.classes:
                session.say(TOLD)
        else:
            result = results.current
            if result is not None:
                result.correcting.marks.brush_background(on=False)
            else:  # nobody shall go on painting classes unawares
                session.viewer.layers.selection.active = session.intent.layer
            session.say("" if result is not None else NO_OBJECTS)
        results.changed.emit()

    def choose(self, number: int) -> None:
        """Paint a class from now on; its layer is added if there is none."""
        session = self._session
        if not session.results.classes or not 0 <= number < len(self._class_names.names):
            return
        self._choosing = True
        try:
            result = session.class_result()
        except UNetError as error:
            session.results.work_on(classes=False)
            session.say(str(error))
            return
        finally:
            self._choosing = False
        result.layer.visible = True
        if number:
            result.layer.selected_label = number
        result.correcting.marks.brush_background(on=number == 0)
        session.results.changed.emit()
        self._select(number)

    def _watch(self, result: Result) -> None:
        if result.classes:
            result.layer.events.selected_label.connect(self._follow)

    def _follow(self, *_: Any) -> None:
        """Turn the switch to what the active layer holds."""
        session = self._session
        active = session.viewer.layers.selection.active
        if session.closed or self._choosing or not isinstance(active, Labels):
            return
        for result in session.results.all():
            marks = result.correcting.marks.is_layer(active)
            if marks or active == result.layer:
                changed = session.results.classes != result.classes
                session.results.work_on(classes=result.classes)
                if changed:
                    session.results.changed.emit()
                self._select(0 if marks else int(result.layer.selected_label))

    # ---- the list --------------------------------------------------------------------------

    def _fill(self) -> None:
        """Show the names; items stay, as one of them may just be edited."""
        names = self._class_names.names
        self.list.blockSignals(True)
        for number in range(self.list.count(), len(names)):
            item = QListWidgetItem(_swatch(number), "")
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            self.list.addItem(item)
        while self.list.count() > len(names):
            self.list.takeItem(self.list.count() - 1)
        for number, name in enumerate(names):
            shown = self.list.item(number)
            assert shown is not None, "every class has its item"
            shown.setText(name)
        self.list.blockSignals(False)
        rows = min(ROWS, len(names))
        self.list.setFixedHeight(rows * self.list.sizeHintForRow(0) + 2 * self.list.frameWidth())
        self.add.enabled, self.remove.enabled = len(names) < CLASSES, len(names) > FEWEST

    def _select(self, number: int) -> None:
        self.list.blockSignals(True)
        self.list.setCurrentRow(number if number < len(self._class_names.names) else -1)
        self.list.blockSignals(False)

    def _rename(self, item: QListWidgetItem) -> None:
        names = [*self._class_names.names]
        names[self.list.row(item)] = item.text()
        self._class_names.set(names)

    def _press_add(self) -> None:
        self._class_names.add()
        self.choose(len(self._class_names.names) - 1)
        self.list.scrollToBottom()

    def _press_remove(self) -> None:
        try:
            self._class_names.remove_last()
        except UNetError as error:
            self._session.say(str(error))
            return
        last = len(self._class_names.names) - 1
        self.choose(min(max(0, self.list.currentRow()), last))


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
