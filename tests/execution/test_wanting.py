"""Blocks wanted bit by bit, as somebody looks here and there, end in the same labels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.execution.ledger import Ledger, WritableTile
from napari_unet.image import Box
from tests.execution.test_ledger import plan_of

sides = st.integers(64, 500)


class Notebook:
    """What a result would hold: of each tile, the blocks that were drawn last."""

    def __init__(self) -> None:
        self.tiles: dict[tuple[int, int], WritableTile] = {}
        self.dropped: list[tuple[int, int]] = []

    def work(self, ledger: Ledger, stop_after: int) -> None:
        for block in ledger.missing[:stop_after]:
            ledger.computed(block, block[1] % 3)
            self.write(ledger)

    def write(self, ledger: Ledger) -> None:
        while ledger.closable:
            closing = ledger.closable.popleft()
            assert not {key for key, _ in closing.sources} & set(self.dropped)
            self.tiles[closing.key] = closing
            self.dropped += ledger.written(closing.key) if closing.final else []


@settings(max_examples=60)
@given(st.tuples(sides, sides), st.integers(64, 200), st.integers(0, 2**32 - 1), st.booleans())
def test_the_last_of_several_runs_leaves_what_one_run_does(
    shape: tuple[int, int], tile: int, seed: int, eager: bool
) -> None:
    plan, random = plan_of(shape, tile), np.random.default_rng(seed)
    everything = list(plan.blocks())
    ledger, notebook = Ledger(plan, [], eager=eager), Notebook()
    for _ in range(3):
        count = int(random.integers(1, len(everything) + 1))
        some = [everything[i] for i in random.permutation(len(everything))[:count]]
        ledger.want(some)
        notebook.write(ledger)
        notebook.work(ledger, int(random.integers(0, count + 1)))
    ledger.want(plan.blocks((0.0, 0.0)))
    notebook.write(ledger)
    notebook.work(ledger, len(everything))
    assert ledger.finished
    assert ledger.done == ledger.total == len(everything)
    assert sorted(notebook.dropped) == sorted(everything)
    whole, at_once = Ledger(plan), Notebook()
    at_once.work(whole, len(everything))
    drawn = {k: [block for block, _ in c.sources] for k, c in notebook.tiles.items()}
    assert drawn == {k: [block for block, _ in c.sources] for k, c in at_once.tiles.items()}
    offsets = {block: o for c in notebook.tiles.values() for block, o in c.sources}
    ends = sorted((o, o + block[1] % 3) for block, o in offsets.items() if block[1] % 3)
    assert [start for start, _ in ends] == [0, *(end for _, end in ends[:-1])] if ends else True
    assert ledger.objects == whole.objects


def test_who_watches_sees_a_block_at_once() -> None:
    plan = plan_of((640, 640), 128)
    ledger = Ledger(plan, plan.blocks((320.0, 320.0)), eager=True)
    first = ledger.missing[0]
    ledger.computed(first, 4)
    closing = ledger.closable.popleft()
    assert closing.key == first
    assert not closing.final
    assert closing.sources == ((first, 0),)


def test_ids_can_be_reserved_between_blocks() -> None:
    plan = plan_of((128, 256), 128, Box((0, 0), (128, 256)))
    ledger = Ledger(plan)
    blocks = ledger.missing
    ledger.computed(blocks[0], 3)
    assert ledger.reserve(2) == 4
    ledger.computed(blocks[1], 1)
    assert ledger.reserve(1) == 7
