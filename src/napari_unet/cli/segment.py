"""Command line: ``napari-unet segment``, here or on a cluster."""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_unet.cli.filters import EDGE_HELP, RANGE_HELP, filters_of
from napari_unet.cli.linking import LINK_HELP, SETTING_HELP, link_settings_of
from napari_unet.cli.targets import FAILURES, complain, find_targets, only_scene
from napari_unet.cli.telling import CHANNEL, Told, bar
from napari_unet.errors import InputError
from napari_unet.io.atomic import claimed
from napari_unet.io.results import EXPORTS, Target, chosen, copy_whole, exports_of, prepared
from napari_unet.settings import (
    FilterSettings,
    LinkSettings,
    SegmentSettings,
    validated_settings,
)

if TYPE_CHECKING:
    from distributed import Client

    from napari_unet.execution.slide import Source
    from napari_unet.image import Box, Image
    from napari_unet.io.formats.facts import Scene
    from napari_unet.models.library import Model
    from napari_unet.segmentation import Segmentation


def _help(name: str) -> str:
    """Help of an option, from the setting's own definition."""
    field = SegmentSettings.model_fields[name]
    extra = field.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else None
    return f"{field.description}" + (f" In {unit}." if unit else "")


def segment(  # noqa: PLR0913  one parameter for each option, as typer wants it
    inputs: Annotated[
        list[Path], typer.Argument(help="Images, OME-Zarr folders, or folders of images.")
    ],
    output: Annotated[
        Path, typer.Option(help="Folder for the results; NAME.zarr for one image of any size.")
    ] = Path("labels"),
    model: Annotated[str, typer.Option(help=_help("model"))] = "nuclei",
    axes: Annotated[
        str | None, typer.Option(help="One letter for each dimension, such as ZYX; C = channels.")
    ] = None,
    channel: Annotated[
        str | None, typer.Option(help=f"Channel to use, {CHANNEL}; default the average.")
    ] = None,
    nuclei_channel: Annotated[
        str | None,
        typer.Option(
            help=f"Channel of stained nuclei, {CHANNEL}, for a model that takes them as well."
        ),
    ] = None,
    diameter: Annotated[float | None, typer.Option(help=_help("diameter"))] = None,
    device: Annotated[str, typer.Option(help=_help("device"))] = "auto",
    precision: Annotated[str, typer.Option(help=_help("precision"))] = "auto",
    link: Annotated[
        bool | None,
        typer.Option(
            "--link/--no-link",
            help=LINK_HELP,
        ),
    ] = None,
    link_settings: Annotated[
        list[str] | None, typer.Option("--link-setting", help=SETTING_HELP)
    ] = None,
    filters: Annotated[list[str] | None, typer.Option("--filter", help=RANGE_HELP)] = None,
    no_edge: Annotated[bool, typer.Option("--no-edge", help=EDGE_HELP)] = False,
    csv: Annotated[bool, typer.Option("--csv", help=EXPORTS["csv"].help)] = False,
    roi: Annotated[bool, typer.Option("--roi", help=EXPORTS["roi"].help)] = False,
    geojson: Annotated[bool, typer.Option("--geojson", help=EXPORTS["geojson"].help)] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist already.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out images that have results already.")
    ] = False,
    scene: Annotated[
        str | None,
        typer.Option(
            help="Of files with several images the one to use: its name, or number from 0."
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(help="Part of the image as Y0,X0,Y1,X1 in pixels; for NAME.zarr results."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Dask scheduler whose workers compute, such as tcp://host:8786, or 'local' to "
            "start one here; they must see images and output under the same paths."
        ),
    ] = None,
) -> None:
    """Segment images and write OUTPUT/<name>_labels.tif for each, or one OME-Zarr folder."""
    from napari_unet.inference.memory import be_frugal  # noqa: PLC0415  quick --help
    from napari_unet.models.library import load_model  # noqa: PLC0415  quick --help

    be_frugal()
    try:
        found = load_model(model)
        settings = validated_settings(
            diameter=diameter, device=device, precision=precision, model=model
        )
        box = _box(region, output)
        channels = _Channels(axes, channel, nuclei_channel)
        kinds = chosen(csv=csv, roi=roi, geojson=geojson)
        wanted = filters_of(filters or (), at_edge=no_edge)
        linking = link_settings_of(link_settings or (), link=link)
        options = _Options(
            found, settings, channels, kinds, overwrite, skip_existing, box, link, linking, wanted
        )
        with _cluster(scheduler) as client:
            if output.suffix.lower() == ".zarr":
                with claimed(output):
                    _slide(inputs, output, options, client, scene)
                return
            output.mkdir(parents=True, exist_ok=True)
            targets, complete = find_targets(inputs, output, scene)
            if skip_existing:
                targets = _missing(targets, kinds)
            done = _spread(targets, options, client) if client else _in_turn(targets, options)
    except FAILURES as error:
        complain(str(error))
        raise typer.Exit(2) from error
    if not (complete and done):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Channels:
    """What the axes of an image mean, and which of its channels to use."""

    axes: str | None
    channel: str | None
    nuclei: str | None

    def source(self, scene: "Scene", region: "Box | None" = None) -> "Source":
        """Return how to open an image anywhere."""
        from napari_unet.execution.slide import Source  # noqa: PLC0415  quick --help

        return Source(scene.path, self.axes, self.channel, region, self.nuclei, scene.name)


@dataclass(frozen=True, slots=True)
class _Options:
    model: "Model"
    settings: SegmentSettings
    channels: _Channels
    kinds: tuple[str, ...]
    overwrite: bool
    skip: bool
    region: "Box | None" = None
    link: bool | None = None
    linking: LinkSettings = field(default_factory=LinkSettings)
    filters: FilterSettings = field(default_factory=FilterSettings)

    def check(self, image: "Image") -> None:
        """Raise before anything is computed that cannot be linked, or filtered."""
        from napari_unet.segmentation import check_linking  # noqa: PLC0415  quick --help
        from napari_unet.segmentation.files import check_finishing  # noqa: PLC0415

        if self.link:
            check_linking(image, self.model.card)
        check_finishing(image, self.model.card, self._linking, self.filters)

    def finished(self, result: "Segmentation") -> "Segmentation":
        """Link planes where it was asked for, or where nothing was said and there are some; filter.

        A filter looks at linked objects.
        """
        from napari_unet.segmentation.files import finished  # noqa: PLC0415  quick --help

        return finished(result, self._linking, self.filters)

    @property
    def _linking(self) -> LinkSettings | None:
        return None if self.link is False else self.linking


def _box(text: str | None, output: Path) -> "Box | None":
    """Read the corners of a region."""
    if text is None:
        return None
    from napari_unet.image import Box  # noqa: PLC0415  quick --help

    found = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text)
    if found is None or output.suffix.lower() != ".zarr":
        raise InputError(
            f"The region {text!r} and the output {output} were given; a region is four numbers of "
            "pixels, Y0,X0,Y1,X1, such as 0,0,2048,2048, and its output ends in .zarr."
        )
    y0, x0, y1, x1 = map(int, found.groups())
    return Box((y0, x0), (y1, x1))


@contextmanager
def _cluster(address: str | None) -> "Iterator[Client | None]":
    """Connect to a cluster if one is wanted, and say where it can be watched."""
    if address is None:
        yield None
        return
    try:
        from napari_unet.execution.cluster import connect  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        raise InputError(
            f"--scheduler needs the package {error.name}, which is not installed. Install the "
            "plugin with its extra 'cluster': pip install \".[cluster]\" in a clone."
        ) from error

    with connect(address) as client:
        typer.echo(f"Watch the cluster at {client.dashboard_link}", err=True)
        yield client


def _missing(targets: list[Target], kinds: tuple[str, ...]) -> list[Target]:
    """Leave out results that are there already, whole, and say how many that are."""
    missing = [target for target in targets if target.missing(kinds)]
    if len(missing) < len(targets):
        typer.echo(f"{len(targets) - len(missing)} of {len(targets)} images have results already.")
    return missing


def _in_turn(targets: list[Target], options: _Options) -> bool:
    """Segment one image after the other; on an error say so in one line, and return False."""
    done = True
    for target in targets:
        try:
            with bar(target.label) as show:
                told = _segment_one(target, options, show)
            told.show()
        except FAILURES as error:
            complain(f"{target.scene.path}: {error}")
            done = False
    return done


def _spread(targets: list[Target], options: _Options, client: "Client") -> bool:
    """Segment the images on a cluster, each by one worker; see `_in_turn`."""
    from napari_unet.execution.cluster import KILLED, equipped, finished  # noqa: PLC0415

    done = True
    with equipped(client, options.model.path, options.model.sha) as (with_model, pool):
        jobs: dict[Future[Told], Path] = {
            pool.submit(with_model, _segment_there, one.absolute(), options): one.scene.path
            for one in targets
        }
        for future in finished(jobs, client):
            try:
                future.result().show()
            except KILLED as error:  # most often its memory; others may do
                complain(f"{jobs[future]}: the workers that tried it were lost ({error}).")
                done = False
            except FAILURES as error:
                complain(f"{jobs[future]}: {error}")
                done = False
    return done


def _segment_there(model: Path, target: Target, options: _Options) -> Told:
    """Segment an image on a worker, with the model as it lies there."""
    from napari_unet.models.library import load_model  # noqa: PLC0415  quick --help

    return _segment_one(target, replace(options, model=load_model(model)))


def _slide(
    inputs: list[Path],
    output: Path,
    options: _Options,
    client: "Client | None",
    scene: str | None,
) -> None:
    """Segment one image of any size into an OME-Zarr folder."""
    from napari_unet.execution.patches import scratch_of  # noqa: PLC0415  quick --help
    from napari_unet.execution.slide import request_slide  # noqa: PLC0415
    from napari_unet.segmentation import put_in_place, run_slide, write_beside  # noqa: PLC0415
    from napari_unet.segmentation.files import exported, summary  # noqa: PLC0415

    if len(inputs) != 1 or options.overwrite:
        raise InputError(
            f"{output} takes the labels of one image and is never replaced; {len(inputs)} inputs "
            "were given. Give one image, without --overwrite, or a folder as --output."
        )
    exports = exports_of(output, options.kinds)
    source = options.channels.source(only_scene(inputs[0], scene), options.region)
    request = request_slide(source, output, options.model, options.settings)
    # after that, which brings back what a run that was killed had set aside
    _refuse_others(exports_of(output, EXPORTS).values(), scratch_of(output))
    options.check(request.image)
    with bar(inputs[0].name) as show:
        result = options.finished(run_slide(request, client=client, progress=show))
    changed = result.links is not None or result.filters is not None
    beside = write_beside(result, request.output) if changed else None
    made = {kind: scratch_of(output) / path.name for kind, path in exports.items()}
    with prepared(made, *exported(result)):
        pass  # if one fails, the same command makes them anew
    for kind, path in exports.items():
        copy_whole(made[kind], path)
    if beside:
        put_in_place(beside, request.output)
    else:
        shutil.rmtree(scratch_of(request.output))
    Told(inputs[0].name, result.notices, f"{output}: {summary(result)}").show()


def _refuse_others(exports: Iterable[Path], scratch: Path) -> None:
    """Raise where an export is there of which this very run has no copy."""
    for path in exports:
        if path.exists() and not (scratch / path.name).exists():
            raise InputError(f"{path} exists already. Choose another --output, or move the file.")


def _segment_one(
    target: Target, options: _Options, progress: Callable[[int, int], None] | None = None
) -> Told:
    """Segment an image and save its labels; return what to tell."""
    from napari_unet.segmentation import segment as run  # noqa: PLC0415  quick --help
    from napari_unet.segmentation.files import is_large  # noqa: PLC0415

    with claimed(target.path):
        if options.skip and target.path.exists():
            return _add_exports(target, options)
        if not options.overwrite:
            target.refuse(options.kinds)
        image = options.channels.source(target.scene).open()
        options.check(image)
        if is_large(image):
            return _streamed(target, options, progress)
        result = run(image, options.model, settings=options.settings, progress=progress)
        return _write(options.finished(result), target, options.kinds)


def _add_exports(target: Target, options: _Options) -> Told:
    """Write the exports that are missing beside labels, which stay as they are."""
    from napari_unet.cli.export import exporting  # noqa: PLC0415  quick --help

    image = options.channels.source(target.scene).open()
    wanted = target.exports(options.kinds)
    files = {kind: path for kind, path in wanted.items() if not path.exists()}
    with exporting(target.path, image, files):
        pass
    names = " and ".join(path.name for path in files.values())
    return Told(image.name, (), f"{target.path} was kept; {names} was made of it")


def _streamed(
    target: Target, options: _Options, progress: Callable[[int, int], None] | None
) -> Told:
    """Segment a large image by way of a folder beside the result, with which a run goes on."""
    from napari_unet.execution.slide import request_slide  # noqa: PLC0415  quick --help
    from napari_unet.segmentation import run_slide  # noqa: PLC0415

    folder = target.path.with_suffix(".unfinished.zarr")
    source = options.channels.source(target.scene)
    request = request_slide(source, folder, options.model, options.settings)
    result = run_slide(request, progress=progress)
    told = _write(options.finished(result), target, options.kinds)
    shutil.rmtree(folder)
    return told


def _write(result: "Segmentation", target: Target, kinds: tuple[str, ...]) -> Told:
    """Save labels and exports, all or none."""
    from napari_unet.segmentation.files import save_result, summary  # noqa: PLC0415  quick --help

    save_result(result, target, kinds)
    return Told(result.image.name, result.notices, f"{target.path}: {summary(result)}")
