"""The backend that computes in this process: for library calls and the command line."""

from collections import deque
from pathlib import Path

from napari_unet.execution.task_runner import Executor
from napari_unet.execution.tasks import Done, Task
from napari_unet.inference.predict import Predictor
from napari_unet.tiling.plan import SegmentPlan


class LocalBackend:
    """Does the tasks in this process; `collect` does one at a time."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()
        self._executor: Executor | None = None

    def open(self, plan: SegmentPlan, folder: Path) -> None:
        """Load the model and open the store."""
        self._tasks.clear()
        self._executor = Executor(plan, folder, self.predictor_for(plan))

    def predictor_for(self, plan: SegmentPlan) -> Predictor | None:
        """Return the model a plan needs, if it is loaded."""
        return self._executor.predictor_for(plan) if self._executor else None

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._tasks.append(task)

    def collect(self, timeout: float) -> list[Done]:
        """Do the next task and return what came of it."""
        if not self._tasks or self._executor is None:
            return []
        return self._executor.do(self._tasks.popleft())
