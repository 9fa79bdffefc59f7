"""Link planes: the box and the settings of linking, and what came of it."""

from typing import Any

from magicgui.widgets import CheckBox, Container
from qtpy.QtCore import QTimer

from napari_unet.plugin.linking.linked_results import LinkedResults
from napari_unet.plugin.session.session import Intent, Session
from napari_unet.plugin.widgets.fold import Fold
from napari_unet.plugin.widgets.setting_widgets import field_widget
from napari_unet.plugin.widgets.wrapping_text import Wrapped
from napari_unet.settings import LinkSettings

LOOK = 200  # milliseconds between looks at how far it is
SETTLED = 600  # milliseconds a setting must rest before planes are linked anew
TOOLTIP = (
    "Make objects through Z, and tracks through time, of what the planes show. Save labels… then "
    "saves these. Untick it to stop, or to keep each plane by itself."
)
WIDGETS = {
    "least_overlap": ("FloatSpinBox", {"step": 0.05}),
    "waist": ("FloatSpinBox", {"step": 0.05}),
    "gap": ("SpinBox", {}),
    "most_distance": ("FloatSpinBox", {"step": 0.25}),
    "divisions": ("CheckBox", {}),
    "smallest_diameter": ("FloatSpinBox", {"step": 1.0}),
}


class LinkPlanes(Container):  # type: ignore[type-arg]
    """Box that is ticked where planes are to be linked, how, and what came of it.

    Parameters
    ----------
    session : Session
        What is worked on.

    Attributes
    ----------
    results : LinkedResults
        What was linked.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(labels=False, visible=False)
        self.results = LinkedResults(session)
        self.link = CheckBox(text="Link planes", value=True, tooltip=TOOLTIP)
        self.told = Wrapped()
        self.settings = {
            name: field_widget(LinkSettings, name, kind, **options)
            for name, (kind, options) in WIDGETS.items()
        }
        self._form: Container[Any] = Container(labels=True)
        self._form.extend(self.settings.values())  # all at once they would not be aligned
        self._form.margins = self.margins = (0, 0, 0, 0)
        self.fold = Fold("How planes are linked", self._form.native)
        self._look, self._settle = QTimer(self.native), QTimer(self.native)
        self._lay_out()
        self._connect(session)

    def _lay_out(self) -> None:
        self.append(self.link)
        layout = self.native.layout()
        layout.addWidget(self.told)
        layout.addWidget(self.fold)
        self._settle.setSingleShot(True)

    def _connect(self, session: Session) -> None:
        self.link.changed.connect(self._press)
        for widget in self.settings.values():
            widget.changed.connect(lambda _value: self._settle.start(SETTLED))
        self._settle.timeout.connect(self._press)
        self._look.timeout.connect(self._tell)
        session.results.changed.connect(self.refresh)
        session.intent_changed.connect(self._on_intent)
        session.closing.connect(self._close)
        self.results.changed.connect(self._tell)
        self.results.failed.connect(self._fail)

    @property
    def running(self) -> bool:
        """Whether planes are being linked, or will be in a moment."""
        return self.results.running or self._settle.isActive()

    def refresh(self) -> None:
        """Show the box where there are planes, and what was found; link what was not yet."""
        target = self.results.current
        self.visible = target is not None
        if target is not None:
            self.fold.setVisible(bool(self.link.value))
            lengths = zip(target.image.leading_axes, target.image.leading_shape, strict=True)
            axes = {axis for axis, length in lengths if length > 1}
            for name, widget in self.settings.items():
                widget.visible = bool(axes & acting_along(name))
        self.results.look()
        self._tell()

    def _on_intent(self, now: Intent, before: Intent) -> None:
        if now.layer is not before.layer:
            self.refresh()

    def _press(self, *_: Any) -> None:
        """Do what the box and the settings say."""
        self._settle.stop()
        values = {name: widget.value for name, widget in self.settings.items()}
        self.results.want(bool(self.link.value), LinkSettings(**values))
        self.refresh()

    def _close(self) -> None:
        self._settle.stop()
        self._look.stop()

    def _tell(self) -> None:
        """Show how far it is, or what was found."""
        target = self.results.current
        share = self.results.share_done(target) if target is not None else None
        made = self.results.of(target)
        if share is not None:
            self.told.say(f"Linking planes: {100 * share:.0f} %")
            self._look.start(LOOK)
        else:
            self._look.stop()
            self.told.say(made.linked.copy.links.summary if made is not None else "")

    def _fail(self, problem: str) -> None:
        self._tell()
        self.told.say(problem)


def acting_along(name: str) -> set[str]:
    """Return the axes along which a setting acts."""
    extra = LinkSettings.model_fields[name].json_schema_extra
    return set(str(extra["axes"])) if isinstance(extra, dict) else set()
