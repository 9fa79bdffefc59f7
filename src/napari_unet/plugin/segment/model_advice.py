"""Chooses the bundled model that fits an image, until the person has chosen one."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from napari_unet.errors import UNetError
from napari_unet.execution.class_map_cache import ClassMapCache
from napari_unet.execution.events import Event
from napari_unet.image import Image
from napari_unet.models.library import Model, bundled_models
from napari_unet.planning.model_selection import best_model
from napari_unet.planning.planner import Where
from napari_unet.plugin.layers import layers
from napari_unet.plugin.session.part import Part
from napari_unet.plugin.widgets.jobs import Job

if TYPE_CHECKING:
    from napari_unet.plugin.segment_panel import SegmentPanel

FITS = (
    "{name} knows more of what is in this image than {other}, so it is chosen. Press Segment, or "
    "choose another model first."
)


class ModelAdvice(Part):
    """Looks at each new image with every bundled model, in the background.

    A model that the person chose, or that was retrained, is never replaced.
    """

    def __init__(self, host: "SegmentPanel", cache: ClassMapCache) -> None:
        super().__init__(host)
        self._cache = cache
        self._job: Job | None = None
        self._own = host.model.value  # what was chosen here, or at the beginning
        host.image.changed.connect(self.look)

    @property
    def running(self) -> bool:
        """Whether an image is being looked at."""
        return self._job is not None and self._job.running

    def stop(self) -> None:
        """Stop looking, because the engine has something else to do."""
        if self._job is not None and self._job.running:
            self._job.cancel()

    def look(self, *_: Any) -> None:
        """Look at the chosen image, if the choice of the model is still open."""
        host = self._host
        self.stop()
        layer = host.image.value
        if host.closed or layer is None or host.busy or host.has_result(layer):
            return
        if host.model.value != self._own or self._viewer.dims.ndisplay == 3:
            return
        image = host.describe(layer, quietly=True)
        if image is None:
            return
        plane = layers.current_plane(self._viewer, layer, image)
        events = self._events(image, Where(planes=(plane,)))
        self._job = Job(events, lambda event: self._advise(event, layer), lambda _problem: None)
        self._job.start()

    def _events(self, image: Image, where: Where) -> Generator[Event | Model, None, None]:
        try:
            models = bundled_models()
        except UNetError:  # a damaged one is told when it is used
            return
        if len(models) > 1:
            found = yield from best_model(
                image, models, self._host.engine, where, self._cache.reserve()
            )
            yield found

    def _advise(self, event: Event | Model, layer: Any) -> None:
        if not isinstance(event, Model) or self._host.image.value is not layer:
            return
        box = self._host.model
        if box.value != self._own or event.card.name not in box.choices:
            return
        other, self._own = box.value, event.card.name
        if other != event.card.name:
            box.value = event.card.name
            self._host.say(FITS.format(name=event.card.name, other=other))
