"""What a retraining learns from: what is painted on the open images, and a folder of pairs."""

from pathlib import Path

from napari_unet.errors import UNetError
from napari_unet.finetuning.in_engine import RetrainRequest
from napari_unet.image import Image
from napari_unet.io.training_pairs import Pairs
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.session import Session
from napari_unet.settings import FinetuneSettings

LEFT_OUT = "Left out, because its array was replaced by one of another shape or kind: {names}."
BOTH = {
    True: "Objects are painted too; the classes are learned. To learn the "
    "objects, untick the box 'Paint classes instead of objects'.",
    False: "Classes are painted too; the objects are learned. To learn the "
    "classes, tick the box 'Paint classes instead of objects'.",
}


def class_names_to_train(session: Session, *, objects: bool = False) -> tuple[tuple[str, ...], str]:
    """Return the names of the classes if they are to be learned; and why, if one may wonder.

    The kind that is worked on decides, unless only one of objects and classes is painted.

    Parameters
    ----------
    session : Session
        What is worked on; its kind follows what is learned.
    objects : bool, default False
        Whether there are objects to learn besides those that are painted.
    """
    results = session.results
    painted = {False: objects, True: False}
    for result in results.all():
        result.correcting.look_everywhere()
        painted[result.classes] |= result.correcting.any
    classes = results.classes or (painted[True] and not painted[False])
    if classes != results.classes:
        results.work_on(classes=classes)
        results.changed.emit()
    names = session.class_names.names if classes else ()
    return names, BOTH[classes] if all(painted.values()) else ""


def gather_request(
    session: Session,
    settings: FinetuneSettings,
    folder: Pairs | None,
    session_models: frozenset[str],
) -> tuple[RetrainRequest, str]:
    """Copy all that is painted.

    Parameters
    ----------
    session : Session
        What is worked on.
    settings : FinetuneSettings
        Time and seed.
    folder : Pairs or None
        Files to learn objects from as well.
    session_models : frozenset of str
        sha256 of the models that were made of this session's paint.

    Returns
    -------
    request : RetrainRequest
        What is learned from.
    left_out : str
        A sentence about paint that cannot be used; empty if all can.
    """
    pairs, files = [], set[Path]()
    seen: list[float | None] = []
    names, remark = class_names_to_train(session, objects=folder is not None)
    replaced = session.results.replaced(classes=bool(names))
    left_out = LEFT_OUT.format(names=", ".join(replaced)) if replaced else ""
    for result in session.results.all(classes=bool(names)):
        painted, source = result.painted(), result.source()
        if painted.any():
            pairs.append((_image_of(session, result), painted))
            seen.append(_seen_diameter(result, session.intent.model))
            if source is not None and source.source.path:
                files.add(Path(source.source.path))
    request = RetrainRequest(
        pairs,
        session.intent.model,
        session_models,
        settings,
        tuple(seen),
        names,
        f"{remark} {left_out}".strip(),
        folder=None if names else folder,
        painted_files=frozenset(files),
        channel=session.intent.channel,
        nuclei=session.intent.nuclei,
    )
    return request, left_out


def _image_of(session: Session, result: Result) -> Image:
    """Return an image with the channels chosen now, which Segment will give to the new model.

    Of the models that compete, those that take nuclei are given them.
    """
    source = result.source()
    try:
        image = session.opened(source, nuclei=True) if source is not None else result.image
    except UNetError:  # the axes that are typed now do not fit
        return result.image
    return image if result.fits(image) else result.image


def _seen_diameter(result: Result, model: str) -> float | None:
    """Return what a model took the objects for; None if it is not what is shown."""
    plan = result.plan
    return plan.diameter if plan is not None and result.settings.model == model else None
