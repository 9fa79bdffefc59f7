"""An image file of any size, segmented into a folder, on this computer or on a cluster."""

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.execution.events import Event
from napari_unet.execution.executors import Executor
from napari_unet.execution.ledger import Ledger
from napari_unet.execution.patches import maps_of, scratch_of
from napari_unet.execution.run import written_run
from napari_unet.execution.slide import (
    Logbook,
    SlidePlan,
    SlideRequest,
    Source,
    noted,
    request_slide,
)
from napari_unet.image import ArrayLike, Box
from napari_unet.io.atomic import replace_folder
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.models.library import Model
from napari_unet.planning.planner import Where, make_plan
from napari_unet.segmentation.images import computing_here, maps_folder, waiting_maps
from napari_unet.segmentation.result import Notes, Segmentation, record
from napari_unet.settings import SegmentSettings

if TYPE_CHECKING:
    from distributed import Client


def segment_slide(
    source: str | Path | Source,
    output: str | Path,
    model: str | Path | Model = "nuclei",
    *,
    settings: SegmentSettings | None = None,
    client: "Client | None" = None,
    progress: Callable[[int, int], None] | None = None,
) -> Segmentation:
    """Segment an image file of any size, on this computer or on a cluster.

    Parameters
    ----------
    source : path-like or Source
        Image file or OME-Zarr folder.
    output : path-like
        Folder to write, ending in ``.zarr``. If it holds an unfinished result of the same image,
        model and settings, that is finished.
    model : str, Path or Model
        Name in the library, path of a model file, or what `load_model` returned.
    settings : SegmentSettings, optional
        All settings.
    client : distributed.Client, optional
        A cluster whose workers see image and output under the same path; default: threads here.
    progress : callable, optional
        Called with the number of blocks done and the number in all.

    Returns
    -------
    Segmentation
        ``result.labels`` is the finest level of the folder, uint32 ``(..., Y, X)``, on disk.

    Raises
    ------
    InputError
        If the image or a setting cannot be used, or `output` holds something else.
    ModelError
        If the model cannot be used.
    EngineError
        If the cluster has no workers.
    """
    request = request_slide(source, output, model, settings)
    result = run_slide(request, client=client, progress=progress)
    shutil.rmtree(scratch_of(request.output))
    return result


def run_slide(
    request: SlideRequest,
    *,
    client: "Client | None" = None,
    progress: Callable[[int, int], None] | None = None,
) -> Segmentation:
    """Segment into a folder, and leave it marked as unfinished.

    Asked for again, there is nothing to do and the same is returned: for a caller who has more to
    do with the result, and may fail.
    """
    from napari_unet.execution.block_worker import ThreadExecutor  # noqa: PLC0415  loads torch

    notes, target, here = Notes(progress), request.output, ThreadExecutor()
    notes.texts.extend(request.image.notices)
    with request.claimed():
        slide = request.resumed() or notes.follow(_begun(request, here, client))
        ledger, logbook = Ledger(slide.plan), Logbook(slide.scratch / "done.jsonl")
        logbook.restore(ledger, slide.patches.intact)
        shutil.rmtree(maps_of(target), ignore_errors=True)  # of a run that was stopped
        shared = None if client else waiting_maps(slide.plan, ledger.missing, maps_of(target))
        run = written_run(slide.open(request.image, shared), ledger)
        with _executor(slide, here, client) as executor:
            notes.follow(noted(run.events(executor), slide, logbook))
        pyramid = LabelPyramid(target)
        pyramid.note(record(slide.plan, request.settings, request.image))
    labels, texts = pyramid.levels[0], tuple(notes.texts)
    return Segmentation(labels, slide.plan, request.image, request.settings, texts, ledger.objects)


def write_beside(result: Segmentation, output: Path) -> Path:
    """Write linked or filtered labels beside their folder; `put_in_place` makes them the result.

    Parameters
    ----------
    result : Segmentation
        Linked, filtered, or both; its labels are read tile by tile.
    output : Path
        The folder with the labels as they were found; it stays as it is.
    """
    beside = output.with_name(f"{output.stem}.linking.zarr")
    shutil.rmtree(beside, ignore_errors=True)  # of a run that was stopped
    labels: ArrayLike = result.labels
    height, width = LabelPyramid(output).levels[0].chunks[-2:]
    pyramid = LabelPyramid.create_for(result.image, beside, (height, width))
    boxes = [
        Box((y, x), (min(y + height, labels.shape[-2]), min(x + width, labels.shape[-1])))
        for y in range(0, labels.shape[-2], height)
        for x in range(0, labels.shape[-1], width)
    ]
    for plane in result.image.planes():
        for box in boxes:
            pyramid.write(plane, box, labels[(*plane, *box.slices)])
            pyramid.write_copies(plane, box)
    pyramid.note(result.record)
    return beside


def put_in_place(beside: Path, output: Path) -> None:
    """Replace labels by those of `write_beside`, and what a run needed to go on."""
    replace_folder(beside, output)


def _begun(
    request: SlideRequest, here: Executor, client: "Client | None"
) -> Generator[Event, None, SlidePlan]:
    """Plan, and make the folder."""
    image, model, settings = request.image, request.model, request.settings
    where = Where(request.source.region, apart=client is not None, anchored=True)
    local = settings if client is not None else computing_here(settings)
    with maps_folder(None) as probes:
        plan = (yield from make_plan(image, model, local, here, where, probes)).plan
    if client is not None:
        from napari_unet.execution.cluster import computing  # noqa: PLC0415  an extra

        device, precision = computing(client, plan.device, plan.precision)
        plan = replace(plan, device=device, precision=precision)
    return request.begin(plan)


@contextmanager
def _executor(slide: SlidePlan, here: Executor, client: "Client | None") -> Iterator[Executor]:
    """Give the executor: threads of this process, or a cluster."""
    if client is None:
        yield here
        return
    from napari_unet.execution.cluster import cluster_executor  # noqa: PLC0415  an extra

    with cluster_executor(slide, client) as executor:
        yield executor
