"""Command ``napari-unet finetune``: retrain a model from painted label images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unet.errors import InputError, UNetError
from napari_unet.settings import FinetuneSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.image import Image
    from napari_unet.learning import Learning

BAR = 1000  # parts of the progress bar


def finetune(  # noqa: PLR0913  one parameter for each option, as typer wants it
    image: Annotated[list[Path], typer.Option(help="Image; give one for each --labels.")],
    labels: Annotated[
        list[Path],
        typer.Option(help="What was painted on the image: 0 = unlabelled, else an object's id."),
    ],
    name: Annotated[str, typer.Option(help="Name of the new model in the library.")],
    parent: Annotated[str, typer.Option(help="Model to begin with.")] = "nuclei",
    time: Annotated[
        float, typer.Option(help=f"{FinetuneSettings.model_fields['time_limit'].description} In s.")
    ] = 60.0,
    background: Annotated[
        int | None,
        typer.Option(help="Value in the labels that means background, such as 65535."),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="The labels are complete: every 0 is background.")
    ] = False,
) -> None:
    """Retrain a model from painted labels; it is kept only if it is better."""
    from napari_unet.retraining import finetune as run  # noqa: PLC0415  quick --help

    try:
        pairs = _pairs(image, labels, background, whole=whole)
        with typer.progressbar(length=BAR, label=name) as bar:

            def show(event: "Learning") -> None:
                bar.update(int(BAR * min(1, event.seconds / event.limit)) - bar.pos)

            made = run(parent, pairs, name=name, time_limit=time, progress=show)
    except (UNetError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    assert made.report is not None, "a retraining ends with a report"
    typer.echo(made.report.sentence)
    if made.report.outcome == "refused":
        raise typer.Exit(3)
    typer.echo(f"{made.report.outcome}: {made.path}")


def _pairs(
    images: list[Path], labels: list[Path], background: int | None, *, whole: bool
) -> "list[tuple[Image, NDArray[Any]]]":
    import numpy as np  # noqa: PLC0415  quick --help

    from napari_unet.corrections import as_painted, take_whole  # noqa: PLC0415
    from napari_unet.io.images import read_image  # noqa: PLC0415

    if len(images) != len(labels):
        raise InputError(
            f"{len(images)} images and {len(labels)} label images were given; one of each belongs "
            "together. Give --image and --labels in pairs."
        )
    pairs: list[tuple[Image, NDArray[Any]]] = []
    for image, label in zip(images, labels, strict=True):
        paint = np.asarray(read_image(label).data)
        painted = take_whole(paint) if whole else as_painted(paint, background=background)
        pairs.append((read_image(image), painted))
    return pairs
