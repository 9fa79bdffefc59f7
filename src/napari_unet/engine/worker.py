"""Main loop of the engine: the child process that owns torch.

Reads messages from standard input and writes results to standard output; ends when its input
does, so it never outlives the viewer. Run as ``python -m napari_unet.engine.worker``.
"""

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, assert_never, cast

from numpy.typing import NDArray

from napari_unet.engine.logs import ENGINE, keep_log, reason_in_log
from napari_unet.engine.messages import (
    BeginTraining,
    Cancel,
    Failed,
    Open,
    Paint,
    Reply,
    Request,
    StopTraining,
    Train,
    Warm,
    Window,
    from_message,
    to_message,
)
from napari_unet.engine.protocol import read_message, write_message
from napari_unet.errors import UNetError
from napari_unet.execution.orders import (
    ComputeBlock,
    DecodeBlock,
    DropMaps,
    DropObjects,
    Job,
    Order,
    PredictTile,
    Rank,
    Suggest,
    WriteTile,
)
from napari_unet.tiling.plan import SegmentPlan
from napari_unet.training.events import FinetunePlan, TrainingStep
from napari_unet.training.windows import TrainingWindow

if TYPE_CHECKING:
    from napari_unet.execution.block_worker import BlockWorker
    from napari_unet.inference.predict import Predictor
    from napari_unet.inference.threads import WorkerThreads

log = logging.getLogger("napari_unet.engine.worker")  # it is run as "__main__"
NICENESS = 5  # the viewer's brush goes first
PACE = 0.1  # seconds between two messages about a retraining
WRITTEN = WriteTile | DropObjects  # these must be done one after the other
HANDED = PredictTile | ComputeBlock | DecodeBlock | WRITTEN  # a thread that is free does these
OF_A_JOB = HANDED | DropMaps | Suggest | Rank | Window | Paint | Train
FAILED = "Computing failed unexpectedly; what is finished stays. Press {deed} again."
Replies = Callable[[], Reply | None]


class _NotWantedError(Exception):
    """The job was cancelled while it was computed."""


@dataclass(slots=True)
class FinetuneSamples:
    """What a retraining of one parent needs, as it arrives."""

    plan: FinetunePlan
    windows: list[TrainingWindow] = field(default_factory=list)
    window: NDArray[Any] | None = None

    def note(self, request: Window | Paint) -> None:
        """Keep a window, or the paint that follows it."""
        if isinstance(request, Window):
            self.window = request.array
            return
        assert self.window is not None, "paint comes after its window"
        fields = request.held, request.judged, request.zoom, request.dark, request.seen
        self.windows.append(TrainingWindow(self.window, request.array, *fields))


class Worker:
    """Does what the messages say, skipping jobs that are no longer wanted.

    Tiles and blocks are done by several threads at once, so that one computes while another makes
    objects. What came of them is told in the order in which they were asked for: ids do not depend
    on the clock.
    """

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self._source, self._sink = source, sink
        self._telling = threading.Lock()  # a message is written whole
        self._threads: WorkerThreads | None = None
        # Of one tile first what is known so far is written, then the rest: one after the other.
        self._writer = ThreadPoolExecutor(1, "writer")
        self._due: queue.Queue[tuple[Future[Reply | None], int, Request]] = queue.Queue()
        self._inbox: queue.Queue[tuple[Request, int]] = queue.Queue()
        self._job = 0  # the newest one
        self._failed: int | None = None
        self._stopped: int | None = None  # a retraining that is to keep the best so far
        self._samples: list[FinetuneSamples] = []  # for each parent
        self._blocks: BlockWorker | None = None
        self._warm: tuple[str, str, str, int, Predictor] | None = None

    def run(self) -> None:
        """Work until the input ends, which ends the process."""
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._report, daemon=True).start()
        while True:
            request, job = self._inbox.get()
            self._attempt(partial(self._do, request, job), job, request)

    def _report(self) -> None:
        """Tell what the threads have done, in the order in which it was asked for."""
        while True:
            done, job, request = self._due.get()
            self._attempt(partial(self._tell_of, done, job), job, request)

    def _tell_of(self, done: Future[Reply | None], job: int) -> None:
        self._tell(done.result(), job)

    def _attempt(self, work: Callable[[], None], job: int, request: Request) -> None:
        """Do a piece of a job that is still wanted; if it fails, say so and leave the rest."""
        if job < self._job or (job == self._failed and isinstance(request, OF_A_JOB)):
            return
        try:
            work()
        except _NotWantedError:
            log.info("job %d was cancelled", job)
        except UNetError as error:
            self._fail(job, type(error).__name__, str(error))
        except Exception:  # the boundary of the process: report, do not die
            log.exception("an order failed")
            deed = "Retrain" if isinstance(request, Train) else "Segment"
            self._fail(job, "EngineError", FAILED.format(deed=deed) + reason_in_log())

    def _listen(self) -> None:
        try:
            while (message := read_message(self._source)) is not None:
                job: int = message[0]["job"]
                self._job = max(self._job, job)
                request = cast(Request, from_message(message))
                if isinstance(request, StopTraining):  # the main loop is busy with what it stops
                    self._stopped = job
                    continue
                self._inbox.put((request, job))
        except Exception:  # what follows cannot be understood either
            log.exception("reading failed")
        os._exit(0)  # the viewer is gone: stop in the middle of whatever is computed

    def _do(self, request: Request, job: int) -> None:
        match request:
            case PredictTile() | ComputeBlock() | DecodeBlock() | WriteTile() | DropObjects():
                self._hand_over(self._work(request), request, job)
            case DropMaps() | Suggest() | Rank():
                self._tell(self._work(request)(), job)
            case Warm(model, device):
                self._load(str(model), device)
            case Open():
                self._open(request)
            case BeginTraining(plan, another):
                before = self._samples if another else []
                self._blocks, self._samples = None, [*before, FinetuneSamples(plan)]
            case Window() | Paint():
                assert self._samples, "windows come after BeginTraining"
                self._samples[-1].note(request)
            case Train():
                self._train(job)
            case Cancel() | StopTraining():
                pass  # its number alone made the older orders stale; the listener took the other
            case _:
                assert_never(request)

    def _work(self, order: Order) -> Replies:
        blocks = self._blocks
        assert blocks is not None, "an order comes after Open"
        return partial(blocks.do, order)

    def _hand_over(self, work: Replies, request: Request, job: int) -> None:
        """Give an order to the next thread that is free."""

        def done() -> Reply | None:
            return work() if job == self._job and job != self._failed else None

        assert self._threads is not None, "hired when the job began"
        pool = self._writer if isinstance(request, WRITTEN) else self._threads.pool
        self._due.put((pool.submit(done), job, request))

    def _tell(self, reply: Reply | None, job: int) -> None:
        if reply is None:
            return
        header, array = to_message(reply)
        with self._telling:
            write_message(self._sink, {**header, "job": job}, array)

    def _open(self, request: Open) -> None:
        from napari_unet.execution.block_worker import (  # noqa: PLC0415  see _load
            BlockWorker,
            storage_of,
        )
        from napari_unet.execution.label_edits import EditedPyramid  # noqa: PLC0415  loads zarr

        self._blocks = None  # if opening fails, no order may touch the last job's maps
        plan, labels = request.plan, request.labels
        predictor = self._load(plan.model_path, plan.device, plan.precision)
        self._hire(plan, predictor)
        job = Job(plan, request.decode, maps=request.maps, labels=labels)
        storage = storage_of(job)
        if labels is not None:
            storage = replace(storage, sink=EditedPyramid(labels))
        self._blocks = BlockWorker(job, storage, predictor)

    def _hire(self, plan: SegmentPlan, predictor: "Predictor") -> None:
        """See that there are as many threads as a plan can use."""
        from napari_unet.inference.threads import (  # noqa: PLC0415  see _load
            WorkerThreads,
            threads_for,
        )

        count = threads_for(replace(plan, device=predictor.device.type))
        if self._threads is None or self._threads.count != count:
            if self._threads is not None:
                self._threads.dismiss()
            self._threads = WorkerThreads(count)

    def _train(self, job: int) -> None:
        """Retrain, telling of it now and then, until it is over or no longer wanted."""
        from napari_unet.training.finetune import finetune_events  # noqa: PLC0415  see _load

        samples, self._samples, self._warm = self._samples, [], None
        assert samples, "Train comes after BeginTraining"

        def check() -> None:
            if self._job > job:
                raise _NotWantedError

        def stop() -> bool:
            return self._stopped == job

        (plan, windows), *others = [(one.plan, one.windows) for one in samples]
        events = finetune_events(plan, windows, others=others, stop=stop, check=check)
        told = 0.0
        for event in events:
            check()
            news = not isinstance(event, TrainingStep) or event.score is not None
            if not news and time.monotonic() - told < PACE:
                continue
            told = time.monotonic()
            self._tell(event, job)

    def _load(self, model: str, device: str, precision: str = "auto") -> "Predictor":
        # torch takes seconds to import: the listener must empty the pipe meanwhile, or the
        # viewer's thread would wait in the middle of sending a window.
        from napari_unet.inference.predict import Predictor  # noqa: PLC0415

        path = Path(model)
        changed = path.stat().st_mtime_ns if path.exists() else 0  # the name may be used again
        wanted = model, device, precision, changed
        if self._warm is None or self._warm[:-1] != wanted:
            self._warm = *wanted, Predictor(path, device, precision)
        return self._warm[-1]

    def _fail(self, job: int, kind: str, text: str) -> None:
        self._failed = job if self._failed is None else max(self._failed, job)
        self._tell(Failed(kind, text), job)


def main() -> None:
    """Serve standard input; anything printed by a library goes to standard error."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    keep_log(ENGINE)
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    Worker(sys.stdin.buffer, sink).run()


if __name__ == "__main__":
    main()
