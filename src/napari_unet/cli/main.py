"""Command line: ``napari-unet segment | export | methods | finetune | models | demo``.

The same code as the panel.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from napari_unet.cli.export import export
from napari_unet.cli.finetune import finetune
from napari_unet.cli.methods import methods
from napari_unet.cli.models import models_app
from napari_unet.cli.segment import segment
from napari_unet.cli.targets import complain
from napari_unet.errors import UNetError
from napari_unet.settings import TORCH_ENVIRONMENT

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(models_app, name="models")
app.command()(segment)
app.command()(finetune)
app.command()(export)
app.command()(methods)


@app.callback()
def _root() -> None:
    """Segment cells with a U-Net, and retrain it."""


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for labels and screenshot.")] = Path(
        "demo-output"
    ),
    headless: Annotated[
        bool, typer.Option("--headless", help="Write the results and leave.")
    ] = False,
) -> None:
    """Open napari on the sample image with the panel docked, and segment it."""
    from napari_unet.plugin.demo import run_demo  # noqa: PLC0415  loads napari

    try:
        run_demo(output if headless else None)
    except (UNetError, OSError) as error:
        complain(str(error))
        raise typer.Exit(1) from error


def main() -> None:
    """Entry point of the console script."""
    for name, value in TORCH_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    app()
