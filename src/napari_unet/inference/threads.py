"""Worker threads of this computer: one for each core, as far as there is memory."""

from concurrent.futures import ThreadPoolExecutor

import torch

from napari_unet.inference.memory import SHARE, free_memory
from napari_unet.tiling.plan import SegmentPlan

AHEAD = 2  # orders for each thread that wait or are carried out
ON_A_CARD = 2  # threads: one reads or makes objects while the card computes for the other


class WorkerThreads:
    """Threads that share the cores of this computer.

    One thread that does a whole block waits for no other, so as many blocks at a time as there
    are cores take less time than one block on all cores.

    Parameters
    ----------
    count : int
        How many.

    Attributes
    ----------
    pool : ThreadPoolExecutor
        They do what is submitted to it.
    """

    def __init__(self, count: int) -> None:
        self.count, self._cores = count, torch.get_num_threads()
        share = max(1, self._cores // count)
        self.pool = ThreadPoolExecutor(count, "napari-unet", lambda: torch.set_num_threads(share))

    def dismiss(self, *, wait: bool = False) -> None:
        """Let them go; what is not begun is not done."""
        self.pool.shutdown(wait=wait, cancel_futures=True)
        torch.set_num_threads(self._cores)  # for threads that the caller starts later


def threads_for(plan: SegmentPlan, most: int | None = None, memory: int | None = None) -> int:
    """How many threads a plan gets.

    Parameters
    ----------
    plan : SegmentPlan
        Device, and size of the blocks.
    most : int, optional
        Cores that may be used; default: those that torch uses.
    memory : int, optional
        Bytes that are free; default: what this process may take now.
    """
    blocks = sum(1 for _ in plan.blocks())
    if plan.device != "cpu":
        return min(blocks, ON_A_CARD)
    free = free_memory() if memory is None else memory
    return max(
        1, min(most or torch.get_num_threads(), blocks, int(SHARE * free / plan.working_bytes))
    )
