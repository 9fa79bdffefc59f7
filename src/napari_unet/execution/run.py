"""The one loop from a plan to its objects: it keeps an executor busy and tells what is done."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_unet.execution.events import (
    HEARTBEAT,
    KEEP_ALL,
    Event,
    Events,
    Finished,
    Notice,
    ObjectsFound,
    Started,
    TileWritten,
    Waiting,
)
from napari_unet.execution.executors import Executor, abandoning
from napari_unet.execution.ledger import BlockResult, Ledger
from napari_unet.execution.orders import (
    Answer,
    ComputeBlock,
    DecodeBlock,
    DropMaps,
    DropObjects,
    Job,
    PredictTile,
    Ranked,
    TilePredicted,
    TileStored,
    WriteTile,
)
from napari_unet.tiling.plan import Key
from napari_unet.tiling.schedule import Schedule

NOTHING_KEPT = 0  # bytes of probability maps that stay when no block needs them


@dataclass(slots=True, eq=False)
class Run:
    """Which blocks of a job are computed, in which order, and what the run records.

    Attributes
    ----------
    job : Job
        What the executor prepares for.
    schedule : Schedule
        Which tile next, and which block is ready.
    ledger : Ledger or None
        Ids, and which tiles can be written; None for a job without a sink.
    budget : int
        Bytes of probability maps that may stay.
    early : bool
        Whether the first block is computed by itself where its neighbours would let it wait long:
        a person wants to see objects soon.
    """

    job: Job
    schedule: Schedule
    ledger: Ledger | None = None
    budget: int = 0
    early: bool = False
    _told: set[str] = field(default_factory=set)
    _in_flight: int = 0
    _by_themselves: set[Key] = field(default_factory=set)

    def events(self, executor: Executor) -> Events:
        """Keep an executor busy until every block is done; to stop it, close the generator.

        Yields
        ------
        Event
            `Started` first; `Waiting` at least every `HEARTBEAT` seconds; `Finished` last.
        """
        job, ledger = self.job, self.ledger
        executor.open(job)
        with abandoning(executor):
            labels = job.labels if isinstance(job.labels, Path) else Path()
            yield Started(job.plan, job.maps or labels, self.budget, self.schedule.cached_tiles)
            if self.early:
                self.schedule.alone()
            while not (self.schedule.finished and (ledger is None or ledger.finished)):
                more = self._order(executor)
                for answer in executor.collect(0 if more else HEARTBEAT):
                    yield from self._note(answer, executor)
                yield Waiting()
            yield Finished(ledger.objects if ledger is not None else 0)

    def _order(self, executor: Executor) -> bool:
        """Order what can be done; return whether there is more.

        One window at a time: to read it takes a while, and the consumer may want to stop.
        """
        schedule = self.schedule
        while self.ledger is not None and self.ledger.closable:
            executor.submit(WriteTile(self.ledger.closable.popleft()))
        while schedule.ready:
            executor.submit(DecodeBlock(schedule.ready.popleft()))
        left = schedule.apart or schedule.to_predict
        if not left or self._in_flight >= executor.ahead:
            return False
        self._in_flight += 1
        if schedule.apart:
            self._by_themselves.add(schedule.apart[0])
            executor.submit(ComputeBlock(schedule.apart.popleft()))
        else:
            executor.submit(PredictTile(schedule.to_predict.popleft()))
        return True

    def _note(self, answer: Answer, executor: Executor) -> Iterator[Event]:
        """Write down what is done, and tell of it."""
        match answer:
            case TilePredicted(key, notes):
                self._in_flight -= 1
                self.schedule.predicted(key)
                yield from self._notices(notes)
            case BlockResult(key, _, notes):
                yield from self._notices(notes)
                if dropped := self.schedule.decoded(key):
                    executor.submit(DropMaps(tuple(dropped)))
                yield self._found(answer)
            case TileStored(tile):
                assert self.ledger is not None, "only a job with a sink has tiles written"
                spare = self.ledger.written(tile.key) if tile.final else []
                yield TileWritten(tile.key, tile.final)  # noted before anything is lost
                if spare:
                    executor.submit(DropObjects(tuple(spare)))
            case Ranked():
                pass

    def _found(self, result: BlockResult) -> ObjectsFound:
        plan, (plane, number) = self.job.plan, result.key
        if result.key in self._by_themselves:
            self._by_themselves.remove(result.key)
            self._in_flight -= 1
        if self.ledger is not None:
            self.ledger.computed(result.key, result.ids)
        counts = self.ledger or self.schedule
        return ObjectsFound(
            key=result.key,
            plane=plan.planes[plane],
            owned=plan.owned(plan.tiles.tiles[number]),
            block=plane * len(plan.tiles.tiles) + number,
            ids=result.ids,
            done=counts.done,
            total=counts.total,
            objects=result.objects,
        )

    def _notices(self, notes: Sequence[str]) -> Iterator[Notice]:
        """Tell what was not told yet."""
        for note in notes:
            if note not in self._told:
                self._told.add(note)
                yield Notice(note)


def live_run(
    job: Job, blocks: Iterable[Key], cached_tiles: set[Key], budget: int = KEEP_ALL
) -> Run:
    """Return a run whose objects come back block by block, and whose probability maps stay.

    Parameters
    ----------
    job : Job
        It has a folder for maps, and no sink.
    blocks : iterable of Key
        What is wanted, in this order.
    cached_tiles : set of Key
        Tiles whose maps are there already; kept up to date.
    budget : int
        Bytes of maps that may stay.
    """
    return Run(job, Schedule(job.plan, blocks, cached_tiles, budget), None, budget, early=True)


def written_run(job: Job, ledger: Ledger, cached_tiles: set[Key] | None = None) -> Run:
    """Return a run that computes what is missing in a ledger and writes it to the job's sink.

    Parameters
    ----------
    job : Job
        It has a sink; without a folder for maps each block is computed by itself.
    ledger : Ledger
        Knows what is done.
    cached_tiles : set of Key, optional
        Tiles whose maps are there already.
    """
    cached = set() if cached_tiles is None else cached_tiles
    schedule = Schedule(job.plan, ledger.missing, cached, NOTHING_KEPT, apart=job.maps is None)
    return Run(job, schedule, ledger)
