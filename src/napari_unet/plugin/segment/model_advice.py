"""Chooses the bundled model that fits an image, until the person has chosen one."""

import logging
from collections.abc import Generator

from napari.layers import Image as ImageLayer

from napari_unet.errors import UNetError
from napari_unet.execution.events import Event
from napari_unet.image import Image
from napari_unet.models.library import Model, bundled_models, model_files
from napari_unet.planning.model_selection import best_model
from napari_unet.planning.planner import Where
from napari_unet.plugin.layers import layers
from napari_unet.plugin.session.session import Intent, Session
from napari_unet.plugin.widgets.background import BackgroundTask

log = logging.getLogger(__name__)
FITS = (
    "{name} fits the cells of this image better than {other}, so it was chosen. Press Segment, or "
    "choose another model first."
)


class ModelAdvice:
    """Looks at each new image, or other channel, with every bundled model, in the background.

    A model that the person chose, or that was retrained, is never replaced.

    Parameters
    ----------
    session : Session
        What is worked on.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._task: BackgroundTask | None = None
        self._own = session.intent.model  # what was chosen here, or at the beginning
        session.intent_changed.connect(self._on_intent)
        session.runs.making_way.connect(self.stop)

    @property
    def running(self) -> bool:
        """Whether the models are being compared."""
        return self._task is not None and self._task.running

    def stop(self) -> None:
        """Stop comparing, because the engine has something else to do."""
        if self._task is not None and self._task.running:
            self._task.cancel()

    def _on_intent(self, now: Intent, before: Intent) -> None:
        if now.layer is not before.layer or (now.axes, now.channel) != (
            before.axes,
            before.channel,
        ):
            self.ask()

    def ask(self) -> None:
        """Ask which model fits the chosen image, if the choice of the model is still open."""
        session = self._session
        self.stop()
        layer = session.intent.layer
        if session.closed or layer is None or session.runs.busy or session.results.has(layer):
            return
        if session.intent.model != self._own or session.viewer.dims.ndisplay == 3:
            return
        image = session.describe(layer, quietly=True)
        if image is None:
            return
        plane = layers.current_plane(session.viewer, layer, image)
        events = self._events(image, Where(planes=(plane,)))
        self._task = BackgroundTask(events, lambda event: self._advise(event, layer), _note)
        self._task.start()

    def _events(self, image: Image, where: Where) -> Generator[Event | Model, None, None]:
        try:
            models = bundled_models()
        except UNetError:  # a damaged one is told when it is used
            return
        if len(models) > 1:
            session = self._session
            found = yield from best_model(
                image, models, session.engine, where, session.cache.reserve()
            )
            yield found

    def _advise(self, event: Event | Model, layer: ImageLayer) -> None:
        session = self._session
        if not isinstance(event, Model) or session.intent.layer is not layer:
            return
        name, other = event.card.name, session.intent.model
        if other != self._own or name not in model_files():
            return
        self._own = name
        if other != name:
            session.intend(model=name)
            session.say(FITS.format(name=name, other=other))


def _note(problem: str | None) -> None:
    """Keep what went wrong in the log: nobody has asked for advice."""
    if problem is not None:
        log.warning("no model could be advised: %s", problem)
