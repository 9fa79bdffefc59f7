"""Where to paint next without a window: the probability maps of a real run, read block by block."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_unet.active_learning.suggest import UncertainRegion
from napari_unet.active_learning.uncertainty import HEAT_STEP
from napari_unet.engine.client import Engine
from napari_unet.errors import InputError
from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.execution.events import Started, Waiting
from napari_unet.execution.executors import Executor
from napari_unet.execution.orders import DropMaps, Order, Ranked, Suggest
from napari_unet.execution.probability_maps import ProbabilityMapCache, ProbabilityMapStore
from napari_unet.image import Box, Image
from napari_unet.models.library import load_model
from napari_unet.network.spec import UNetSpec
from napari_unet.planning.planner import Where
from napari_unet.segmentation import segment_events
from napari_unet.segmentation import uncertainty_events as spot_job
from napari_unet.segmentation.uncertainty_events import KeptRun, heat_of, uncertainty_events
from napari_unet.settings import SegmentSettings
from tests.regions import suggest_regions
from tests.strategies import blob_labels, probability_maps, random_model

SHAPE, DIAMETER = (150, 190), 12.0
SEGMENTED = Image(np.random.default_rng(0).random((2, *SHAPE)).astype(np.float32), "ZYX")

pytestmark = pytest.mark.usefixtures("one_thread")


class Recording(ThreadExecutor):
    """The backend of this process, which notes what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[Order] = []

    def submit(self, task: Order) -> None:
        self.tasks.append(task)
        super().submit(task)


def kept(folder: Path, spec: UNetSpec | None = None) -> KeptRun:
    """A run over a stack in tiles, its probability maps replaced by a good network's."""
    settings = SegmentSettings(diameter=DIAMETER, tile=64)
    model = load_model(random_model(folder, spec))
    where = Where(cache=ProbabilityMapCache(folder))
    events = segment_events(SEGMENTED, model, settings, ThreadExecutor(), where=where)
    started = next(event for event in events if isinstance(event, Started))
    for _ in events:
        pass
    run = KeptRun(started.plan, started.folder, frozenset(started.cached_tiles))
    if spec is None:
        for plane in range(2):
            ProbabilityMapStore(run.folder, run.plan).write(
                plane, Box((0, 0), SHAPE), maps_of(plane)
            )
    return run


def maps_of(plane: int) -> NDArray[np.uint8]:
    """Probability map of many objects, of which every third is uncertain."""
    labels = blob_labels(plane, SHAPE)
    maps = probability_maps(labels, plane)
    return np.where(labels % 3 == 1, maps // 2, maps).astype(np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> KeptRun:
    return kept(tmp_path_factory.mktemp("run"))


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


def nothing(_plane: tuple[int, ...], box: Box) -> NDArray[np.uint32]:
    return np.zeros(box.shape, np.uint32)


def ranked(
    run: KeptRun,
    backend: Executor,
    painted: spot_job.Painted = nothing,
    view: tuple[tuple[int, ...], tuple[float, float]] = ((0,), (75.0, 95.0)),
    count: int = 5,
) -> tuple[UncertainRegion, ...]:
    *before, last = uncertainty_events(run, backend, painted, view, count)
    assert isinstance(last, Ranked)
    assert before
    assert all(isinstance(event, Waiting) for event in before)
    return last.regions


def test_every_plane_is_looked_at_and_the_spots_are_those_of_whole_planes(run: KeptRun) -> None:
    regions = ranked(run, ThreadExecutor())
    assert len(regions) == 5
    assert [s.score for s in regions] == sorted((s.score for s in regions), reverse=True)
    best = [suggest_regions(maps_of(plane), None, DIAMETER, 1)[0] for plane in range(2)]
    first = max(best, key=lambda region: region.score)
    assert np.hypot(*np.subtract(regions[0].centre, first.centre)) < 2
    assert regions[0].plane == (best.index(first),)


def test_the_engine_finds_the_same(run: KeptRun, engine: Engine) -> None:
    assert ranked(run, engine) == ranked(run, ThreadExecutor())


def test_never_near_what_is_painted(run: KeptRun) -> None:
    painted = np.zeros((2, *SHAPE), np.uint32)
    before = ranked(run, ThreadExecutor(), count=2)
    for region in before:
        y, x = (int(c) for c in region.centre)
        painted[(*region.plane, slice(y - 2, y + 3), slice(x - 2, x + 3))] = 7
    after = ranked(run, ThreadExecutor(), lambda plane, box: painted[(*plane, *box.slices)])
    assert after
    for region in after:
        places = np.argwhere(painted[region.plane])
        nearest = np.hypot(*(places - np.array(region.centre)).T).min(initial=np.inf)
        assert nearest > DIAMETER


def test_begins_in_the_shown_plane_and_where_the_person_looks(run: KeptRun) -> None:
    backend = Recording()
    ranked(run, backend, view=((1,), (149.0, 189.0)))
    asked = [task for task in backend.tasks if isinstance(task, Suggest)]
    assert [task.key[0] for task in asked] == sorted((t.key[0] for t in asked), reverse=True)
    assert run.plan.owned(run.plan.tiles.tiles[asked[0].key[1]]).stop == SHAPE
    assert asked[0].array.dtype == np.uint8


def test_only_blocks_whose_maps_are_all_kept_and_only_so_many(
    run: KeptRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    tile = run.plan.tiles.tiles[0]
    without = replace(run, cached_tiles=run.cached_tiles - {(0, tile.index)})
    backend = Recording()
    ranked(without, backend)
    for task in backend.tasks:
        if isinstance(task, Suggest) and task.key[0] == 0:
            assert tile.index not in run.plan.needs(task.key[1])
    monkeypatch.setattr(spot_job, "MOST_BLOCKS", 3)
    backend = Recording()
    ranked(run, backend)
    assert sum(isinstance(task, Suggest) for task in backend.tasks) == 3


def test_nothing_kept_is_a_sentence(run: KeptRun, tmp_path: Path) -> None:
    for empty in (replace(run, cached_tiles=frozenset()), replace(run, folder=tmp_path / "gone")):
        with pytest.raises(InputError, match="Press Segment"):
            list(uncertainty_events(empty, ThreadExecutor(), nothing, ((0,), (0.0, 0.0))))
    assert not (tmp_path / "gone").exists()
    # one tile alone serves no block
    lonely = replace(run, cached_tiles=frozenset({(0, 5)}))
    with pytest.raises(InputError, match="Press Segment"):
        list(uncertainty_events(lonely, ThreadExecutor(), nothing, ((0,), (0.0, 0.0))))


def test_a_class_model_does_not_tell(tmp_path: Path) -> None:
    run = kept(tmp_path, UNetSpec(classes=4, distance=False, base_filters=2, depth=2))
    with pytest.raises(InputError, match="tells classes apart"):
        list(uncertainty_events(run, ThreadExecutor(), nothing, ((0,), (0.0, 0.0))))
    with pytest.raises(InputError, match="tells classes apart"):
        heat_of(run, (0,), Box((0, 0), SHAPE))


def test_where_the_model_is_sure_no_spot_comes(run: KeptRun) -> None:
    class Sure(ThreadExecutor):
        def submit(self, task: Order) -> None:
            if not isinstance(task, DropMaps | Suggest):
                super().submit(task)

    assert ranked(run, Sure()) == ()


def test_stops_between_blocks(run: KeptRun) -> None:
    backend = Recording()
    events = uncertainty_events(run, backend, nothing, ((0,), (0.0, 0.0)))
    next(events)
    events.close()
    assert len(backend.tasks) == 1


def test_heat_lies_where_the_uncertainty_is(run: KeptRun) -> None:
    view = Box((-20, 30), (100, 500))
    heat = heat_of(run, (1,), view)
    assert heat.box == Box((0, 30), (100, 190))
    assert heat.values.shape == (25, 40)
    assert heat.origin == (1.5, 31.5)
    (region,) = suggest_regions(maps_of(1)[:, :100, 30:], None, DIAMETER, 1)
    y, x = (int(c / HEAT_STEP) for c in region.centre)
    assert heat.values[y - 1 : y + 2, x - 1 : x + 2].max() > 128
    assert np.median(heat.values) < 64


def test_heat_of_what_was_not_segmented_is_a_sentence(run: KeptRun) -> None:
    for plane, box in (((2,), Box((0, 0), SHAPE)), ((0,), Box((500, 0), (600, 100)))):
        with pytest.raises(InputError, match="not segmented"):
            heat_of(run, plane, box)


@pytest.mark.parametrize("shape", [(10, 10), (100, 30), (3, 4000), (1, 90_000), (333, 777)])
def test_middle_of_a_large_view(shape: tuple[int, int]) -> None:
    box = Box((7, 9), (7 + shape[0], 9 + shape[1]))
    part = box.middle(3000)
    assert 0 < part.size <= 3000
    assert part.intersect(box) == part
    assert part.size > 0.6 * min(3000, box.size)  # sides are whole numbers
    assert np.abs(np.subtract(part.centre, box.centre)).max() <= 1
