"""The viewer's end of the engine: starts the child process and streams its results."""

import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

from napari_unet import errors
from napari_unet.engine.messages import message_to_done, task_to_message
from napari_unet.engine.protocol import Header, Message, read_message, write_message
from napari_unet.inference.plan import SegmentPlan
from napari_unet.inference.tasks import Done, Task

STOPPED = (
    "The process that computes stopped unexpectedly{reason}. What is finished stays; press "
    "Segment to go on with a new one."
)
GRACE = 2.0  # seconds an engine may take to leave by itself


class Engine:
    """A child process that computes; started when needed, and again after it died.

    It is a `napari_unet.inference.tasks.Backend`. One job at a time: opening a plan drops the
    tasks of the one before.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._messages: queue.Queue[Message | None] = queue.Queue()
        self._log: IO[bytes] | None = None
        self._job = 0
        self._sending = threading.Lock()  # a run sends from its thread, Cancel from the main one

    @property
    def pid(self) -> int | None:
        """Process id, None while no engine runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the child unless it runs already; it imports torch in the background."""
        if self.pid is not None:
            return
        self.close()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        self._messages = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "napari_unet.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        threading.Thread(
            target=_listen,
            args=(self._process.stdout, self._messages),
            name="napari-unet-engine",
            daemon=True,
        ).start()

    def warm_up(self, model: Path, device: str) -> None:
        """Load a model ahead of the first job."""
        self.start()
        self._send({"op": "warm", "model": str(model), "device": device})

    def open(self, plan: SegmentPlan, folder: Path) -> None:
        """Begin a job; results of earlier ones are no longer delivered."""
        self.start()
        self._job += 1
        self._send({"op": "open", "plan": plan.to_json().decode(), "folder": str(folder)})

    def submit(self, task: Task) -> None:
        """Queue a task of the open job."""
        header, array = task_to_message(task)
        self._send(header, array)

    def cancel(self) -> None:
        """Drop the tasks that are queued; the one being computed ends by itself."""
        self._job += 1
        if self.pid is not None:
            self._send({"op": "cancel"})

    def collect(self, timeout: float) -> list[Done]:
        """Return the results of the open job so far, waiting up to `timeout` s for the first.

        Raises
        ------
        EngineError
            If the process died.
        UNetError
            Whatever the process reported.
        """
        done: list[Done] = []
        deadline = time.monotonic() + timeout
        while True:
            wait = 0.0 if done else max(0.0, deadline - time.monotonic())
            try:
                message = self._messages.get(timeout=wait) if wait else self._messages.get_nowait()
            except queue.Empty:
                return done
            if message is None:
                raise self._death()
            if message[0].get("job") == self._job:
                done.append(_result(message))

    def close(self) -> None:
        """End the process and wait for it."""
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

    def _send(self, header: Header, array: Any = None) -> None:
        if self._process is None or self._process.stdin is None:
            raise errors.EngineError(STOPPED.format(reason=""))
        try:
            with self._sending:
                write_message(self._process.stdin, {**header, "job": self._job}, array)
        except OSError as error:
            raise self._death() from error

    def _death(self) -> errors.EngineError:
        """Say how the process ended, and forget it so that the next start makes another."""
        process = self._process
        code = None
        if process is not None:
            try:
                code = process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
        detail = self._last_words()
        self.close()
        reason = f" (signal {-code})" if code is not None and code < 0 else detail
        return errors.EngineError(STOPPED.format(reason=reason))

    def _last_words(self) -> str:
        if self._log is None or self._log.closed:
            return ""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f" ({lines[-1]})" if lines else ""


def _listen(stream: IO[bytes], messages: "queue.Queue[Message | None]") -> None:
    """Read until the stream ends; None marks the end."""
    with stream:
        while True:
            message = read_message(stream)
            messages.put(message)
            if message is None:
                return


def _result(message: Message) -> Done:
    header = message[0]
    if header["op"] == "error":
        kind = getattr(errors, header["kind"], errors.EngineError)
        raise kind(header["text"])
    return message_to_done(message)
