"""Hands of this computer: one for each core, as far as there is memory."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import torch

from napari_unet.inference.plan import SegmentPlan

BYTES = 160  # of memory that a pixel takes while the network computes it, at 16 filters
SHARE = 0.5  # of the memory that is free may be taken
AHEAD = 2  # blocks for each hand that wait or are computed


@contextmanager
def thread_pool(plan: SegmentPlan) -> Iterator[tuple[ThreadPoolExecutor, Callable[[], int]]]:
    """Hire threads of one core each; give the pool, and how many blocks to order.

    One thread that does a whole block waits for no other, so as many blocks at a time as there
    are cores take less time than one block on all cores. A graphics card is given one thread. One
    hand alone uses all cores.
    """
    cores = torch.get_num_threads()
    hands = hands_for(plan, cores)

    def begin() -> None:
        torch.set_num_threads(1)

    pool = ThreadPoolExecutor(hands, "block", initializer=begin if hands > 1 else None)
    try:
        yield pool, lambda: AHEAD * hands
    finally:
        pool.shutdown(cancel_futures=True)
        if hands > 1:
            torch.set_num_threads(cores)  # for threads that the caller starts later


def hands_for(plan: SegmentPlan, cores: int, memory: int | None = None) -> int:
    """How many threads a plan gets.

    Parameters
    ----------
    plan : SegmentPlan
        Device, and size of the blocks.
    cores : int
        That may be used.
    memory : int, optional
        Bytes that are free; default: what this computer has now.
    """
    blocks = sum(1 for _ in plan.blocks())
    if plan.device != "cpu":
        return 1
    window = max(plan.window(tile).size for tile in plan.tiles.tiles) * max(1.0, plan.zoom) ** 2
    needed = window * BYTES * plan.card.spec.base_filters / 16
    free = psutil.virtual_memory().available if memory is None else memory
    return max(1, min(cores, blocks, int(SHARE * free / needed)))
