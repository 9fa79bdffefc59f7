"""How many threads work at once, and that the caller's settings come back."""

from dataclasses import replace

import pytest
import torch

from napari_unet.inference.threads import WorkerThreads, threads_for
from tests.execution.test_ledger import plan_of

GIGABYTE = 10**9
PLAN = replace(plan_of((4096, 4096), 1024), device="cpu")


def test_threads_are_bounded_by_cores_blocks_memory_and_device() -> None:
    plenty = 1000 * GIGABYTE
    assert threads_for(PLAN, 4, plenty) == 4
    assert threads_for(PLAN, 64, plenty) == 32  # two planes of 16 blocks
    assert 1 < threads_for(PLAN, 64, GIGABYTE // 4) < 10
    assert threads_for(PLAN, 64, 0) == 1
    assert threads_for(replace(PLAN, device="cuda"), 64, 0) == 2  # one reads while one computes


@pytest.mark.parametrize("shape", [(4096, 4096), (60, 60)])
def test_every_thread_has_one_core_and_the_caller_gets_all_back(shape: tuple[int, int]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        plan = replace(plan_of(shape, 1024), device="cpu", planes=((),))
        threads = WorkerThreads(threads_for(plan))
        inside = threads.pool.submit(torch.get_num_threads).result()
        threads.dismiss(wait=True)
        assert inside == (1 if shape[0] > 60 else 3)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
