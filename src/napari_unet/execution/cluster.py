"""Workers on other machines, with dask.distributed; the cluster is the person's.

The model is sent to every worker once, also to one that joins later; image, labels and the
objects in between are files that all machines must see under the same path. A worker that is lost
loses nothing: its blocks are computed again elsewhere.
"""

import logging
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from distributed import Client, KilledWorker, LocalCluster, WorkerPlugin, get_worker

from napari_unet.errors import EngineError
from napari_unet.execution.block_worker import BlockWorker
from napari_unet.execution.executors import PoolExecutor
from napari_unet.execution.orders import Answer, DropObjects, Order
from napari_unet.execution.slide import SlidePlan
from napari_unet.inference.memory import free_memory
from napari_unet.inference.predict import settled
from napari_unet.settings import TORCH_ENVIRONMENT

log = logging.getLogger(__name__)
LOCAL = "local"  # address that means: a cluster on this computer
MEMORY = 4 * 10**9  # bytes of free memory for each worker of a cluster on this computer
AHEAD = 4  # blocks for each thread of the cluster that wait or are computed
KILLED = KilledWorker  # what a task raises whose workers were lost again and again
PATIENCE = 15  # seconds to wait for the scheduler's answer
Result = TypeVar("Result")


class ModelPlugin(WorkerPlugin):  # type: ignore[misc, unused-ignore]
    """A model as it lies on one worker, and the block worker that uses it."""

    def __init__(self, run: str, weights: bytes) -> None:
        self._run, self._weights = run, weights
        self.path = Path()
        self._worker: tuple[SlidePlan, BlockWorker] | None = None

    def setup(self, worker: Any) -> None:
        """Put the model where this worker keeps its files."""
        # a file for each run: another one that ends takes its own away
        self.path = Path(worker.local_directory) / f"{self._run}.safetensors"
        self.path.write_bytes(self._weights)
        self._weights = b""
        for name, value in TORCH_ENVIRONMENT.items():  # before torch is loaded
            os.environ.setdefault(name, value)

    def teardown(self, worker: Any) -> None:
        """Take the model away again."""
        self.path.unlink(missing_ok=True)

    def worker(self, slide: SlidePlan) -> BlockWorker:
        """Open image, model and result when the first block of a slide comes."""
        if self._worker is None or self._worker[0] != slide:
            self._worker = slide, BlockWorker(slide.with_model(self.path).open())
        return self._worker[1]


@dataclass(frozen=True, slots=True)
class RemoteWorker:
    """Stands for the block worker of whichever machine it is unpacked on.

    Attributes
    ----------
    name : str
        Of the plugin with the model.
    slide : SlidePlan
        What to work on.
    """

    name: str
    slide: SlidePlan

    def do(self, order: Order) -> Answer | None:
        """Carry out an order; files are dropped by the client itself."""
        if not isinstance(order, DropObjects):
            return _plugin(self.name).worker(self.slide).do(order)
        for key in order.keys:
            self.slide.patches.drop(key)
        return None


@dataclass(frozen=True, slots=True)
class WithModel:
    """Calls a function on a worker, with the path of the model there as its first argument.

    Attributes
    ----------
    name : str
        Of the plugin with the model.
    """

    name: str

    def __call__(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call it."""
        return function(_plugin(self.name).path, *arguments)


def _plugin(name: str) -> ModelPlugin:
    found = get_worker().plugins[name]
    assert isinstance(found, ModelPlugin), "the name is ours"
    return found


@contextmanager
def connect(address: str) -> Iterator[Client]:
    """Connect to a scheduler, or start a cluster of one-thread workers on this computer.

    Parameters
    ----------
    address : str
        ``tcp://host:port``, or "local".
    """
    if address == LOCAL:
        fitting = int(free_memory() / MEMORY)
        workers = max(1, min(os.cpu_count() or 1, fitting))
        # a worker is not killed for its memory: there are as few as fit
        cluster = LocalCluster(
            workers, threads_per_worker=1, memory_limit=0, dashboard_address="127.0.0.1:0"
        )
        with cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"No dask scheduler answers at {address!r} ({error}). Start one with 'dask scheduler' "
            "and give its address, such as tcp://host:8786, or 'local'."
        ) from error
    with client:
        yield client


@contextmanager
def equipped(client: Client, model: Path, sha: str) -> Iterator[tuple[WithModel, Executor]]:
    """Send a model to every worker; give what calls functions with it, and the pool."""
    check_workers(client)
    name = f"napari-unet-{sha[:8]}-{uuid.uuid4().hex[:8]}"  # several runs may share workers
    client.register_plugin(ModelPlugin(name, model.read_bytes()), name=name)
    try:
        yield WithModel(name), client.get_executor(pure=False)
    except (KilledWorker, CancelledError) as error:
        raise EngineError(
            f"The cluster gave up ({error}). Look at the workers' logs, most often their memory is "
            "too small; then start the same command again, it goes on where it was (for a folder "
            "of images with --skip-existing)."
        ) from error
    finally:
        try:
            client.unregister_worker_plugin(name)
        except (OSError, TimeoutError) as error:  # the scheduler is gone, and the plugin with it
            log.warning("the model could not be taken back from the workers: %s", error)


def finished(futures: Iterable[Future[Result]], client: Client) -> Iterator[Future[Result]]:
    """Yield futures as they are done; `EngineError` when the cluster has no workers any more."""
    missing = set(futures)
    while missing:
        done, missing = wait(missing, PATIENCE, FIRST_COMPLETED)
        yield from done
        if not done:
            check_workers(client)


def check_workers(client: Client) -> None:
    """Wait a moment for workers, which may be starting; `EngineError` if there are none."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        address = client.scheduler_info()["address"]
        raise EngineError(
            f"The dask scheduler at {address} has no workers. Start some with 'dask worker "
            f"{address} --nthreads 1' on machines that see the image and the output folder."
        ) from error


def computing(client: Client, device: str, precision: str) -> tuple[str, str]:
    """Return the device and precision that "auto" means on the workers.

    Where they differ, what all of them can do: a block must not depend on its worker.
    """
    check_workers(client)
    found = set(client.run(settled, device, precision).values())
    return found.pop() if len(found) == 1 else ("cpu", "float32")


@contextmanager
def cluster_executor(slide: SlidePlan, client: Client) -> Iterator[PoolExecutor]:
    """Give the executor of one slide."""
    with equipped(client, Path(slide.plan.model_path), slide.plan.model_sha) as (there, pool):
        worker = RemoteWorker(there.name, slide)
        yield PoolExecutor(worker, pool, lambda: AHEAD * threads_of(client))


def threads_of(client: Client) -> int:
    """Threads that the cluster has now; workers come and go, and all gone is an error."""
    workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        check_workers(client)  # new ones may be starting
        return threads_of(client)
    return sum(int(worker["nthreads"]) for worker in workers.values())
