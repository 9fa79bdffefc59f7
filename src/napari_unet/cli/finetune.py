"""Command ``napari-unet finetune``: retrain a model from painted label images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unet.cli.telling import CHANNEL
from napari_unet.errors import InputError, UNetError
from napari_unet.settings import FinetuneSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.image import Image
    from napari_unet.io.training_pairs import Pairs
    from napari_unet.models.library import Model
    from napari_unet.training.events import TrainingStep

BAR = 1000  # parts of the progress bar
NOTHING = (
    "There is nothing to learn from. Give --image and --labels, or a folder of --images and one of "
    "--masks."
)
UNUSED = (
    "The channel of nuclei is not used: none of the models to begin with takes nuclei. Name one "
    "that does as --parent."
)


def finetune(  # noqa: PLR0913  one parameter for each option, as typer wants it
    name: Annotated[str, typer.Option(help="Name of the new model in the library.")],
    image: Annotated[
        list[Path] | None, typer.Option(help="Image; give one for each --labels.")
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(help="What was painted on the image: 0 = unlabelled, else an object's id."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of images; each is learned with its mask.")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of masks, named as the images are or with _mask, _labels, … at the end; "
            "complete: 0 = background, else an object's id. Default: beside the images."
        ),
    ] = None,
    parent: Annotated[
        list[str] | None,
        typer.Option(
            help="Model to begin with; of several the one that learns it best. Default: all that "
            "come with the plugin, for classes the first of them."
        ),
    ] = None,
    time: Annotated[
        float, typer.Option(help=f"{FinetuneSettings.model_fields['time_limit'].description} In s.")
    ] = 60.0,
    background: Annotated[
        int | None,
        typer.Option(help="Value in the labels that means background, such as 65535."),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="The --labels are complete: every 0 is background.")
    ] = False,
    axes: Annotated[
        str | None,
        typer.Option(
            help="Of each --image: one letter for each dimension, such as ZYX; C = channels."
        ),
    ] = None,
    channel: Annotated[
        str | None, typer.Option(help=f"Channel to use, {CHANNEL}; default: the average.")
    ] = None,
    nuclei_channel: Annotated[
        str | None,
        typer.Option(
            help=f"Channel of stained nuclei, {CHANNEL}, for a model that takes them as well."
        ),
    ] = None,
    class_names: Annotated[
        str,
        typer.Option(
            help="Names of classes, background first, such as background,cell,debris: the labels "
            "hold classes, and the model tells them apart in the image's own channels."
        ),
    ] = "",
) -> None:
    """Retrain a model from painted labels; it is kept only if it is better."""
    from napari_unet.finetuning import finetune as run  # noqa: PLC0415
    from napari_unet.io.images import read_image  # noqa: PLC0415  quick --help
    from napari_unet.io.training_pairs import check_numbered, read_pairs  # noqa: PLC0415
    from napari_unet.models.parents import competitors  # noqa: PLC0415

    try:
        names = _names(class_names, nuclei_channel)
        given = [
            read_image(file, axes=axes, channel=channel, nuclei=nuclei_channel)
            for file in image or []
        ]
        pairs = _pairs(given, labels or [], background, whole=whole)
        if whole and not names:
            for (_, painted), path in zip(pairs, labels or [], strict=True):
                check_numbered(painted, path)
        found = _folder(images, masks, known=image or [])
        if found is not None:
            pairs += read_pairs(found, channel=channel, nuclei=nuclei_channel, classes=bool(names))
        if not pairs:
            raise InputError(NOTHING)
        begin = parent or competitors()
        if nuclei_channel is not None and not _take_nuclei(begin):
            typer.echo(UNUSED, err=True)
        with typer.progressbar(length=BAR, label=name) as bar:

            def show(event: "TrainingStep") -> None:
                bar.update(int(BAR * min(1, event.seconds / event.limit)) - bar.pos)

            made = run(begin, pairs, name=name, time_limit=time, class_names=names, progress=show)
    except (UNetError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    assert made.report is not None, "a retraining ends with a report"
    typer.echo(made.report.sentence)
    if made.report.outcome == "refused":
        raise typer.Exit(3)
    typer.echo(f"{made.report.outcome}: {made.path}")


def _names(text: str, nuclei: str | None) -> list[str]:
    """Return the names of classes; they are learned without a channel of nuclei."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    if names and nuclei is not None:
        raise InputError(
            f"--class-names and --nuclei-channel {nuclei} were given; a model of classes learns "
            "from all channels of an image alike. Leave out one of the two."
        )
    return names


def _take_nuclei(models: "Sequence[str | Model]") -> bool:
    """Whether any of some models takes a channel of nuclei."""
    from napari_unet.models.library import load_card  # noqa: PLC0415  quick --help

    cards = (load_card(one) if isinstance(one, str) else one.card for one in models)
    return any(card.spec.nuclei for card in cards)


def _pairs(
    images: "list[Image]", labels: list[Path], background: int | None, *, whole: bool
) -> "list[tuple[Image, NDArray[Any]]]":
    import numpy as np  # noqa: PLC0415  quick --help

    from napari_unet.io.images import read_image  # noqa: PLC0415
    from napari_unet.labels.painted import as_painted, take_whole  # noqa: PLC0415

    if len(images) != len(labels):
        raise InputError(
            f"{len(images)} images and {len(labels)} label images were given; one of each belongs "
            "together. Give --image and --labels in pairs."
        )
    pairs: list[tuple[Image, NDArray[Any]]] = []
    for image, label in zip(images, labels, strict=True):
        for notice in image.notices:
            typer.echo(f"{image.name}: {notice}", err=True)
        data: Any = read_image(label, colours=False).data
        paint = np.asarray(data[...])  # a large file is only read when indexed
        painted = take_whole(paint) if whole else as_painted(paint, background=background)
        pairs.append((image, painted))
    return pairs


def _folder(images: Path | None, masks: Path | None, *, known: list[Path]) -> "Pairs | None":
    """Pair a folder's images and masks, without the images that are `known`, and say which."""
    from napari_unet.io.training_pairs import find_pairs  # noqa: PLC0415  quick --help

    if images is None and masks is None:
        return None
    if images is None:
        raise InputError(f"The masks in {masks} belong to images. Give their folder as --images.")
    found = find_pairs(images, masks)
    if found is None:
        raise InputError(f"There are no masks in {images}. Give their folder as --masks.")
    found = found.excluding(known)  # with the labels given, they count once
    typer.echo(found.sentence, err=True)
    return found
