"""Hands of this computer: one for each core, as far as there is memory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import torch

from napari_unet.inference.plan import SegmentPlan

BYTES = 400  # of memory that a pixel takes while the network computes it, at 16 filters
SHARE = 0.5  # of the memory that is free may be taken
AHEAD = 2  # blocks for each hand that wait or are computed


@contextmanager
def thread_pool(plan: SegmentPlan) -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Hire threads, each with its share of the cores; give the pool and how many blocks to order.

    One thread that does a whole block waits for no other, so as many blocks at a time as there
    are cores take less time than one block on all cores. A graphics card is given two.
    """
    cores = torch.get_num_threads()
    hands = _hands(plan, cores)

    def begin() -> None:
        torch.set_num_threads(max(1, cores // hands))

    pool = ThreadPoolExecutor(hands, "block", initializer=begin)
    try:
        yield pool, AHEAD * hands
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)  # for threads that the caller starts later


def _hands(plan: SegmentPlan, cores: int) -> int:
    blocks = sum(1 for _ in plan.blocks())
    if plan.device not in ("auto", "cpu"):
        return min(2, blocks)
    window = max(plan.window(tile).size for tile in plan.tiles.tiles) * max(1.0, plan.zoom) ** 2
    needed = window * BYTES * plan.card.spec.base_filters / 16
    affordable = int(SHARE * psutil.virtual_memory().available / needed)
    return max(1, min(cores, blocks, affordable))
