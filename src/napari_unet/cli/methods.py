"""Command line: ``napari-unet methods``, what a paper says of labels."""

from pathlib import Path
from typing import Annotated

import typer

from napari_unet.cli.targets import FAILURES, complain
from napari_unet.errors import InputError


def methods(
    labels: Annotated[Path, typer.Argument(help="Label image that was saved here.")],
    corrected: Annotated[
        int | None,
        typer.Option(help="Number of objects that a person drew, corrected or confirmed."),
    ] = None,
    script: Annotated[
        Path | None, typer.Option(help="Python file to write, which makes the labels again.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="The image the labels were made from, for --script.")
    ] = None,
) -> None:
    """Print sentences for the methods of a paper; write a script that makes the labels again."""
    from napari_unet.io.records import read_record  # noqa: PLC0415  quick --help
    from napari_unet.segmentation.methods import methods_text  # noqa: PLC0415

    try:
        record = read_record(labels) or {}
        typer.echo(methods_text(record, corrected=corrected))
        if script is not None:
            _write(script, record, image, labels)
    except FAILURES as error:
        complain(str(error))
        raise typer.Exit(1) from error


def _write(script: Path, record: dict[str, object], image: Path | None, labels: Path) -> None:
    from napari_unet.io.atomic import write_bytes  # noqa: PLC0415  quick --help
    from napari_unet.io.tiff import read_labels  # noqa: PLC0415  quick --help
    from napari_unet.segmentation.methods import methods_script  # noqa: PLC0415

    if image is None or not image.exists() or script.exists():
        raise InputError(
            f"--script {script} and --image {image} were given; a script needs the image that the "
            "labels were made from, and a file that does not exist yet. Give both."
        )
    made = script.with_name(f"{script.stem}_labels.tif")
    # A folder may hold more than the memory does; the script then says that ids differ.
    numbers = read_labels(labels)[0] if labels.is_file() else None
    text = methods_script(record, image.absolute(), made.absolute(), made=numbers)
    write_bytes(script, text.encode("utf-8"))
