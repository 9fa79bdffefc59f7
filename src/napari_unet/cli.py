"""Command line: ``napari-unet segment | models | demo``. The same code as the panel."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_unet.cli_finetune import finetune
from napari_unet.cli_models import models_app
from napari_unet.errors import InputError, UNetError
from napari_unet.settings import SegmentSettings, validated_settings

if TYPE_CHECKING:
    from napari_unet.models.library import Model
    from napari_unet.segmentation import Segmentation

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(models_app, name="models")
app.command()(finetune)


def _help(name: str) -> str:
    """Help of an option, from the setting's own definition."""
    field = SegmentSettings.model_fields[name]
    extra = field.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else None
    return f"{field.description}" + (f" In {unit}." if unit else "")


@app.callback()
def _root() -> None:
    """Segment cells with a U-Net, and teach it."""


@app.command()
def segment(  # noqa: PLR0913  one parameter for each option, as typer wants it
    inputs: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("labels"),
    model: Annotated[str, typer.Option(help=_help("model"))] = "nuclei",
    axes: Annotated[
        str | None, typer.Option(help="One letter for each dimension, such as ZYX; C = channels.")
    ] = None,
    channel: Annotated[
        int | None, typer.Option(help="Channel to use, from 0; default the average.")
    ] = None,
    diameter: Annotated[float | None, typer.Option(help=_help("diameter"))] = None,
    device: Annotated[str, typer.Option(help=_help("device"))] = "auto",
    precision: Annotated[str, typer.Option(help=_help("precision"))] = "auto",
    csv: Annotated[bool, typer.Option("--csv", help="Write a table of the objects too.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist already.")
    ] = False,
) -> None:
    """Segment images and write OUTPUT/<name>_labels.tif for each."""
    from napari_unet.models.library import load_model  # noqa: PLC0415  quick --help

    try:
        found = load_model(model)
        settings = validated_settings(
            diameter=diameter, device=device, precision=precision, model=model
        )
        output.mkdir(parents=True, exist_ok=True)
    except (UNetError, OSError) as error:
        _complain(str(error))
        raise typer.Exit(2) from error
    files, complete = _expand(inputs)
    options = _Options(found, settings, axes, channel, csv, overwrite)
    done = [_try_one(file, to, options) for file, to in name_outputs(files, output).items()]
    if not (complete and all(done)):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Options:
    model: "Model"
    settings: SegmentSettings
    axes: str | None
    channel: int | None
    csv: bool
    overwrite: bool


def _expand(inputs: list[Path]) -> tuple[list[Path], bool]:
    """Return the image files behind the names, and whether every name could be used."""
    from napari_unet.io.images import image_files  # noqa: PLC0415  quick --help

    files: list[Path] = []
    complete = True
    for given in inputs:
        try:
            files.extend(image_files([given]))
        except UNetError as error:
            complete = False
            _complain(str(error))
    return list(dict.fromkeys(files)), complete


def _try_one(file: Path, target: Path, options: _Options) -> bool:
    """Segment one file; on an error say so in one line and return False."""
    try:
        _segment_one(file, target, options)
    except (UNetError, OSError) as error:
        _complain(f"{file}: {error}")
        return False
    return True


def _segment_one(file: Path, target: Path, options: _Options) -> None:
    from napari_unet.io.images import read_image  # noqa: PLC0415  quick --help
    from napari_unet.segmentation import segment as run  # noqa: PLC0415

    if target.exists() and not options.overwrite:
        raise InputError(
            f"{target} exists already and may hold corrections; give --overwrite to replace it, "
            "or another --output."
        )
    image = read_image(file, axes=options.axes, channel=options.channel)
    with typer.progressbar(length=1, label=file.name) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        result = run(image, options.model, settings=options.settings, progress=show)
    _write(result, target, csv=options.csv)


def name_outputs(files: list[Path], folder: Path) -> dict[Path, Path]:
    """Give every image its result's path; two images of one name get the suffix into theirs."""
    stems = [stem_of(file) for file in files]
    targets: dict[Path, Path] = {}
    taken: set[Path] = set()
    for file, stem in zip(files, stems, strict=True):
        if stems.count(stem) > 1:
            stem = file.name.replace(".", "_")
        target, number = folder / f"{stem}_labels.tif", 2
        while target in taken:
            target, number = folder / f"{stem}_{number}_labels.tif", number + 1
        taken.add(target)
        targets[file] = target
    return targets


def stem_of(path: Path) -> str:
    """Return the name without its suffix, ``.ome.tif`` counting as one."""
    stem = path.stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def _write(result: "Segmentation", target: Path, *, csv: bool) -> None:
    from napari_unet.io.tiff import save_labels  # noqa: PLC0415  quick --help

    image = result.image
    save_labels(
        target,
        result.labels,
        pixel_size=image.pixel_size,
        unit=image.unit,
        axes=image.leading_axes + "YX",
        description=result.record,
    )
    for notice in result.notices:
        typer.echo(f"{image.name}: {notice}", err=True)
    if csv:
        from napari_unet.objects import save_table  # noqa: PLC0415  loads pandas

        table = target.with_name(target.name.replace("_labels.tif", "_objects.csv"))
        save_table(table, result.objects)
    typer.echo(f"{target}: {int(result.labels.max(initial=0))} objects")


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
        _complain(str(error))
        raise typer.Exit(1) from error


def _complain(text: str) -> None:
    typer.echo(f"Error: {text}", err=True)


def main() -> None:
    """Entry point of the console script."""
    app()
