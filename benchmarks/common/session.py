"""One simulated person who paints and retrains, and the other methods on the same strokes."""

import importlib.util
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common.annotator import PER_VIEW, Annotator, Eyes, Sheet, UncertainRegion
from benchmarks.common.image_sets import Scene, base_scenes, training_crops
from benchmarks.common.learners import Forest, untrained
from benchmarks.common.matching import count, match
from benchmarks.common.retraining import (
    Found,
    Retrained,
    compare,
    figures,
    gathered,
    interval,
    retrain,
)
from benchmarks.common.rows import Row, Rows
from napari_unet.errors import UNetError
from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.execution.events import Started
from napari_unet.execution.probability_maps import ProbabilityMapCache, ProbabilityMapStore
from napari_unet.image import Image
from napari_unet.labels.painted import BACKGROUND, take_whole
from napari_unet.models.library import Model, load_model
from napari_unet.planning.planner import Where
from napari_unet.segmentation import segment_events
from napari_unet.settings import FinetuneSettings, SegmentSettings
from napari_unet.tiling.plan import SegmentPlan

KEY = ("domain", "mode", "seed", "k", "method", "parent_sha", "time")
COMPARED = (0, 10, 50)  # cells at which forest and scratch stand beside
JUDGING = 16  # windows with held-out objects that judge a full training; more would take its time

Labels = NDArray[np.integer]


class Base:
    """How a model does on images of the bundled model's first training."""

    def __init__(self, data: Path, limit: int | None) -> None:
        self._scenes = base_scenes(data)[:limit]
        self._known: dict[str, float] = {}

    def score(self, model: Model) -> float:
        """AP@.5, pooled."""
        if model.sha not in self._known:
            found = Found(model, self._scenes)
            pairs = [match(scene.truth, found(i)) for i, scene in enumerate(self._scenes)]
            self._known[model.sha] = round(float(count(pairs, (0.5,)).pooled[0]), 4)
        return self._known[model.sha]


class Clock:
    """Time passed, and how much of it the processor worked for this program.

    A retraining has so many seconds, not so many steps: where other programs take the processor,
    it learns less, but for one thread (see `retrain`). Rows of several threads with few processor
    seconds should be measured again.
    """

    def __init__(self) -> None:
        self._begun = time.perf_counter(), time.process_time()

    def read(self) -> Row:
        """Return fields for a row."""
        passed, worked = time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]
        threads = torch.get_num_threads()
        return {
            "seconds_in_all": round(passed, 1),
            "cpu_seconds": round(worked, 1),
            "threads": threads,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What all sessions on one domain share.

    Attributes
    ----------
    domain : str
        Its name.
    scenes : list of Scene
        Its images.
    parent : Model
        What every retraining begins with.
    time, full_time : float
        Seconds of one retraining, and of the full training.
    cells : tuple of int
        After how many cells to retrain.
    data : Path
        Folder of the image sets.
    rows : Rows
        Results.
    base : Base
        What the parent knows already.
    """

    domain: str
    scenes: list[Scene]
    parent: Model
    time: float
    full_time: float
    cells: tuple[int, ...]
    data: Path
    rows: Rows
    base: Base

    @property
    def folder(self) -> Path:
        """Where paint and models are kept between runs."""
        name = f"{self.domain}-{self.parent.sha[:8]}-{self.time:g}s"
        return self.rows.beside / name


class Session:
    """One simulated person with one domain, mode and seed.

    Parameters
    ----------
    setting : Setting
        Domain, parent, time.
    mode : str
        Which cells are painted.
    seed : int
        Of the annotator and of the training.
    first : Found
        What the parent finds, shared by all sessions.
    """

    def __init__(self, setting: Setting, mode: str, seed: int, first: Found) -> None:
        self.setting, self.mode, self.seed = setting, mode, seed
        self.annotator = Annotator(setting.scenes, mode, seed)
        self.first, self.active, self.active_k = first, first, 0
        self.folder = setting.folder / f"{mode}-{seed}"

    @property
    def sheets(self) -> list[Sheet]:
        """Images and what is painted on them now."""
        return self.annotator.sheets

    def key(self, k: int, method: str) -> Row:
        """Return the fields that tell a row apart."""
        s = self.setting
        limit = s.full_time if method == "full" else s.time
        values = (s.domain, self.mode, self.seed, k, method, s.parent.sha, limit)
        return dict(zip(KEY, values, strict=True))

    def run(self) -> None:
        """Paint and retrain after every number of cells; go on after what is measured already."""
        for k in self.setting.cells:
            row = self.setting.rows.find(**self.key(k, "retrain"))
            if row is None:
                row = self.setting.rows.add(self._step(k))
                print(_line(row), flush=True)
            self._go_on_from(row)

    def _step(self, k: int) -> Row:
        clock = Clock()
        self.annotator.paint(k, Eyes(self.active, self._regions))
        self._save(k)
        row = {**self.key(k, "retrain"), **self._before(), "active_k": self.active_k}
        try:
            retrained = self._retrain(k) if k else None
        except UNetError as error:
            return {**row, "outcome": "error", "sentence": str(error), "ap": row["ap_parent"]}
        row |= _told(retrained)
        model = retrained.model if retrained else self.setting.parent
        found = Found(model, self.setting.scenes) if retrained else self.first
        row |= self._scores(found) | {"base": self.setting.base.score(model)}
        if row["outcome"] == "accepted":
            row |= {"active_k": k, "ap_active": row["ap"]}
        better = row["outcome"] == "preview" and row["ap"]["0.5"] > row["ap_active"]["0.5"]
        row["ap_chosen"] = row["ap"] if better else row["ap_active"]
        return row | clock.read()

    def _before(self) -> Row:
        """What is painted, and how parent and the model in use do on the rest."""
        counts = compare(self.sheets, self.first)
        return {
            "painted": self.annotator.count,
            "background": sum(int((s.painted == BACKGROUND).sum()) for s in self.sheets),
            "rest": int(counts.objects[:, 0].sum()),
            "ap_parent": figures(counts),
            "ap_active": figures(compare(self.sheets, self.active)),
            "base_parent": self.setting.base.score(self.setting.parent),
        }

    def _scores(self, labels: Callable[[int], Labels]) -> Row:
        counts = compare(self.sheets, labels)
        return {"ap": figures(counts), "interval": interval(counts)}

    def _retrain(self, k: int) -> Retrained:
        settings = FinetuneSettings(time_limit=self.setting.time, seed=self.seed)
        inputs = gathered(self.setting.parent, self.sheets, settings)
        return retrain(replace(inputs, in_use=self.active.model), self._model(k))

    def _model(self, k: int) -> Path:
        return self.folder / f"k{k}.safetensors"

    def _go_on_from(self, row: Row) -> None:
        """Take up paint and model as they were after a row; models not in use are deleted."""
        self._load(row["k"])
        if row["active_k"] != self.active_k:
            self.active = Found(load_model(self._model(row["active_k"])), self.setting.scenes)
            self.active_k = row["active_k"]
        if row["k"] != row["active_k"]:
            self._model(row["k"]).unlink(missing_ok=True)

    def _save(self, k: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"painted{i}": s.painted for i, s in enumerate(self.sheets)}
        done = {f"done{i}": np.array(sorted(s.done), int) for i, s in enumerate(self.sheets)}
        np.savez_compressed(self.folder / f"k{k}.npz", **arrays, **done)  # type: ignore[arg-type]

    def _load(self, k: int) -> None:
        with np.load(self.folder / f"k{k}.npz", allow_pickle=False) as file:
            for i, sheet in enumerate(self.sheets):
                sheet.painted = file[f"painted{i}"]
                sheet.done = set(file[f"done{i}"].tolist())

    def _regions(self, number: int) -> Sequence[UncertainRegion]:
        return suggested(self.active.model, self.sheets[number])

    def beside(self, method: str) -> None:
        """Measure another method on the same strokes, where the retraining has been measured."""
        cells = self.setting.cells if method == "full" else COMPARED
        for k in cells:
            key = self.key(k, method)
            known = self.setting.rows.find(**key), self.setting.rows.find(**self.key(k, "retrain"))
            if known[0] is None and known[1] is not None:
                self._load(k)
                print(_line(self.setting.rows.add(key | self._other(method, k))), flush=True)

    def _other(self, method: str, k: int) -> Row:
        clock = Clock()
        labels, row = self._train_otherwise(method, k)
        taken = clock.read()["seconds_in_all"]
        row = {"painted": self.annotator.count, "seconds": taken, **row, **self._scores(labels)}
        row["ap_parent"] = figures(compare(self.sheets, self.first))
        return row | clock.read()

    def _train_otherwise(self, method: str, k: int) -> tuple[Callable[[int], Labels], Row]:
        if method == "full":
            model = full_model(self.setting)
            return Found(model, self.setting.scenes), {"base": self.setting.base.score(model)}
        if not k:  # nothing is painted, so nothing is learned
            return (lambda number: np.zeros_like(self.sheets[number].scene.truth)), {}
        if method == "forest":
            return Forest(self.sheets, self.seed), {}
        retrained = self._from_scratch()
        return Found(retrained.model, self.setting.scenes), _told(retrained)

    def _from_scratch(self) -> Retrained:
        settings = FinetuneSettings(time_limit=self.setting.time, seed=self.seed)
        inputs = gathered(self.setting.parent, self.sheets, settings)
        path = self.folder / "untrained.safetensors"
        parent = untrained(inputs.parent.card, inputs.windows, path, self.seed)
        return retrain(replace(inputs, parent=parent), self.folder / "scratch.safetensors")


def _told(retrained: Retrained | None) -> Row:
    """What a retraining reports; nothing happens without paint."""
    if retrained is None:
        return {"outcome": "nothing painted", "seconds": 0.0, "steps": 0}
    report = retrained.report.model_dump()
    names = {
        "old": "held_old",
        "new": "held_new",
        "base_old": "replay_old",
        "base_new": "replay_new",
    }
    return {names.get(name, name): value for name, value in report.items()}


def _line(row: Row) -> str:
    ap, before = row["ap"]["0.5"], row["ap_parent"]["0.5"]
    return (
        f"{row['domain']} {row['mode']} seed {row['seed']} k {row['k']} {row['method']}: "
        f"AP@.5 {before:.3f} -> {ap:.3f} {row.get('outcome', '')} base {row.get('base', '-')} "
        f"{row.get('seconds', 0):.0f} s of {row.get('seconds_in_all', 0):.0f} s"
    )


def full_model(setting: Setting) -> Model:
    """Retrain with the domain's whole training set as paint, once; the reference for the gap."""
    path = setting.folder / f"full-{setting.full_time:g}s.safetensors"
    if not path.exists():
        crops = training_crops(setting.domain, setting.data)
        sheets = [Sheet(scene, take_whole(scene.truth)) for scene in crops if scene.truth.any()]
        settings = FinetuneSettings(time_limit=setting.full_time)
        inputs = gathered(setting.parent, sheets, settings)
        judging = [e for e in inputs.windows if e.held][:JUDGING]
        windows = [e if e in judging else replace(e, held=()) for e in inputs.windows]
        part = path.with_name("part.safetensors")
        report = retrain(replace(inputs, windows=windows), part).report
        part.rename(path)
        print(f"{setting.domain} fully trained: {report.sentence}", flush=True)
    return load_model(path)


def can_suggest() -> bool:
    """Whether the program can say where to paint next."""
    return importlib.util.find_spec("napari_unet.active_learning.suggest") is not None


def suggested(model: Model, sheet: Sheet) -> list[UncertainRegion]:
    """Ask the program where to paint next on an image; regions in image pixels, best first."""
    from napari_unet.active_learning.suggest import suggest_regions

    maps, plan = probability_map(sheet.scene.image, model)
    regions = suggest_regions(maps, sheet.painted, plan.diameter, PER_VIEW)
    return [region.centre for region in regions]


def probability_map(image: Image, model: Model) -> tuple[NDArray[np.uint8], SegmentPlan]:
    """Run the network as `segment` does; return the probability map ``(3, Y, X)`` and the plan."""
    with tempfile.TemporaryDirectory(prefix="napari-unet-regions-") as folder:
        where = Where(cache=ProbabilityMapCache(Path(folder)))
        events = segment_events(image, model, SegmentSettings(), ThreadExecutor(), where=where)
        started = next(event for event in events if isinstance(event, Started))
        for _ in events:
            pass  # the probability map is written on the way
        plan = started.plan
        return ProbabilityMapStore(started.folder, plan).read(0, plan.region), plan
