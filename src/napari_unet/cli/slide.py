"""Use case: segment an image that is too large for memory into an OME-Zarr folder.

The same blocks as for any image, computed by the threads of this computer or by the workers of a
cluster. What is done stays: a run that was stopped, or died, goes on where it was.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.errors import InputError
from napari_unet.execution.checkpoint import Logbook
from napari_unet.execution.cluster_job import Job, Source
from napari_unet.execution.events import Event
from napari_unet.execution.ledger import Ledger
from napari_unet.execution.patches import maps_of, scratch_of
from napari_unet.execution.pool import Pool
from napari_unet.execution.run import BlockEvent, Crew, TileWritten, run_blocks
from napari_unet.image import Image
from napari_unet.io.atomic import write_bytes
from napari_unet.io.ome_zarr import ENDING, LabelPyramid
from napari_unet.journal.file import lock
from napari_unet.models.library import Model, load_model
from napari_unet.planning.planner import Where, make_plan
from napari_unet.segmentation import Notes, Segmentation, decoding, on, record
from napari_unet.settings import SegmentSettings, validated_settings
from napari_unet.tiling.plan import Key, SegmentPlan

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)


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
    wanted = want_slide(source, output, model, settings)
    result = run_slide(wanted, client=client, progress=progress)
    shutil.rmtree(scratch_of(wanted.output))
    return result


def want_slide(
    source: str | Path | Source,
    output: str | Path,
    model: str | Path | Model,
    settings: SegmentSettings | None = None,
) -> "Wanted":
    """Look whether what is asked for is possible; parameters and errors as for `segment_slide`."""
    found = model if isinstance(model, Model) else load_model(model)
    given = source if isinstance(source, Source) else Source(Path(source))
    given = replace(given, path=given.path.absolute())  # workers have other working folders
    chosen = validated_settings(
        **{**(settings or SegmentSettings()).model_dump(), "model": found.card.name}
    )
    target = _checked(Path(output))
    return Wanted(given, given.open(), found, chosen, target)


def run_slide(
    wanted: "Wanted",
    *,
    client: "Client | None" = None,
    progress: Callable[[int, int], None] | None = None,
) -> Segmentation:
    """Do it, and leave the folder marked as unfinished.

    Asked for again, there is nothing to do and the same is returned: for a caller who has more to
    do with the result, and may fail.
    """
    notes, target = Notes(progress), wanted.output
    with _claimed(target):
        job = _resumed(wanted) or notes.follow(_begun(wanted, client))
        ledger, logbook = Ledger(job.plan), Logbook(job.scratch / "done.jsonl")
        logbook.restore(ledger, job.patches.intact)
        with _hired(job, wanted.image, ledger.missing, client) as crew:
            notes.follow(_events(job, ledger, logbook, crew))
        pyramid = LabelPyramid(target)
        pyramid.note(record(job.plan, wanted.settings))
    return Segmentation(
        pyramid.levels[0],
        job.plan,
        wanted.image,
        wanted.settings,
        tuple(notes.texts),
        ledger.objects,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What is asked for; kept beside an unfinished result, so that nothing else is made of it."""

    source: Source
    image: Image
    model: Model
    settings: SegmentSettings
    output: Path

    @property
    def note(self) -> Path:
        """The file that says so."""
        return scratch_of(self.output) / "job.json"

    def as_json(self) -> dict[str, Any]:
        """Plain values that are equal only if the same is asked for."""
        source, region = self.source, self.source.region
        path = source.path
        marks = [p for n in ("zarr.json", ".zattrs", ".zarray") if (p := path / n).exists()]
        seen = [(p.stat().st_size, p.stat().st_mtime_ns) for p in marks or [path]]
        content = {
            "image": [str(path), source.axes, source.channel, self.image.data.shape, seen],
            "region": region and [region.start, region.stop],
            "model": self.model.sha,
            "settings": self.settings.model_dump(mode="json"),
        }
        plain: dict[str, Any] = json.loads(json.dumps(content))
        return plain


def _checked(output: Path) -> Path:
    if output.suffix.lower() != ENDING:
        raise InputError(f"{output} does not end in {ENDING}. Choose another name.")
    unfinished = scratch_of(output).is_dir()
    if output.exists() and not unfinished:
        raise InputError(
            f"{output} exists already and may hold corrections. Choose another name, or remove it."
        )
    return output.absolute()


@contextmanager
def _claimed(output: Path) -> Iterator[None]:
    """Keep other runs away from an output while this one works on it."""
    scratch = scratch_of(output)
    (scratch / "patches").mkdir(parents=True, exist_ok=True)
    handle = os.open(scratch / "lock", os.O_RDWR | os.O_CREAT)
    try:
        if not lock(handle):
            raise InputError(
                f"Another run is working on {output}. Wait for it, or choose another name."
            )
        yield
    finally:
        os.close(handle)


def _begun(wanted: Wanted, client: "Client | None") -> Generator[Event, None, Job]:
    """Plan, and make the folder."""
    from napari_unet.execution.local import LocalBackend  # noqa: PLC0415  loads torch

    image, settings = wanted.image, wanted.settings
    where = Where(wanted.source.region, apart=client is not None, anchored=True)
    with tempfile.TemporaryDirectory(prefix="napari-unet-") as temporary:
        looks = Path(temporary) / "class-maps"
        plan = yield from make_plan(image, wanted.model, settings, LocalBackend(), where, looks)
    plan = on(plan, _computing(plan, client))
    LabelPyramid.create_for(image, wanted.output, plan.tiles.step)
    content = {**wanted.as_json(), "plan": json.loads(plan.to_json())}
    write_bytes(wanted.note, json.dumps(content).encode())  # last: now there is all that it needs
    return Job(plan, decoding(plan, settings), wanted.source, wanted.output)


def _computing(plan: SegmentPlan, client: "Client | None") -> tuple[str, str]:
    """What "auto" means where the blocks will be computed."""
    if client is not None:
        from napari_unet.execution.cluster import computing  # noqa: PLC0415  an extra

        return computing(client, plan.device, plan.precision)
    from napari_unet.inference.predict import settled  # noqa: PLC0415  loads torch

    return settled(plan.device, plan.precision)


def _resumed(wanted: Wanted) -> Job | None:
    """Take up what an earlier run of the same began, if there is any."""
    if not wanted.note.exists():
        return None
    noted, asked = json.loads(wanted.note.read_text(encoding="utf-8")), wanted.as_json()
    differing = [name for name in asked if noted.get(name) != asked[name]]
    if differing:
        raise InputError(
            f"{wanted.output} holds an unfinished result of another {' and '.join(differing)}. "
            "Choose another name, or remove it."
        )
    plan = SegmentPlan.from_json(json.dumps(noted["plan"]).encode())
    plan = replace(plan, model_path=str(wanted.model.path))  # it may lie elsewhere by now
    log.info("going on with %s", wanted.output)
    return Job(plan, decoding(plan, wanted.settings), wanted.source, wanted.output)


def _events(
    job: Job, ledger: Ledger, logbook: Logbook, crew: Crew
) -> Generator[BlockEvent, None, None]:
    """Run what is missing, and write down what is done."""
    pyramid = LabelPyramid(job.output)
    for event in run_blocks(ledger, crew):
        if isinstance(event, TileWritten):
            plane, number = event.key
            pyramid.write_copies(job.plan.planes[plane], job.plan.tiles.tiles[number].write)
        logbook.note(event)
        yield event


@contextmanager
def _hired(job: Job, image: Image, missing: list[Key], client: "Client | None") -> Iterator[Crew]:
    """Give who computes the blocks that are missing."""
    if client is not None:
        from napari_unet.execution.cluster import cluster_pool  # noqa: PLC0415  an extra

        with cluster_pool(job, client) as (work, pool, ahead):
            yield Pool(work, pool, ahead)
        return
    from napari_unet.execution.sharing import crew_for  # noqa: PLC0415  loads torch
    from napari_unet.inference.threads import thread_pool  # noqa: PLC0415  loads torch

    shutil.rmtree(maps_of(job.output), ignore_errors=True)  # of a run that was stopped
    with thread_pool(job.plan) as (pool, ahead):
        maps = maps_of(job.output)
        yield crew_for(job.hand(image), job.plan, maps, missing, (pool, ahead))
