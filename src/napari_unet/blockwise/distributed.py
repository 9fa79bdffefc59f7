"""Hands on other machines, hired with dask.distributed; the cluster is the person's.

The model is sent to every worker once, also to one that joins later; image, labels and the
objects in between are files that all machines must see under the same path. A worker that is lost
loses nothing: its blocks are computed again elsewhere.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster, WorkerPlugin, get_worker

from napari_unet.blockwise.hand import Hand
from napari_unet.blockwise.job import Job
from napari_unet.blockwise.ledger import Closing, Computed
from napari_unet.blockwise.patches import PatchesInFolder
from napari_unet.errors import EngineError
from napari_unet.inference.plan import Key

LOCAL = "local"  # address that means: a cluster on this computer
AHEAD = 4  # blocks for each thread of the cluster that wait or are computed
PATIENCE = 15  # seconds to wait for the scheduler's answer


class HandPlugin(WorkerPlugin):
    """Equips a worker for one job; the model is loaded when the first block comes."""

    def __init__(self, job: Job, weights: bytes) -> None:
        self._job, self._weights = job, weights
        self._hand: Hand | None = None

    def setup(self, worker: Any) -> None:
        """Put the model where this worker keeps its files."""
        path = Path(worker.local_directory) / f"{self._job.plan.model_sha}.safetensors"
        path.write_bytes(self._weights)
        self._job, self._weights = self._job.with_model(path), b""

    @property
    def hand(self) -> Hand:
        """The hand of this worker."""
        if self._hand is None:
            self._hand = self._job.hand()
        return self._hand


@dataclass(frozen=True, slots=True)
class RemoteHand:
    """Stands for the hand of whichever worker it is unpacked on.

    Attributes
    ----------
    name : str
        Of the plugin.
    scratch : Path
        Where objects wait.
    """

    name: str
    scratch: Path

    @property
    def _hand(self) -> Hand:
        plugins: dict[str, Any] = get_worker().plugins
        hand: Hand = plugins[self.name].hand
        return hand

    def compute(self, key: Key) -> Computed:
        """Find the objects of a block."""
        return self._hand.compute(key)

    def write(self, closing: Closing) -> None:
        """Write a tile."""
        self._hand.write(closing)

    def drop(self, keys: list[Key]) -> None:
        """Forget blocks; done by the client itself."""
        patches = PatchesInFolder(self.scratch / "patches")
        for key in keys:
            patches.drop(key)


@contextmanager
def connect(address: str) -> Iterator[Client]:
    """Connect to a scheduler, or start a cluster of one-thread workers on this computer.

    Parameters
    ----------
    address : str
        ``tcp://host:port``, or "local".
    """
    if address == LOCAL:
        cluster = LocalCluster(threads_per_worker=1, dashboard_address=":0")
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
def cluster_pool(job: Job, client: Client) -> Iterator[tuple[RemoteHand, Executor, int]]:
    """Equip the workers; give who works, the pool, and how many blocks to order."""
    name = f"napari-unet-{job.output.name}-{job.plan.model_sha[:8]}"
    client.register_plugin(HandPlugin(job, Path(job.plan.model_path).read_bytes()), name=name)
    threads = sum(client.nthreads().values())
    if not threads:
        address = client.scheduler_info()["address"]
        raise EngineError(
            f"The dask scheduler at {address} has no workers. Start some with 'dask worker "
            f"{address} --nthreads 1' on machines that see the image and the output folder."
        )
    try:
        yield RemoteHand(name, job.scratch), client.get_executor(pure=False), AHEAD * threads
    finally:
        client.unregister_worker_plugin(name)
