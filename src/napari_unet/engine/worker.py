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
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_unet.engine.block_messages import OPEN, ORDERS, obey
from napari_unet.engine.messages import (
    done_to_message,
    header_to_plan,
    learning_to_message,
    message_to_task,
)
from napari_unet.engine.protocol import Header, Message, read_message, write_message
from napari_unet.errors import UNetError
from napari_unet.execution.patches import PatchesInFolder, patches_of
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import SegmentPlan
from napari_unet.training.events import TrainingStep
from napari_unet.training.windows import TrainingWindow

if TYPE_CHECKING:
    from napari_unet.execution.block_worker import Maker
    from napari_unet.execution.task_runner import Executor
    from napari_unet.inference.predict import Predictor
    from napari_unet.inference.threads import Hands

log = logging.getLogger(__name__)
TASKS = (
    "predict",
    "alone",
    "decode",
    "drop",
    "suggest",
    "rank",
    "window",
    "paint",
    "learn",
    *ORDERS,
)
NICENESS = 5  # the viewer's brush goes first
PACE = 0.1  # seconds between two messages about a retraining
WRITTEN = ("compose", "forget")  # of these, those that must be done one after the other
HANDED = ("predict", "alone", "decode", *ORDERS)  # whoever has a hand free does these


class _NotWantedError(Exception):
    """The job was cancelled while it was computed."""


@dataclass(slots=True)
class FinetuneSamples:
    """What a retraining needs, as it arrives."""

    header: Header
    windows: list[TrainingWindow] = field(default_factory=list)
    window: NDArray[Any] | None = None

    def note(self, message: Message) -> None:
        """Keep a window, or the paint that follows it."""
        header, array = message
        assert array is not None, "a window and its paint are arrays"
        if header["op"] == "window":
            self.window = array
        else:
            assert self.window is not None, "paint comes after its window"
            held, judged = tuple(header["held"]), tuple(header["judged"])
            self.windows.append(TrainingWindow(self.window, array, held, judged, header["zoom"]))


class Worker:
    """Does what the messages say, skipping jobs that are no longer wanted.

    Tiles and blocks are done by several hands at once, so that one computes while another makes
    objects. What came of them is told in the order in which they were asked for: ids do not depend
    on the clock.
    """

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self._source, self._sink = source, sink
        self._telling = threading.Lock()  # a message is written whole
        self._hands: Hands | None = None
        # Of one tile first what is known so far is written, then the rest: one after the other.
        self._writer = ThreadPoolExecutor(1, "writer")
        self._due: queue.Queue[tuple[Future[list[Message]], int, str]] = queue.Queue()
        self._inbox: queue.Queue[Message | None] = queue.Queue()
        self._job = self._failed = self._stopped = -1
        self._lesson: FinetuneSamples | None = None
        self._executor: Executor | None = None
        self._maker: Maker | None = None
        self._warm: tuple[str, str, str, int, Predictor] | None = None

    def run(self) -> None:
        """Work until the input ends."""
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._report, daemon=True).start()
        while (message := self._inbox.get()) is not None:
            job, op = message[0]["job"], message[0]["op"]
            self._attempt(partial(self._do, message, job), job, op)

    def _report(self) -> None:
        """Tell what the hands have done, in the order in which it was asked for."""
        while True:
            done, job, op = self._due.get()
            self._attempt(partial(self._tell_of, done, job), job, op)

    def _tell_of(self, done: Future[list[Message]], job: int) -> None:
        self._tell(done.result(), job)

    def _attempt(self, work: Callable[[], None], job: int, op: str) -> None:
        """Do a piece of a job that is still wanted; if it fails, say so and leave the rest."""
        if job < self._job or (job == self._failed and op in TASKS):
            return
        try:
            work()
        except _NotWantedError:
            log.info("job %d was cancelled", job)
        except UNetError as error:
            self._fail(job, type(error).__name__, str(error))
        except Exception as error:  # the boundary of the process: report, do not die
            log.exception("task failed")
            deed = "Retrain" if op == "learn" else "Segment"
            self._fail(job, "EngineError", f"Computing failed: {error}. Press {deed} again.")

    def _listen(self) -> None:
        try:
            while (message := read_message(self._source)) is not None:
                self._job = max(self._job, message[0]["job"])
                if message[0]["op"] == "stop":  # now: the main loop is busy with what it stops
                    self._stopped = message[0]["job"]
                    continue
                self._inbox.put(message)
        except Exception:  # what follows cannot be understood either
            log.exception("reading failed")
        os._exit(0)  # the viewer is gone: stop in the middle of whatever is computed

    def _do(self, message: Message, job: int) -> None:
        header = message[0]
        match header["op"]:
            case op if op in HANDED:
                self._hand_over(self._obey if op in ORDERS else self._task, message, job)
            case "warm":
                self._load(header["model"], header["device"])
            case "open":
                self._open(header)
            case op if op == OPEN:
                self._open_slide(header)
            case "cancel":
                pass  # its number alone made the older tasks stale
            case "teach":
                self._executor, self._lesson = None, FinetuneSamples(header)
            case "window" | "paint":
                assert self._lesson is not None, "windows come after teach"
                self._lesson.note(message)
            case "learn":
                self._learn(job)
            case _:
                self._tell(self._task(message)(), job)

    def _hand_over(
        self, order: Callable[[Message], Callable[[], list[Message]]], message: Message, job: int
    ) -> None:
        """Give a task to the next hand that is free."""
        work, op = order(message), message[0]["op"]

        def done() -> list[Message]:
            return work() if job == self._job and job != self._failed else []

        assert self._hands is not None, "hired when the job began"
        pool = self._writer if op in WRITTEN else self._hands.pool
        self._due.put((pool.submit(done), job, op))

    def _task(self, message: Message) -> Callable[[], list[Message]]:
        executor = self._executor
        assert executor is not None, "a task comes after open"
        return lambda: [done_to_message(done) for done in executor.do(message_to_task(message))]

    def _obey(self, message: Message) -> Callable[[], list[Message]]:
        maker = self._maker
        assert maker is not None, "an order comes after a slide"
        return lambda: [(reply, None) for reply in obey(message, maker)]

    def _tell(self, messages: Iterable[Message], job: int) -> None:
        for header, array in messages:
            with self._telling:
                write_message(self._sink, {**header, "job": job}, array)

    def _open(self, header: Header) -> None:
        from napari_unet.execution.task_runner import Executor  # noqa: PLC0415  see _load

        self._executor = None  # if opening fails, no task may touch the last job's maps
        plan = SegmentPlan.from_json(header["plan"].encode())
        predictor = self._load(plan.model_path, plan.device, plan.precision)
        self._hire(plan, predictor)
        self._executor = Executor(plan, Path(header["folder"]), predictor)

    def _open_slide(self, header: Header) -> None:
        from napari_unet.execution.block_worker import Maker  # noqa: PLC0415  see _load
        from napari_unet.execution.label_edits import EditedPyramid  # noqa: PLC0415  loads zarr

        self._maker = None
        plan = SegmentPlan.from_json(header["plan"].encode())
        predictor = self._load(plan.model_path, plan.device, plan.precision)
        self._hire(plan, predictor)
        decode, output = DecodeSettings.model_validate(header["decode"]), Path(header["output"])
        patches = PatchesInFolder(patches_of(output))
        self._maker = Maker(plan, decode, patches, EditedPyramid(output), predictor)

    def _hire(self, plan: SegmentPlan, predictor: "Predictor") -> None:
        """See that there are as many hands as a plan can use."""
        from napari_unet.inference.threads import Hands, hands_for  # noqa: PLC0415  see _load

        count = hands_for(replace(plan, device=predictor.device.type))
        if self._hands is None or self._hands.count != count:
            if self._hands is not None:
                self._hands.dismiss()
            self._hands = Hands(count)

    def _learn(self, job: int) -> None:
        """Retrain, telling of it now and then, until it is over or no longer wanted."""
        from napari_unet.training.finetune import finetune_events  # noqa: PLC0415  see _load

        lesson, self._lesson, self._warm = self._lesson, None, None
        assert lesson is not None, "learn comes after teach"

        def check() -> None:
            if self._job > job:
                raise _NotWantedError

        plan, stop = header_to_plan(lesson.header), lambda: self._stopped == job
        events = finetune_events(plan, lesson.windows, stop=stop, check=check)
        told = 0.0
        for event in events:
            check()
            news = not isinstance(event, TrainingStep) or event.score is not None
            if not news and time.monotonic() - told < PACE:
                continue
            told = time.monotonic()
            self._tell([learning_to_message(event)], job)

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
        self._failed = max(self._failed, job)
        self._tell([({"op": "error", "kind": kind, "text": text}, None)], job)


def main() -> None:
    """Serve standard input; anything printed by a library goes to standard error."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    Worker(sys.stdin.buffer, sink).run()


if __name__ == "__main__":
    main()
