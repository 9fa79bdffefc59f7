"""What a retraining learns from: windows around paint, and the card of the new model.

No torch is needed, so this happens where the images are.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from datetime import date
from itertools import zip_longest
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from napari_unet.errors import InputError
from napari_unet.execution.events import Waiting
from napari_unet.image import Image
from napari_unet.journal.identity import identity_of
from napari_unet.labels.painted import (
    BACKGROUND,
    CLASSES,
    as_painted,
    check_enough,
    number_strokes,
    painted_ids,
)
from napari_unet.models.card import ModelCard
from napari_unet.models.library import Model
from napari_unet.models.parents import refuse_imported
from napari_unet.network.outputs import Kind
from napari_unet.planning.planner import grey_values
from napari_unet.settings import MOST_DIAMETER, FinetuneSettings
from napari_unet.training.events import FinetuneInputs
from napari_unet.training.windows import (
    Painting,
    painted_diameter,
    smallest_diameter,
    taught_diameters,
    training_windows,
)

Result = TypeVar("Result")


def gather(
    paintings: Sequence[Painting],
    parent: Model,
    name: str,
    settings: FinetuneSettings,
    *,
    class_names: Sequence[str] = (),
) -> FinetuneInputs:
    """Cut out what was painted; raises `InputError` if it is too little to learn from.

    Parameters
    ----------
    paintings : sequence of Painting
        Images and what was painted on them.
    parent : Model
        The model to begin with.
    name : str
        Name of the new model.
    settings : FinetuneSettings
        Time and seed.
    class_names : sequence of str, optional
        Name of each class, background first, where classes were painted; default objects were.
    """
    if not (parent.card.finds_objects or class_names):
        raise InputError(
            f"The model {parent.card.name!r} tells classes apart, and objects were painted. Name "
            "the classes if the labels hold classes, or begin with a model that finds objects, "
            "such as 'nuclei'."
        )
    painted = [p.painted for p in paintings]
    check_enough(painted, classes=bool(class_names))
    card = {
        "name": name,
        "parent": parent.card.name,
        "parent_sha": parent.sha,
        "created": date.today().isoformat(),
        "images": len(paintings),
        "taught_images": tuple(sorted(identity_of(p.image) for p in paintings)),
        "painted_objects": sum(len(p.objects) for p in paintings),
        "painted_background": sum(int((p == BACKGROUND).sum()) for p in painted),
        "usual_diameter": None,
        "taught_diameters": None,
    }
    if class_names:
        card |= _class_card(paintings, parent, class_names)
        strokes = [number_strokes(p) for p in painted]
        paintings = [replace(p, painted=s) for p, s in zip(paintings, strokes, strict=True)]
    else:
        card |= _sizes(paintings, parent.card)
    wanted = parent.card.child(parent.sha, **card)
    return FinetuneInputs(parent, training_windows(paintings, wanted), card, settings)


def gather_all(
    pairs: Sequence[tuple[Image, ArrayLike]],
    parents: Sequence[Model],
    name_for: Callable[[Model], str],
    settings: FinetuneSettings,
    *,
    class_names: Sequence[str] = (),
    seen: Sequence[float | None] = (),
) -> Generator[Waiting, None, FinetuneInputs]:
    """Cut out what was painted for each parent, as it would see the images.

    Parameters
    ----------
    pairs : sequence of (Image, painted)
        Images and what was painted on them; see `labels.painted.as_painted`.
    parents : sequence of Model
        Models that compete; where classes are painted only the first is trained.
    name_for : callable
        Gives the name of the new model by its parent.
    settings : FinetuneSettings
        Time and seed.
    class_names : sequence of str, optional
        See `gather`.
    seen : sequence of float or None, optional
        Of the first pairs, the diameter that the model in use took the objects for, image pixels:
        the new model is compared with what the person has. Default: what is painted.

    Yields
    ------
    Waiting
        Between steps that take a while.

    Raises
    ------
    ModelError
        If a parent is an imported network, which cannot learn.
    """
    for parent in parents:
        refuse_imported(parent.card)
    views: dict[tuple[str, int, bool], list[Painting]] = {}
    for parent in parents[:1] if class_names else parents:
        paintings = views.setdefault(_view(parent.card), [])
        for (image, painted), size in zip_longest(pairs, seen) if not paintings else ():
            yield Waiting()
            card = class_parent(parent.card, image, class_names) if class_names else parent.card
            paintings.append(replace(painting_of(image, painted, card), seen=size))
    _note_dark(list(views.values()))
    inputs = []
    for parent in parents[:1] if class_names else parents:
        yield Waiting()
        paintings, name = views[_view(parent.card)], name_for(parent)
        inputs.append(gather(paintings, parent, name, settings, class_names=class_names))
    first, *others = inputs
    return replace(first, others=tuple(others))


def _view(card: ModelCard) -> tuple[str, int, bool]:
    """What of a model decides the grey values that it sees an image with."""
    return card.polarity, card.spec.in_channels, card.spec.nuclei


def _note_dark(views: Sequence[list[Painting]]) -> None:
    """Note for all views of an image that one of them is inverted."""
    for number in range(len(views[0])):
        limits = [pair for view in views for pair in view[number].limits]
        if any(low > high for low, high in limits):
            for view in views:
                view[number] = replace(view[number], dark=True)


def _sizes(paintings: Sequence[Painting], parent: ModelCard) -> dict[str, Any]:
    """What a model's card says of the size of the painted objects, if there are any."""
    typical, between = painted_diameter(paintings), taught_diameters(paintings)
    if typical is None or between is None:
        return {}
    if max(typical, between[1]) > MOST_DIAMETER:
        raise InputError(
            f"The painted objects are up to {max(typical, between[1]):.0f} px across; at most "
            f"{MOST_DIAMETER} px can be learned. Make the image smaller first, or, if many objects "
            "have the same id, number them."
        )
    decode = parent.decode.with_smallest(smallest_diameter(typical, between[0]))
    return {"usual_diameter": typical, "taught_diameters": between, "decode": decode.model_dump()}


def class_parent(parent: ModelCard, image: Image, class_names: Sequence[str]) -> ModelCard:
    """Card of the network that learns classes from an image's own channels."""
    channels = 1 if image.channel is not None else image.channels
    classes = min(max(2, len(class_names)), CLASSES)
    spec = parent.spec.for_classes(channels, classes)
    polarity = parent.polarity if channels == 1 else "given"  # channels keep their relations
    return parent.model_copy(update={"spec": spec, "kind": Kind.CLASSES, "polarity": polarity})


def _class_card(
    paintings: Sequence[Painting], parent: Model, class_names: Sequence[str]
) -> dict[str, Any]:
    """What a class model's card says besides; all images need the same channels."""
    specs = {class_parent(parent.card, p.image, class_names).spec for p in paintings}
    highest = max((int(i) for p in paintings for i in painted_ids(p.painted)), default=0)
    if len(specs) > 1 or highest >= len(class_names):
        raise InputError(
            f"{len(class_names)} classes are named and class {highest} is painted; images with "
            f"{sorted(s.in_channels for s in specs)} channels are given. Name every class, "
            "background first, and give images with equal channels."
        )
    [spec] = specs
    polarity = class_parent(parent.card, paintings[0].image, class_names).polarity
    return {
        "kind": Kind.CLASSES,
        "spec": spec.to_dict(),
        "class_names": tuple(class_names),
        "polarity": polarity,
    }


def painting_of(
    image: Image, painted: ArrayLike, card: ModelCard, *, background: int | None = None
) -> Painting:
    """Check that paint fits an image, and look at the image's grey values as `segment` does.

    Parameters
    ----------
    image : Image
        The image.
    painted : array-like
        ``(..., Y, X)``; see `labels.painted.as_painted`.
    card : ModelCard
        The model that will learn.
    background : int, optional
        A value in `painted` that means background.
    """
    image = image.for_model(nuclei=card.spec.nuclei)
    paint = as_painted(np.asarray(painted), background=background)
    if paint.shape != image.labels_shape:
        raise InputError(
            f"The painted array has the shape {paint.shape}, the image needs {image.labels_shape}. "
            "Give the labels that were painted on this image."
        )
    return Painting(image, paint, at_once(grey_values(image, card)))


def at_once(steps: Generator[Any, None, Result]) -> Result:
    """Take all steps of a generator and return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Result = end.value
            return found
