"""Input widgets made from the settings' own definitions: range, unit, label and help."""

from typing import Any

from magicgui.widgets import ComboBox, Container, create_widget
from pydantic.fields import FieldInfo
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QSizePolicy

from napari_unet.settings import Settings

SHORTEST = 10  # characters of a choice that are seen in any case
# Of a file and a button whose dialog has asked about the name as it was typed.
NOT_ASKED = (
    "{} exists already, and the name was given without its ending, so nobody has asked whether to "
    "replace it. Press {} again and choose that file, or another name."
)


def field_widget(settings: type[Settings], name: str, widget_type: str, **options: Any) -> Any:
    """Make the widget of one setting.

    Parameters
    ----------
    settings : type of Settings
        Where the setting is defined.
    name : str
        Its name there, which becomes the widget's.
    widget_type : str
        magicgui's name of the widget.
    **options
        Passed on, winning over what the definition says.
    """
    info = settings.model_fields[name]
    extra = info.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else None
    label = f"{info.title} ({unit})" if unit else info.title
    limits = {"min": _limit(info, "ge", "gt"), "max": _limit(info, "le", "lt")}
    given = {key: value for key, value in limits.items() if value is not None}
    value = options.pop("value", info.default)
    widget = create_widget(
        value=value,
        name=name,
        label=str(label),
        widget_type=widget_type,
        options={"tooltip": info.description, **given, **options},
    )
    widget.native.setToolTip(widget.tooltip)  # also of a slider's number, which magicgui leaves out
    if options.get("step", 0) >= 1:  # what is set in whole steps is shown without hundredths
        for box in (widget.native, *widget.native.findChildren(QDoubleSpinBox)):
            if isinstance(box, QDoubleSpinBox):
                box.setDecimals(1 if box is widget.native else 0)
    return widget


class LayerBox(ComboBox):
    """Choice of a layer, which stays chosen when it gets another name."""

    def reset_choices(self, *_: Any) -> None:
        """Offer what there is now; napari asks for it, too, whenever a layer is renamed."""
        chosen = self.value
        with self.changed.blocked():  # magicgui tells choices apart by their names
            super().reset_choices()
            if chosen in self.choices:
                self.value = chosen
        if self.value != chosen:
            self.changed.emit(self.value)


def offer(widget: Any, tip: str, missing: str = "") -> None:
    """Let a person use a magicgui widget, or grey it out with what is missing as its tooltip."""
    widget.enabled, widget.tooltip = not missing, missing or tip


def keep_narrow(combo: Any) -> None:
    """Let a combo box be narrower than its longest choice, the name of a file or a layer."""
    native = combo.native
    native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    native.setMinimumContentsLength(SHORTEST)


def keep_wrapped(label: Any) -> None:
    """Let a label break its text instead of widening the panel."""
    native = label.native
    native.setWordWrap(True)
    native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)


def side_by_side(*widgets: Any) -> QHBoxLayout:
    """Return a row of magicgui widgets."""
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget.native)
    return row


def row_of(*widgets: Any) -> Container[Any]:
    """Return a row of magicgui widgets as a widget."""
    row: Container[Any] = Container(widgets=widgets, layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row


def _limit(info: FieldInfo, *names: str) -> float | None:
    for part in info.metadata:
        for name in names:
            if hasattr(part, name):
                return float(getattr(part, name))
    return None
