"""Computes what a run orders: the protocol, and executors over a pool of threads or machines."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import Executor as FuturesExecutor
from contextlib import contextmanager
from typing import Protocol

from napari_unet.execution.orders import AT_ONCE, Answer, Job, Order


class Executor(Protocol):
    """Carries out orders, several at a time."""

    @property
    def ahead(self) -> int:
        """How many orders with pixels are given before their answers are back."""

    def open(self, job: Job) -> None:
        """Prepare for a job; orders of an earlier one are dropped."""

    def submit(self, order: Order) -> None:
        """Queue an order."""

    def collect(self, timeout: float) -> Sequence[Answer]:
        """Return what is done, waiting up to `timeout` seconds for the first."""

    def abandon(self) -> None:
        """Do nothing more of what was ordered."""


class Worker(Protocol):
    """Carries out one order; `block_worker.BlockWorker`, or one that stands for it."""

    def do(self, order: Order) -> Answer | None:
        """Carry out an order."""


class FutureOrders:
    """Orders that a pool of threads, or of machines, carries out.

    Parameters
    ----------
    worker : Worker
        Does one.
    pool : concurrent.futures.Executor
        Runs it.
    in_order : bool
        Whether answers come in the order of the orders.
    """

    def __init__(self, worker: Worker, pool: FuturesExecutor, *, in_order: bool = False) -> None:
        self._worker, self._pool, self._in_order = worker, pool, in_order
        self._under_way: dict[Future[Answer | None], None] = {}

    def submit(self, order: Order) -> None:
        """Give an order to the pool."""
        self._under_way[self._pool.submit(self._worker.do, order)] = None

    def collect(self, timeout: float) -> list[Answer]:
        """Return what is done, waiting up to `timeout` seconds for the first."""
        first = list(self._under_way)[:1] if self._in_order else self._under_way
        over: Iterable[Future[Answer | None]] = wait(first, timeout, FIRST_COMPLETED).done
        if self._in_order:
            over = self._done_in_order()
        answers = []
        for future in list(over):
            del self._under_way[future]
            answers.append(future.result())  # raises what went wrong
        return [answer for answer in answers if answer is not None]

    def _done_in_order(self) -> Iterator[Future[Answer | None]]:
        for future in self._under_way:
            if not future.done():
                return
            yield future

    def abandon(self) -> None:
        """Do nothing more of what was ordered."""
        for future in self._under_way:
            future.cancel()
        self._under_way.clear()


class PoolExecutor:
    """An `Executor` for one job, whose pool is hired already: the workers of a cluster.

    Parameters
    ----------
    worker : Worker
        Does one order.
    pool : concurrent.futures.Executor
        Runs it.
    ahead : callable
        Says how many orders to give before their answers are back.
    """

    def __init__(self, worker: Worker, pool: FuturesExecutor, ahead: Callable[[], int]) -> None:
        self._worker, self._orders, self._ahead = worker, FutureOrders(worker, pool), ahead

    @property
    def ahead(self) -> int:
        """How many orders are given before their answers are back."""
        return self._ahead()

    def open(self, job: Job) -> None:
        """Nothing: `worker` knows the job."""

    def submit(self, order: Order) -> None:
        """Queue an order; what is dropped is dropped at once, and here."""
        if isinstance(order, AT_ONCE):
            self._worker.do(order)
        else:
            self._orders.submit(order)

    def collect(self, timeout: float) -> list[Answer]:
        """Return what is done, waiting up to `timeout` seconds for the first."""
        return self._orders.collect(timeout)

    def abandon(self) -> None:
        """Do nothing more of what was ordered."""
        self._orders.abandon()


@contextmanager
def abandoning(executor: Executor) -> Iterator[None]:
    """Abandon what an executor was ordered, however a run ends."""
    try:
        yield
    finally:
        executor.abandon()
