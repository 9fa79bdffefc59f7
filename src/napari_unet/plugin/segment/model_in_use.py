"""Keeps to the model in use when the library changes: follows a new name, tells of a loss."""

from collections.abc import Iterable
from pathlib import Path

from magicgui.widgets import ComboBox

from napari_unet.errors import UNetError
from napari_unet.models.card import sha256_of
from napari_unet.models.library import model_files
from napari_unet.models.store import renamed
from napari_unet.plugin.session.session import Intent, Session

RENAMED = "The model {old!r} is called {new!r} now, and is still the one in use."
GONE = "The model {old!r} is not in the library any more. {new!r} is chosen now."
NONE = "The model {old!r} is not in the library any more, and there is no other."


class ModelInUse:
    """Follows the model that is chosen.

    Parameters
    ----------
    session : Session
        What is worked on.
    box : ComboBox
        Names of the models; its choices come from the library.
    """

    def __init__(self, session: Session, box: ComboBox) -> None:
        self._session, self._box = session, box
        self._file: tuple[Path, int, int] | None = None  # the file the sha256 was taken of
        self._sha = ""
        self._note()
        session.intent_changed.connect(self._on_intent)

    def _on_intent(self, now: Intent, before: Intent) -> None:
        if now.model != before.model:
            self._note()

    def _note(self) -> None:
        """Remember what the chosen file is: once it is gone it cannot be asked."""
        path = model_files().get(self._session.intent.model)
        if path is None:
            return
        try:
            facts = path.stat()
            if self._file != (path, facts.st_mtime_ns, facts.st_size):
                self._sha = sha256_of(path)
                self._file = path, facts.st_mtime_ns, facts.st_size
        except OSError:  # it goes just now, which the folder's watch tells
            self._file, self._sha = None, ""

    def library_changed(self) -> None:
        """Offer the models there are now, and keep to the one in use, whatever it is called."""
        old, sha, known = self._box.value, self._sha, frozenset(map(str, self._box.choices))
        there = model_files()
        if not old or old in there:
            self._box.reset_choices()
            return
        new = self._renamed(sha, known)
        if new:
            with self._box.changed.blocked():  # it is the same model: sliders stay as they are
                self._box.reset_choices()
                self._box.value = new
            self._session.intend(model=new)
        else:
            self._box.reset_choices()
        text = RENAMED if new else GONE if self._box.value else NONE
        self._session.say(text.format(old=old, new=self._box.value))

    def _renamed(self, sha: str, known: Iterable[str]) -> str:
        try:
            return renamed(sha, known) if sha else ""
        except UNetError:  # a damaged file beside it is not what is asked about
            return ""
