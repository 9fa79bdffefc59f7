"""An image that is segmented into a folder: what is asked for, what a worker needs, what is done.

Everything lies beside the unfinished result, so that a run that was stopped, or died, goes on.
"""

import json
import logging
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_unet.channels import Channel
from napari_unet.errors import InputError
from napari_unet.execution.events import Event, Events, ObjectsFound, TileWritten
from napari_unet.execution.ledger import Ledger
from napari_unet.execution.orders import Job
from napari_unet.execution.patches import PatchesInFolder, patches_of, scratch_of
from napari_unet.image import Box, Image
from napari_unet.io.atomic import lock, restore_folder, write_bytes
from napari_unet.io.images import read_image
from napari_unet.io.ome_zarr import ENDING, LabelPyramid
from napari_unet.models.library import Model, load_model
from napari_unet.settings import DecodeSettings, SegmentSettings, validated_settings
from napari_unet.tiling.plan import Key, SegmentPlan

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """An image that can be opened anywhere the path can be seen.

    Attributes
    ----------
    path : Path
        File or zarr folder.
    axes : str or None
        One letter for each dimension; None = as the file says.
    channel : int, str or None
        Channel to use, by number from 0 or by name; None = the average.
    region : Box or None
        Image pixels to segment; None = all.
    nuclei : int, str or None
        Channel of stained nuclei, for a model that takes them as well; None = none.
    scene : str or None
        Name or number of the image in a file that holds several; None = the first.
    """

    path: Path
    axes: str | None = None
    channel: Channel | None = None
    region: Box | None = None
    nuclei: Channel | None = None
    scene: str | None = None

    def open(self) -> Image:
        """Open it."""
        return read_image(
            self.path,
            axes=self.axes,
            channel=self.channel,
            nuclei=self.nuclei,
            scene=self.scene,
        )


@dataclass(frozen=True, slots=True)
class SlidePlan:
    """One image to be segmented into one folder, in a form that can be sent to another machine.

    Attributes
    ----------
    plan : SegmentPlan
        What to compute.
    decode : DecodeSettings
        Thresholds.
    source : Source
        What to read.
    output : Path
        OME-Zarr folder of the labels.
    """

    plan: SegmentPlan
    decode: DecodeSettings
    source: Source
    output: Path

    @property
    def scratch(self) -> Path:
        """Where objects wait; inside the result, so that it is on a disk with room for it."""
        return scratch_of(self.output)

    @property
    def patches(self) -> PatchesInFolder:
        """Where objects wait."""
        return PatchesInFolder(patches_of(self.output))

    def with_model(self, path: Path) -> "SlidePlan":
        """Return the same plan with the model in another place."""
        return replace(self, plan=replace(self.plan, model_path=str(path)))

    def open(self, image: Image | None = None, maps: Path | None = None) -> Job:
        """Open everything; `InputError` on a computer that does not see the files.

        Parameters
        ----------
        image : Image, optional
            The image, if it is open already.
        maps : Path, optional
            Folder where probability maps wait, if blocks share them.
        """
        for path in (self.source.path, self.scratch):
            if not path.exists():
                raise InputError(
                    f"The computer {platform.node()} does not see {path}. Put image and output on "
                    "a disk that all workers see under the same path."
                )
        opened = image or self.source.open()
        return Job(self.plan, self.decode, opened, maps, kept=False, labels=self.output)


@dataclass(frozen=True, slots=True, eq=False)
class SlideRequest:
    """What is asked for; kept beside an unfinished result, so that nothing else is made of it."""

    source: Source
    image: Image
    model: Model
    settings: SegmentSettings
    output: Path

    @property
    def note(self) -> Path:
        """The file that holds the request."""
        return scratch_of(self.output) / "job.json"

    def as_json(self) -> dict[str, Any]:
        """Plain values that are equal only if the same is asked for."""
        source, region = self.source, self.source.region
        path = source.path
        marks = [p for n in ("zarr.json", ".zattrs", ".zarray") if (p := path / n).exists()]
        seen = [(p.stat().st_size, p.stat().st_mtime_ns) for p in marks or [path]]
        content = {
            "image": [str(path), source.axes, self.image.channel, self.image.data.shape, seen],
            "channel of nuclei": self.image.nuclei,  # older notes have none
            "image in the file": source.scene,  # nor this
            "region": region and [region.start, region.stop],
            "model": self.model.sha,
            "settings": self.settings.model_dump(mode="json"),
        }
        plain: dict[str, Any] = json.loads(json.dumps(content))
        return plain

    def begin(self, plan: SegmentPlan) -> SlidePlan:
        """Make the folder, and note there what it is for."""
        LabelPyramid.create_for(self.image, self.output, plan.tiles.step)
        content = {**self.as_json(), "plan": json.loads(plan.to_json())}
        write_bytes(self.note, json.dumps(content).encode())  # last: now all that it needs is there
        return SlidePlan(plan, plan.decoding(self.settings), self.source, self.output)

    def resumed(self) -> SlidePlan | None:
        """Take up what an earlier run of the same began, if there is any."""
        if not self.note.exists():
            return None
        noted, asked = json.loads(self.note.read_text(encoding="utf-8")), self.as_json()
        differing = [name for name in asked if noted.get(name) != asked[name]]
        if differing:
            raise InputError(
                f"{self.output} holds an unfinished result of another {' and '.join(differing)}. "
                "Choose another name, or remove it."
            )
        plan = SegmentPlan.from_json(json.dumps(noted["plan"]).encode())
        plan = replace(plan, model_path=str(self.model.path))  # it may lie elsewhere by now
        log.info("going on with %s", self.output)
        return SlidePlan(plan, plan.decoding(self.settings), self.source, self.output)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other runs away from the output while this one works on it."""
        scratch = scratch_of(self.output)
        (scratch / "patches").mkdir(parents=True, exist_ok=True)
        handle = os.open(scratch / "lock", os.O_RDWR | os.O_CREAT)
        try:
            if not lock(handle):
                raise InputError(
                    f"Another run is working on {self.output}. Wait for it, or choose another name."
                )
            yield
        finally:
            os.close(handle)


def request_slide(
    source: str | Path | Source,
    output: str | Path,
    model: str | Path | Model,
    settings: SegmentSettings | None = None,
) -> SlideRequest:
    """Look whether what is asked for is possible.

    Parameters
    ----------
    source : path-like or Source
        Image file or OME-Zarr folder.
    output : path-like
        Folder to write, ending in ``.zarr``.
    model : str, Path or Model
        Name in the library, path of a model file, or what `load_model` returned.
    settings : SegmentSettings, optional
        All settings.
    """
    found = model if isinstance(model, Model) else load_model(model)
    given = source if isinstance(source, Source) else Source(Path(source))
    given = replace(given, path=given.path.absolute())  # workers have other working folders
    chosen = validated_settings(
        **{**(settings or SegmentSettings()).model_dump(), "model": found.card.name}
    )
    target = _checked(Path(output))
    return SlideRequest(given, given.open(), found, chosen, target)


def _checked(output: Path) -> Path:
    restore_folder(output)
    if output.suffix.lower() != ENDING:
        raise InputError(f"{output} does not end in {ENDING}. Choose another name.")
    unfinished = scratch_of(output).is_dir()
    if output.exists() and not unfinished:
        raise InputError(
            f"{output} exists already and may hold corrections. Choose another name, or remove it."
        )
    return output.absolute()


class Logbook:
    """What a run has done, one line each; only the process that runs the plan writes it.

    Parameters
    ----------
    path : Path
        The file; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def restore(self, ledger: Ledger, intact: Callable[[Key], bool]) -> None:
        """Tell a new ledger what is done already.

        Parameters
        ----------
        ledger : Ledger
            Knows of nothing yet.
        intact : callable
            Whether the objects of a block are still there; where a tile needs them and they are
            not, the block counts as not computed.
        """
        counts, written = dict[Key, int](), set[Key]()
        for line in self._lines():
            key = line["plane"], line["tile"]
            if "ids" in line:
                counts[key] = line["ids"]
            else:
                written.add(key)
        needed = ledger.needed(written)
        for key, count in counts.items():
            if key not in needed or intact(key):
                ledger.computed(key, count)
        ledger.skip(written)

    def _lines(self) -> Iterator[dict[str, int]]:
        if not self._path.exists():
            return
        for line in filter(None, self._path.read_text(encoding="utf-8").splitlines()):
            try:
                yield json.loads(line)
            except ValueError:  # the program was killed while it wrote this line
                continue

    def note(self, event: Event) -> None:
        """Write down what was done."""
        if not isinstance(event, ObjectsFound | TileWritten):
            return
        line = {"plane": event.key[0], "tile": event.key[1]}
        if isinstance(event, ObjectsFound):
            line["ids"] = event.ids
        with open(self._path, "a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(line))  # after a line that was cut off, too


def noted(events: Events, slide: SlidePlan, logbook: Logbook) -> Events:
    """Write down what a run does, and make the smaller copies of what it has written."""
    pyramid = LabelPyramid(slide.output)
    with closing(events):
        for event in events:
            if isinstance(event, TileWritten):
                plane, number = event.key
                pyramid.write_copies(slide.plan.planes[plane], slide.plan.tiles.tiles[number].write)
            logbook.note(event)
            yield event
