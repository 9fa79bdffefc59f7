"""Command line: ``napari-unet models``, the library of models."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from napari_unet.errors import ModelError, UNetError
from napari_unet.models import store
from napari_unet.models.bioimage_io.packages import is_package
from napari_unet.models.card import describe, plain, read_card, sha256_of
from napari_unet.models.library import find_model, lineage, model_files

models_app = typer.Typer(no_args_is_help=True, help="The library of models.")

Name = Annotated[str, typer.Argument(help="Name of a model in the library.")]
NewName = Annotated[str, typer.Argument(help="Name to give it.")]


@contextlib.contextmanager
def _complaining() -> Iterator[None]:
    """Say in one line what went wrong, and end with 1."""
    try:
        yield
    except (UNetError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error


@models_app.command("list")
def list_models() -> None:
    """List the models of the library."""
    for name, path in model_files().items():
        try:
            card = read_card(path)
        except UNetError as error:
            typer.echo(f"{plain(name)}\tunusable: {error}")
            continue
        typer.echo(
            f"{plain(name)}\t{card.kind}, objects of about {card.object_diameter:g} px\t{path}"
        )


@models_app.command()
def show(name: Name) -> None:
    """Show what a model is, and the models it was made from."""
    with _complaining():
        cards = [model.card for model in lineage(name)]
    for title, value in describe(cards[0]):
        typer.echo(f"{title + ':':13} {value}")
    typer.echo(f"{'sha256:':13} {sha256_of(find_model(name))}")
    if len(cards) > 1:
        line = " < ".join(plain(card.name) for card in cards)
        typer.echo(f"{'Lineage:':13} {line}")


@models_app.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(help="Model file, or package of BioImage.IO: a .zip, a folder or its YAML."),
    ],
    outputs: Annotated[
        str,
        typer.Option(
            help="Of a package: what each output channel is, such as foreground,boundary; also "
            "background, distance, class and ignored. Default: what their names say.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Check a model and copy it into the library."""
    with _complaining():
        if is_package(file):
            from napari_unet.models.bioimage_io.importing import (  # noqa: PLC0415  loads torch
                import_package,
            )

            told = [part.strip().lower() for part in outputs.split(",") if part.strip()]
            made = import_package(file, told)
        else:
            made = store.import_model(file)
    typer.echo(f"{made.stem}\t{made}")


@models_app.command("export")
def export_file(
    name: Name,
    file: Annotated[
        Path | None, typer.Argument(help="File to write, or a folder.", show_default=False)
    ] = None,
    bioimageio: Annotated[
        Path | None,
        typer.Option(help="Package of BioImage.IO to write, ending in .zip; takes a minute."),
    ] = None,
    author: Annotated[
        list[str] | None, typer.Option(help="Author that the package names; may be repeated.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists already.")
    ] = False,
) -> None:
    """Copy a model out of the library, for someone else or for other programs."""
    with _complaining():
        if file is None and bioimageio is None:
            raise ModelError("Nothing was asked for. Give a FILE, or --bioimageio FILE.zip.")
        if file is not None:
            typer.echo(store.export_model(name, file, overwrite=overwrite))
        if bioimageio is not None:
            from napari_unet.models.bioimage_io.export import (  # noqa: PLC0415  loads torch
                export_bioimageio,
            )

            made = export_bioimageio(name, bioimageio, authors=author or (), overwrite=overwrite)
            typer.echo(made)


@models_app.command()
def rename(name: Name, new: NewName) -> None:
    """Give a model another name."""
    with _complaining():
        typer.echo(store.rename(name, new))


@models_app.command()
def duplicate(name: Name, new: NewName) -> None:
    """Copy a model under a new name."""
    with _complaining():
        typer.echo(store.duplicate(name, new))


@models_app.command()
def delete(name: Name) -> None:
    """Move a model to the bin."""
    with _complaining():
        typer.echo(f"moved to {store.delete(name)}")


@models_app.command()
def restore(
    name: Annotated[
        str | None, typer.Argument(help="Deleted model; without one, the bin is listed.")
    ] = None,
) -> None:
    """Bring a model back from the bin, the last one deleted under that name."""
    with _complaining():
        if name is None:
            for path in store.binned():
                typer.echo(plain(path.stem))
            return
        typer.echo(store.restore(store.deleted_model(name)))
