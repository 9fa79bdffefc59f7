"""The bookkeeping: every tile is closed once, when all that touches it is counted."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.execution.ledger import Ledger
from napari_unet.image import Box
from napari_unet.network.spec import UNetSpec
from napari_unet.tiling.plan import SegmentPlan
from tests.strategies import random_card

CARD = random_card(UNetSpec(base_filters=2, depth=2))


def plan_of(shape: tuple[int, int], tile: int, region: Box | None = None) -> SegmentPlan:
    return SegmentPlan(
        shape=shape, planes=((0,), (1,)), region=region or Box((0, 0), shape), card=CARD,
        model_path="", model_sha="", channels=1, limits=((0, 1),), diameter=24, tile=tile,
        anchored=True,
    )  # fmt: skip


sides = st.integers(1, 700)


@settings(max_examples=60)
@given(st.tuples(sides, sides), st.integers(64, 300), st.integers(0, 2**32 - 1))
def test_tiles_close_once_and_ids_follow_the_blocks(
    shape: tuple[int, int], tile: int, seed: int
) -> None:
    plan, random = plan_of(shape, tile), np.random.default_rng(seed)
    ledger = Ledger(plan)
    blocks = ledger.missing
    counts = {block: int(random.integers(0, 5)) for block in blocks}
    expected, running = {}, 0
    for block in blocks:
        expected[block], running = running, running + counts[block]
    closed, dropped, known = [], [], set()
    for i in random.permutation(len(blocks)):
        ledger.computed(blocks[i], counts[blocks[i]])
        known.add(blocks[i])
        while ledger.closable:
            closing = ledger.closable.popleft()
            assert {key for key, _ in closing.sources} <= known
            assert all(offset == expected[key] for key, offset in closing.sources)
            closed.append(closing.key)
            dropped += ledger.written(closing.key)
    assert ledger.finished
    assert ledger.objects == running
    assert sorted(closed) == sorted({(p, t.index) for p in (0, 1) for t in plan.tiles.tiles})
    assert sorted(dropped) == sorted(blocks)


def test_row_by_row_few_blocks_wait() -> None:
    """Tiles are written soon after their neighbours are computed, not at the end."""
    plan = plan_of((1280, 1280), 128)
    ledger = Ledger(plan)
    most, waiting = 0, set()
    for block in ledger.missing:
        ledger.computed(block, 1)
        waiting.add(block)
        while ledger.closable:
            waiting -= set(ledger.written(ledger.closable.popleft().key))
        most = max(most, len(waiting))
    assert most <= 2 * 10 + 4  # two rows


def test_a_region_closes_the_tiles_around_it() -> None:
    plan = plan_of((700, 700), 128, Box((300, 300), (400, 420)))
    ledger = Ledger(plan)
    for block in ledger.missing:
        ledger.computed(block, 1)
    written = Box((300, 300), (400, 420))
    for closing in ledger.closable:
        box = plan.tiles.tiles[closing.key[1]].write
        assert all(n % 128 == 0 for n in box.start)
        written = written.union(box)
    assert written.start <= (252, 252)


def test_what_an_earlier_run_did_is_not_done_again() -> None:
    plan = plan_of((400, 400), 128)
    first, second = Ledger(plan), Ledger(plan)
    blocks = first.missing
    written = []
    for block in blocks[:20]:
        first.computed(block, 2)
        while first.closable:
            written.append(first.closable.popleft().key)
            first.written(written[-1])
    assert written
    for block in blocks[:20]:
        second.computed(block, 2)
    second.skip(written)
    assert second.missing == blocks[20:]
    rest = [second.closable.popleft().key for _ in range(len(second.closable))]
    assert not set(rest) & set(written)
