"""The side of the tiles that is fastest on this computer: tried before a large image, remembered.

Small tiles waste more on their halos, large ones may leave the processor's caches, and take memory.
Objects are the same with any side; their numbers follow the tiles.
"""

import math
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from napari_unet.inference.fastest import fastest
from napari_unet.inference.predict import Predictor
from napari_unet.inference.threads import Hands, cores, hands_for
from napari_unet.tiling.plan import SegmentPlan

SHARES = (4, 6, 8)  # quarters of the usual side that are tried, the one that is likely best first
WORTH = 1.1  # times faster than the usual side must a larger one be: it takes more memory
LARGE = 2 * 10**8  # pixels for each core; a trial takes some hundredths of the time of as many
ROUNDS = 2  # of the trial; in the first the processor still warms up
COARSE = 64  # px; overlaps that differ by less are taken for the same


def with_fastest_side(plan: SegmentPlan, predictor: Predictor | None = None) -> SegmentPlan:
    """Return the plan with larger tiles, if they take clearly less time for each pixel.

    Parameters
    ----------
    plan : SegmentPlan
        What is computed by threads of this process, and on which device.
    predictor : Predictor, optional
        The model, if it is loaded already.
    """
    pixels = plan.region.size * len(plan.planes)
    if plan.device != "cpu" or pixels < LARGE * cores():
        return plan  # also where a side is known: the numbers of objects follow the tiles
    choice = fastest(tuple(plan.tile * n // 4 for n in SHARES), _key(plan), ROUNDS)
    loaded = predictor or Predictor(Path(plan.model_path), plan.device, plan.precision)
    while choice.chosen is None:
        side = choice.pick()
        price = 1 if side == plan.tile else WORTH
        choice.took(side, price * seconds(replace(plan, tile=side), loaded))
    return replace(plan, tile=choice.chosen)


def seconds(plan: SegmentPlan, predictor: Predictor) -> float:
    """How long the network takes for each image pixel that is written, all hands together."""
    blocks = [number for _, number in plan.blocks()]
    number = blocks[len(blocks) // 2]
    tile = plan.tiles.tiles[number]
    shape = plan.card.spec.in_channels, *tile.read.shape
    hands = Hands(hands_for(plan))
    try:
        noise = np.random.default_rng(0).random(shape, np.float32)
        begun = time.perf_counter()
        list(hands.pool.map(lambda _: predictor.compute(noise, tile.core), range(hands.count)))
        taken = time.perf_counter() - begun
    except MemoryError:
        return math.inf  # smaller tiles may fit
    finally:
        hands.dismiss(wait=True)
    return taken / (hands.count * tile.write.size)


def _key(plan: SegmentPlan) -> str:
    """All that the choice depends on beside the processor."""
    spec = plan.card.spec
    around = COARSE * round(plan.overlap * plan.zoom / COARSE)
    network = f"{spec.variant}, {spec.base_filters} filters, {spec.depth} levels, +{around} px"
    computer = f"torch {version('torch')}, {plan.precision}, {cores()} threads"
    return f"side of tiles, {computer}, {network}"
