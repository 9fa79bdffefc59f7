"""The viewer's end of the engine: starts the child process and streams its results."""

import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from napari_unet import errors
from napari_unet.engine.commands import environment
from napari_unet.engine.logs import reason_in_log
from napari_unet.engine.messages import (
    Cancel,
    Failed,
    Open,
    Reply,
    Request,
    StopTraining,
    Warm,
    from_message,
    to_message,
    training_requests,
)
from napari_unet.engine.protocol import Message, read_message, write_message
from napari_unet.execution.events import HEARTBEAT, Waiting
from napari_unet.execution.orders import Answer, ComputeBlock, Job, Order, PredictTile
from napari_unet.tiling.plan import SegmentPlan
from napari_unet.training.events import Finished, TrainingEvent, TrainingStep

if TYPE_CHECKING:
    from napari_unet.training.events import FinetuneInputs

log = logging.getLogger(__name__)
WORDS = 100  # lines that a process which died leaves in the log
STOPPED = "The process that computes stopped unexpectedly{reason}. {rest}"
SEGMENTING = "What is finished stays; press Segment to go on with a new one."
RETRAINING = (
    "The model stays as it was, and so does everything painted; press Retrain to begin again with "
    "a new one."
)
CLOSED = "The window that this was for is closed."
REPLACED = "Another job has taken the engine over. What is finished stays; press Segment again."
MOST_AHEAD = 9  # windows that are sent before their results are back
BYTES_AHEAD = 2**28  # of them all, as 32-bit numbers
GRACE = 2.0  # seconds an engine may take to leave by itself


class Engine:
    """A child process that computes; started when needed, and again after it died.

    It is a `napari_unet.execution.executors.Executor`; images are read in this process, everything
    else happens in the child. One job at a time: opening one drops the orders of the one before. A
    job belongs to the thread that opened it: a thread whose job was replaced, and that has not
    noticed yet, neither sends nor receives anything any more.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._serving: subprocess.Popen[bytes] | None = None  # what the open job was sent to
        self._messages: queue.Queue[Message | None] = queue.Queue()
        self._log: IO[bytes] | None = None
        self._job = 0
        self._rest = SEGMENTING  # what to do should the process die
        self._owner = threading.get_ident()
        self._opened = 0.0
        self._ended = False
        self._open = threading.local()  # what this thread's job reads
        self._lock = threading.Lock()  # a message is written whole; a job is replaced at once
        self._closed = False
        self._changing = threading.RLock()  # of the process, and whether there may be one

    @property
    def pid(self) -> int | None:
        """Process id, None while no engine runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the child unless it runs already; it imports torch in the background.

        Raises
        ------
        EngineError
            If the engine was closed: a thread that is late must not begin anew.
        """
        with self._changing:
            if self._closed:
                raise errors.EngineError(CLOSED)
            if self.pid is None or self._ended:
                self._end()
                self._begin_process()

    def _begin_process(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        self._messages, self._ended = queue.Queue(), False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "napari_unet.engine.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            env=environment(),
        )
        threading.Thread(
            target=self._listen,
            args=(self._process,),
            name="napari-unet-engine",
            daemon=True,
        ).start()

    def warm_up(self, model: Path, device: str) -> None:
        """Load a model ahead of the first job."""
        self.start()
        self._send(Warm(model, device))

    @property
    def ahead(self) -> int:
        """How many windows to send before their answers are back."""
        return ahead_for(self._job_here.plan)

    @property
    def _job_here(self) -> Job:
        job = self._open.job
        assert isinstance(job, Job), "an order comes after open"
        return job

    def open(self, job: Job) -> None:
        """Begin a job; answers of earlier ones are no longer delivered."""
        labels = job.labels
        assert labels is None or isinstance(labels, Path), "no array is shared with the child"
        self._begin(SEGMENTING)
        self._open.job = job
        self._send(Open(job.plan, job.decode, job.maps, labels))

    def _begin(self, rest: str) -> int:
        """Make this thread the owner of a new job, whose number is returned."""
        self.start()
        with self._lock:
            self._job += 1
            self._owner, self._opened = threading.get_ident(), time.monotonic()
            self._messages = queue.Queue()  # the job before may still wait at its own
            self._serving, self._rest = self._process, rest
            return self._job

    def submit(self, order: Order) -> None:
        """Queue an order of the open job, with the pixels that it needs."""
        if isinstance(order, PredictTile | ComputeBlock):
            order = replace(order, array=self._job_here.pixels(order))
        self._send(order, mine=True)

    def abandon(self) -> None:
        """Nothing: orders are void as soon as the job is cancelled, or another one begins."""

    def cancel(self) -> None:
        """Drop the tasks that are queued, or the retraining; what is computed just now ends."""
        with self._lock:
            self._job += 1
        if self.pid is not None:
            self._send(Cancel())

    def finetune(
        self, inputs: "FinetuneInputs", target: Path
    ) -> Generator[TrainingEvent | Waiting, None, None]:
        """Retrain a model; closing the generator, or `cancel`, ends it without a result.

        Parameters
        ----------
        inputs : FinetuneInputs
            Parent, windows of what was painted, card and settings.
        target : Path
            Model file that the process writes; its folder must exist.

        Yields
        ------
        TrainingStep, Finished or Waiting
            `Waiting` every `HEARTBEAT` while there is nothing new; `Finished` comes last.

        Raises
        ------
        EngineError
            If the process died.
        UNetError
            Whatever the process reported, such as a `TrainingError`.
        """
        job = self._begin(RETRAINING)
        try:
            for request in training_requests(inputs, target):
                self._send(request, mine=True)
            while self._job == job:
                for event in self._receive(HEARTBEAT):
                    assert isinstance(event, TrainingStep | Finished), "nothing else was asked for"
                    if isinstance(event, Finished):
                        job = -1  # nothing is left to cancel
                        yield event
                        return
                    yield event
                yield Waiting()
            if self._owner != threading.get_ident():
                raise errors.EngineError(REPLACED)
        finally:
            if self._job == job:
                self.cancel()

    def stop(self) -> None:
        """End the retraining that runs, and keep the best of it so far."""
        if self.pid is not None:
            self._send(StopTraining())

    def collect(self, timeout: float) -> list[Answer]:
        """Return the answers of the open job so far, waiting up to `timeout` s for the first.

        Raises
        ------
        EngineError
            If the process died.
        UNetError
            Whatever the process reported.
        """
        return cast(list[Answer], self._receive(timeout))  # no retraining is asked for

    def _receive(self, timeout: float) -> list[Reply]:
        """Return the open job's replies so far, waiting up to `timeout` s for the first."""
        found: list[Reply] = []
        deadline = time.monotonic() + timeout
        with self._lock:
            messages, job = self._messages, self._job
            mine = self._owner == threading.get_ident()
            late = time.monotonic() - self._opened
        if not mine:
            if late > GRACE:
                raise errors.EngineError(REPLACED)
            time.sleep(timeout)
        while mine:
            wait = 0.0 if found else max(0.0, deadline - time.monotonic())
            try:
                message = messages.get(timeout=wait) if wait else messages.get_nowait()
            except queue.Empty:
                if self._is_lost(job):
                    raise self._death() from None
                break
            if message is not None and message[0].get("job") == job:
                found.append(_checked(message))
        return found

    def _is_lost(self, job: int) -> bool:
        """Whether nothing more can come for a job: its process is gone, or another has begun.

        The end of the pipe is not enough to tell: the next process may have been started
        already, for another reason, such as another model chosen in the panel.
        """
        with self._lock:
            if job != self._job:
                return False  # cancelled, or replaced: nobody waits for it
            serving = self._serving
            if serving is None or serving is not self._process:
                return True
            return self._ended or serving.poll() is not None

    def close(self) -> None:
        """End the process for good and wait for it."""
        with self._changing:
            self._closed = True
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            assert process.stdin is not None, "started with a pipe"
            process.stdin.close()
        except OSError:
            pass  # it is dead already: there is nobody left to tell
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._log:
            self._log.close()

    def _send(self, request: Request, *, mine: bool = False) -> None:
        """Write a request; with `mine`, only if the open job belongs to this thread."""
        process, (header, array) = self._process, to_message(request)
        if mine and self._is_lost(self._job):
            raise self._death()
        if process is None or process.stdin is None:
            raise errors.EngineError(STOPPED.format(reason="", rest=self._rest))
        try:
            with self._lock:
                if not mine or self._owner == threading.get_ident():
                    write_message(process.stdin, {**header, "job": self._job}, array)
        except (OSError, ValueError) as error:  # ValueError: closed by another thread
            raise self._death() from error

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        """Pass on what the child sends until it ends; None wakes the waiting thread."""
        assert process.stdout is not None, "started with a pipe"
        try:
            with process.stdout as stream:
                while (message := read_message(stream)) is not None:
                    self._messages.put(message)
        finally:
            if process is self._process:
                self._ended = True
                self._messages.put(None)

    def _death(self) -> errors.EngineError:
        """Say how the process ended, and forget it so that the next start makes another."""
        process = self._process
        if process is not self._serving:  # another one took its place, and is well
            return errors.EngineError(STOPPED.format(reason="", rest=self._rest))
        code = None
        if process is not None:
            try:
                code = process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
        words = self._last_words()
        self._end()
        log.error("the engine ended with code %s: %s", code, "\n".join(words))
        detail = f" ({words[-1]})" if words else ""
        reason = f" (signal {-code})" if code is not None and code < 0 else detail
        text = STOPPED.format(reason=reason, rest=self._rest)
        return errors.EngineError(text + reason_in_log())

    def _last_words(self) -> list[str]:
        """Return the last lines that the process wrote, such as a traceback."""
        if self._log is None or self._log.closed:
            return []
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip().splitlines()[-WORDS:]


def ahead_for(plan: SegmentPlan) -> int:
    """How many windows of a plan to send before results are back, so that no core waits for one."""
    fitting = BYTES_AHEAD // (4 * plan.channels * plan.tile**2)
    return max(2, min(1 + (os.cpu_count() or 1), fitting, MOST_AHEAD))


def _checked(message: Message) -> Reply:
    """Read a reply; raise what the process reported, if it reports an error."""
    reply = from_message(message)
    if isinstance(reply, Failed):
        kind = getattr(errors, reply.kind, errors.EngineError)
        raise kind(reply.text)
    return cast(Reply, reply)
