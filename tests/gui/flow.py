"""A panel whose network is a list of boxes: the way from one state to the next, in seconds."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_unet.errors import InputError
from napari_unet.execution.events import Notice, ObjectsFound, Started, Waiting
from napari_unet.finetuning.in_engine import FinetuneResult
from napari_unet.image import Box
from napari_unet.labels.watershed import Patch
from napari_unet.models.card import SUFFIX, sha256_of
from napari_unet.models.library import load_model, user_folder
from napari_unet.models.names import free_name
from napari_unet.models.report import Report
from napari_unet.planning.planner import SIDE
from napari_unet.plugin.objects.measurements import Measurements
from napari_unet.plugin.retrain import preview, retrain_section
from napari_unet.plugin.session import segmentation_runs
from napari_unet.plugin.session.session import Engine
from napari_unet.tiling.plan import SegmentPlan
from tests.library import put

PLUGIN, PANEL = "napari-unet-interactive", "Segment, retrain"
SHAPE = (200, 300)
ALL = Box((0, 0), SHAPE)
A, B, C = Box((40, 40), (80, 80)), Box((40, 84), (80, 124)), Box((120, 150), (170, 250))


class Network:
    """Stands for the engine in all that the panel asks of it.

    Attributes
    ----------
    finds : dict
        Name of a model to the boxes in which it finds an object; of all others A and B.
    asked : list
        Name of the model and the part of the image, of each run so far.
    notices : list
        What is told of the image before anything is found.
    outcome : str
        Of the next retraining: "preview", "accepted", "refused", "cancel" or "error".
    """

    def __init__(self, monkeypatch) -> None:
        self.finds: dict[str, list[Box]] = {}
        self.asked: list = []
        self.notices: list[str] = []
        self.outcome = "preview"
        self.went_on = False
        monkeypatch.setattr(preview, "segment_events", self._segment)
        monkeypatch.setattr(segmentation_runs, "segment_events", self._segment)
        monkeypatch.setattr(retrain_section, "retrain", self._retrain)
        monkeypatch.setattr(Engine, "warm_up", lambda *_: None)

    def _segment(self, image, model, settings, _backend, *, where) -> Iterator:
        self.asked.append((model.card.name, where))
        region = (where.region or Box((0, 0), image.shape)).intersect(Box((0, 0), image.shape))
        plan = SegmentPlan(
            shape=image.shape,
            planes=where.planes or tuple(image.planes()),
            region=region,
            card=model.card,
            model_path=str(model.path),
            model_sha=model.sha,
            channels=1,
            limits=((0.0, 1.0),),
            diameter=40.0,
            tile=settings.tile or SIDE,
            device="cpu",
        )
        yield from map(Notice, self.notices)
        yield Started(plan, Path("/nowhere"), 0)
        picture = np.zeros(image.shape, np.int32)
        boxes = self.finds.get(model.card.name, [A, B])
        for number, box in enumerate(boxes, 1):
            picture[box.intersect(region).slices] = number
        for number, plane in enumerate(plan.planes):
            patch = Patch(region, picture[region.slices], len(boxes))
            yield ObjectsFound(
                (number, 0), plane, region, number, patch.count, number + 1, len(plan.planes), patch
            )

    def _retrain(self, work, _engine) -> Iterator:
        yield Waiting()
        if not work.pairs:
            raise InputError("Nothing is painted yet.")
        while self.outcome == "cancel":
            self.went_on = True
            yield Waiting()
        if self.outcome == "error":
            raise InputError("It cannot be learned.")
        name = free_name(f"{work.active.split(' retrained')[0]} retrained")
        report = Report(outcome=self.outcome, sentence="There were too few to tell.", objects=2,
                        held=0, old=0, new=0, base_old=0, base_new=0, trained=True, steps=100,
                        seconds=1)  # fmt: skip
        lineage = {"parent": work.active, "parent_sha": load_model(work.active).sha}
        if self.outcome == "refused":
            yield FinetuneResult(replace(load_model(work.active), report=report), name)
            return
        folder = None if self.outcome == "accepted" else user_folder().parent / "candidate-1"
        path = put(name, folder, **lineage)
        yield FinetuneResult(replace(load_model(path), report=report), name)


def sha_of(name: str) -> str:
    """sha256 of a model of the library."""
    return sha256_of(user_folder() / f"{name}{SUFFIX}")


def times_of_strokes(measured: Measurements) -> list[float]:
    """Seconds of the main thread that each stroke from now on takes to be measured."""
    took, changed = list[float](), measured.result.correcting.changed
    changed.disconnect(measured._catch_up)

    def timed() -> None:
        start = time.thread_time()
        measured._catch_up()
        took.append(time.thread_time() - start)

    changed.connect(timed)
    return took
