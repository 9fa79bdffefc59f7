"""The images of a batch: those that are open, or files; and where each result goes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from napari.layers import Image as ImageLayer

from napari_unet.errors import InputError, UNetError
from napari_unet.execution.slide import Source
from napari_unet.image import Image
from napari_unet.io.formats.facts import Scene, stem_of
from napari_unet.io.images import fit_for_files
from napari_unet.io.results import Target, name_beside, name_outputs
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.region import region_of
from napari_unet.plugin.session.session import Session
from napari_unet.segmentation.batch import BatchItem

NO_FILE = (
    "{} comes from no file, so there is no folder beside it. Press Into a folder… and choose where "
    "the results go."
)


def open_images(session: Session) -> list[ImageLayer]:
    """Return the open images, without the parts of large ones."""
    return [one for one in layers.image_layers(session.viewer) if region_of(one) is None]


def items_of_layers(
    session: Session, images: Sequence[ImageLayer], folder: Path | None
) -> list[BatchItem]:
    """Return the open images as they are now; nothing of them is read.

    Parameters
    ----------
    session : Session
        Knows axes and channels.
    images : sequence of Image layer
        The images.
    folder : Path or None
        Where results go; None = beside the file of each image.

    Raises
    ------
    InputError
        If an image comes from no file, and no folder is given.
    """
    lost = [layer.name for layer in images if _file_of(layer) is None]
    if lost and folder is None:
        raise InputError(NO_FILE.format(lost[0]))
    targets = _targets([_scene(*one, images) for one in enumerate(images)], folder)
    return [
        BatchItem(layer.name, target, _opening(session, layer))
        for layer, target in zip(images, targets, strict=True)
    ]


def items_of_files(
    session: Session, scenes: Sequence[Scene], folder: Path | None
) -> list[BatchItem]:
    """Return images of files, with the channels that are chosen; axes are as the files say.

    Parameters
    ----------
    session : Session
        Knows the channels.
    scenes : sequence of Scene
        The images.
    folder : Path or None
        Where results go; None = beside each file.
    """
    channel = session.intent.channel
    nuclei = session.intent.nuclei if session.takes_nuclei else None
    return [
        BatchItem(
            target.label,
            target,
            Source(target.scene.path, None, channel, None, nuclei, target.scene.name).open,
        )
        for target in _targets(list(scenes), folder)
    ]


def _targets(scenes: list[Scene], folder: Path | None) -> list[Target]:
    return name_beside(scenes) if folder is None else name_outputs(scenes, folder)


def _file_of(layer: ImageLayer) -> Path | None:
    path = layer.source.path
    return Path(path) if path and Path(path).exists() else None


def _scene(number: int, layer: ImageLayer, images: Sequence[ImageLayer]) -> Scene:
    """Return what names the result: the only layer of a file is called as the file is."""
    file = _file_of(layer)
    alone = file is not None and [_file_of(one) for one in images].count(file) == 1
    stem = stem_of(file) if alone and file is not None else layer.name
    return Scene(file or Path(layer.name), index=number, stem=fit_for_files(stem))


def _opening(session: Session, layer: ImageLayer) -> Callable[[], Image]:
    """Describe a layer now, on the main thread; what is wrong with it is told in its turn."""
    try:
        image = _described(session, layer)
    except UNetError as problem:
        text = str(problem)

        def refuse() -> Image:
            raise InputError(text)

        return refuse
    return lambda: image


def _described(session: Session, layer: ImageLayer) -> Image:
    """Describe a layer; one whose channels nobody has chosen has those of the chosen image."""
    image, intent = session.opened(layer), session.intent
    if layer == intent.layer or session.was_given(layer):
        return image
    nuclei = intent.nuclei if session.takes_nuclei else None
    return replace(image, channel=intent.channel, nuclei=nuclei)
