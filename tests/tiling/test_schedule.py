"""The order of work: every block once, never before its tiles, within the budget."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from napari_unet.image import Box
from napari_unet.network.spec import UNetSpec
from napari_unet.tiling.plan import SegmentPlan
from napari_unet.tiling.schedule import Schedule
from tests.strategies import random_card


@st.composite
def plans(draw: st.DrawFn) -> SegmentPlan:
    shape = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    y, x = (draw(st.integers(0, n - 1)) for n in shape)
    region = Box((y, x), (draw(st.integers(y + 1, shape[0])), draw(st.integers(x + 1, shape[1]))))
    classes = draw(st.booleans())
    spec = UNetSpec(classes=5 if classes else 3, distance=not classes, depth=2)
    return SegmentPlan(
        shape=shape,
        planes=tuple((i,) for i in range(draw(st.integers(1, 3)))),
        region=region,
        card=random_card(spec),
        model_path="model",
        model_sha="0",
        channels=1,
        limits=((0.0, 1.0),),
        diameter=draw(st.floats(1, 100)),
        tile=draw(st.integers(32, 300)),
    )


@given(plans())
def test_a_plan_survives_the_way_to_the_engine(plan: SegmentPlan) -> None:
    again = SegmentPlan.from_json(plan.to_json())
    assert again == plan
    assert again.tiles == plan.tiles


@given(plans(), st.integers(0, 200_000), st.data())
def test_every_block_is_decoded_once_after_its_tiles(
    plan: SegmentPlan, budget: int, data: st.DataObject
) -> None:
    store: set[tuple[int, int]] = set()
    blocks = list(
        plan.blocks(data.draw(st.none() | st.tuples(st.floats(0, 400), st.floats(0, 400))))
    )
    schedule = Schedule(plan, blocks, set(), budget)
    first = schedule.alone()
    decoded = [] if first is None else [first]
    if first is not None:
        assert first == blocks[0]
        schedule.decoded(first)
    while not schedule.finished:
        if schedule.ready and (not schedule.to_predict or data.draw(st.booleans())):
            block = schedule.ready.popleft()
            assert {(block[0], tile) for tile in plan.needs(block[1])} <= store
            decoded.append(block)
            store -= set(schedule.decoded(block))
        else:
            key = schedule.to_predict.popleft()
            store.add(key)
            schedule.predicted(key)
        assert schedule.cached_tiles == store
    assert sorted(decoded) == sorted(set(blocks)) == sorted(blocks)
    assert not schedule.to_predict
    everything = sum(plan.tile_bytes(tile.index) for tile in plan.tiles.tiles) * len(plan.planes)
    if everything <= budget:
        needed = {(p, tile) for p, number in blocks for tile in plan.needs(number)}
        assert store == needed  # sliders need them, also of the block that went ahead
    if budget == 0 and first is None:
        assert not store


def test_the_first_block_goes_ahead_where_its_neighbours_would_let_it_wait() -> None:
    card = random_card(UNetSpec(depth=2))
    plan = SegmentPlan(
        shape=(2000, 2000), planes=((),), region=Box((0, 0), (2000, 2000)), card=card,
        model_path="model", model_sha="0", channels=1, limits=((0.0, 1.0),), diameter=20.0,
        tile=400,
    )  # fmt: skip
    middle, corner = list(plan.blocks((1000, 1000))), list(plan.blocks())
    assert len(plan.needs(middle[0][1])) == 9
    assert Schedule(plan, middle, set(), 0).alone() == middle[0]
    assert Schedule(plan, corner, set(), 0).alone() == corner[0]
    edge = replace(plan, region=Box((0, 0), (2000, 300)))  # a block waits for two
    assert Schedule(edge, edge.blocks(), set(), 0).alone() is None
    have = {(0, tile.index) for tile in plan.tiles.tiles}
    assert Schedule(plan, middle, have, 0).alone() is None  # it waits for nothing


@given(plans())
def test_nothing_is_predicted_again(plan: SegmentPlan) -> None:
    everything = {(p, t.index) for p in range(len(plan.planes)) for t in plan.tiles.tiles}
    schedule = Schedule(plan, plan.blocks(), set(everything), 2**40)
    assert not schedule.to_predict
    assert len(schedule.ready) == schedule.total == len(list(plan.blocks()))


@given(plans())
def test_blocks_cover_the_region_once(plan: SegmentPlan) -> None:
    owned = [plan.owned(plan.tiles.tiles[tile]) for plane, tile in plan.blocks() if plane == 0]
    assert sum(box.size for box in owned) == plan.region.size
    for _, tile in plan.blocks():
        window, own = plan.window(plan.tiles.tiles[tile]), plan.owned(plan.tiles.tiles[tile])
        assert window.intersect(own) == own
        assert plan.tiles.area.intersect(window) == window


@given(plans())
def test_a_tile_stays_small_for_the_network(plan: SegmentPlan) -> None:
    """Memory is bounded: enlarging a small object's image does not enlarge the tiles."""
    for tile in plan.tiles.tiles:
        limit = max(plan.tile, 2 * plan.zoom) + 4 * plan.card.spec.divisor + 8 * plan.zoom
        assert max(tile.core.shape) <= max(limit, 2 * plan.card.spec.divisor)


def test_a_stack_begins_at_a_plane_and_goes_outwards() -> None:
    plan = SegmentPlan(
        shape=(50, 50), planes=tuple((t, z) for t in range(3) for z in range(4)),
        region=Box((0, 0), (50, 50)), card=random_card(UNetSpec(depth=2)), model_path="model",
        model_sha="0", channels=1, limits=((0.0, 1.0),), diameter=20.0,
    )  # fmt: skip
    order = [plan.planes[plane] for plane, _ in plan.blocks(first=(1, 2))]
    assert order[:4] == [(1, 2), (1, 1), (1, 3), (1, 0)]
    assert sorted(order) == sorted(plan.planes)
    assert {t for t, _ in order[4:]} == {0, 2}
