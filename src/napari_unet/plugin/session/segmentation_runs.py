"""Runs that fill the result of an image: the chosen part of it, all of it anew, or its sliders."""

import weakref

from napari.layers import Image as ImageLayer

from napari_unet.errors import InputError, UNetError
from napari_unet.execution.probability_maps import ProbabilityMapCache
from napari_unet.image import Box, Image
from napari_unet.models.class_names import names_of
from napari_unet.models.library import load_card, load_model
from napari_unet.planning.planner import Where
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.rectangles import selected_box
from napari_unet.plugin.result.incremental import IncrementalSegmentation, is_large
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.result.slide_result import SlideResult, slide_results
from napari_unet.plugin.session.open_region import Wanted, open_view
from napari_unet.plugin.session.result_registry import NO_IMAGE
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.session import PLANE, RECTANGLE, VIEW, WHOLE, Session
from napari_unet.segmentation import segment_events

FLAT = "Planes are segmented in 2-D. Switch to the 2-D view and press Segment."
STALE = (
    "Another model is in use now, but what is shown was found by the one before: planes are "
    "segmented in 2-D. Switch to the 2-D view and press Segment."
)
OTHERS = (
    "These are labels of another model or other settings, beside the earlier ones. What was put "
    "back into those is not in these: choose the part and press Put back again."
)
LOOKING = "Looking at the image…"
LATER = "The sliders act when the run that goes on has ended."
NO_MAPS = (
    "The sliders have nothing to act on: of what is shown here no run has kept what the network "
    "said. Press Segment."
)
BESIDE = frozenset({Activity.SEGMENTING, Activity.SAVING})  # a run replaces one, and may save


def segment(session: Session) -> None:
    """Segment what is chosen of the chosen image.

    Raises
    ------
    UNetError
        If that is not possible, with what to do.
    """
    layer = session.intent.layer
    if layer is None:
        raise InputError(NO_IMAGE)
    _check_turn(session, FLAT)
    image = session.opened(layer)
    if not is_large(image):
        _segment(session, layer, image, part_of(session, layer, image, session.cache))
    elif session.intent.region in (WHOLE, PLANE):
        _segment_large(session, layer, image)
    else:
        region = part_of(session, layer, image, None).region
        box = region or Box((0, 0), (0, 0))  # nothing of it is shown
        plane = layers.current_plane(session.viewer, layer, image)
        open_view(session, Wanted(layer, image, plane, box), lambda _part: segment(session))


def _check_turn(session: Session, flat: str) -> None:
    """Raise `InputError` if no run can begin now; in the 3-D view its text is `flat`."""
    reason = session.runs.reason_to_wait("press Segment", BESIDE)
    if reason is None and session.viewer.dims.ndisplay == 3:
        reason = flat
    if reason is not None:
        raise InputError(reason)


def part_of(
    session: Session, layer: ImageLayer, image: Image, cache: ProbabilityMapCache | None
) -> Where:
    """Return what is chosen of an image, beginning where the person looks."""
    plane = (layers.current_plane(session.viewer, layer, image),)
    view = layers.visible_box(session.viewer, layer, image)
    wanted, region = session.intent.region, None
    if wanted == VIEW and view.size:
        region = view
    elif wanted == RECTANGLE:
        region = selected_box(session.viewer, layer, image)
    return Where(
        region=region,
        planes=None if wanted == WHOLE else plane,
        centre=view.centre if view.size else None,
        cache=cache,
        first=plane[0],
    )


def _segment(session: Session, layer: ImageLayer, image: Image, where: Where) -> None:
    settings = session.settings()
    model = load_model(settings.model)
    classes = not model.card.finds_objects
    session.results.work_on(classes=classes)
    if classes:
        session.class_names.adopt(names_of(model.card))
    result = session.results.make(layer, image, classes=classes)
    result.image = image
    result.begin(settings)
    session.viewer.layers.selection.active = result.layer  # ready to be painted on
    session.say(LOOKING)
    events = segment_events(image, model, settings, session.engine, where=where)
    session.runs.start(events, result)


def _segment_large(session: Session, layer: ImageLayer, image: Image) -> None:
    """Segment a large image into a folder, or go on with what is there."""
    where = part_of(session, layer, image, None)
    plane = layers.current_plane(session.viewer, layer, image)
    only = session.intent.region == PLANE
    result = _slide_result(session, layer, image)
    session.say(LOOKING)
    events = result.incremental.events(session.engine, plane, where.centre, only=only)
    session.runs.start(events, result)


def _slide_result(session: Session, layer: ImageLayer, image: Image) -> SlideResult:
    """Return labels that go on, or new ones for another model or other settings."""
    settings = session.settings()
    model = load_model(settings.model)
    there = slide_results(session.viewer, layer)
    for result in there:
        if result.incremental.goes_on(image, model, settings):
            return result
    note = OTHERS if any(result.incremental.edits for result in there) else ""
    output = session.scratch.reserve().with_suffix(".zarr")
    incremental = IncrementalSegmentation(output, image, model, settings)
    return SlideResult(session.viewer, weakref.ref(layer), incremental, note=note)


def segment_again(session: Session, result: Result) -> None:
    """Segment a result's image anew, with the model in use now, around the corrections.

    All of it that was segmented before, whatever *Where* says: objects of two models side by
    side would pass for those of the new one. A model of another kind can say nothing about it:
    then only what is painted stays.
    """
    source = result.source()
    if source is None or source not in session.viewer.layers:
        return
    session.runs.drop()
    session.choose(source)
    try:
        if result.classes != (load_card(session.intent.model).kind == "classes"):
            result.forget()
        else:
            _check_turn(session, STALE)
            image = session.opened(source)
            view = layers.visible_box(session.viewer, source, image)
            centre = view.centre if view.size else None
            plane = layers.current_plane(session.viewer, source, image)
            where = result.everywhere(centre, plane, session.cache)
            _segment(session, source, image, where)
    except UNetError as error:
        session.say(str(error))


def decode_again(session: Session) -> bool:
    """Make the objects of the chosen image anew with the thresholds chosen now.

    Returns
    -------
    bool
        False if it is to be asked for again when the run that goes on has ended.
    """
    layer, result = session.intent.layer, session.results.current
    if session.closed or session.runs.doing(Activity.RETRAINING):
        return True
    if layer is None or result is None or result.plan is None or result.classes:
        return True
    if session.runs.segmenting and not session.runs.decoding:
        session.say(LATER)
        return False
    session.runs.drop()
    view = layers.visible_box(session.viewer, layer, result.image)
    plane = layers.current_plane(session.viewer, layer, result.image)
    blocks = result.to_decode(view, plane)
    if not blocks:
        session.say(NO_MAPS)
        return True
    # What made the result stays as it was, whatever else is chosen in the panel by now.
    result.begin(result.settings.model_copy(update={"decode": session.intent.decode}))
    events = result.decode_again(session.engine, blocks)
    session.runs.start(events, result, decoding=True)
    return True
