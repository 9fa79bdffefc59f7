"""A crew that is the engine: pixels are read here, everything else happens in its process."""

from pathlib import Path

from napari_unet.engine.block_messages import OPEN, answer, order_block, order_tile, order_to_forget
from napari_unet.engine.client import Engine
from napari_unet.execution.events import ahead_for
from napari_unet.execution.ledger import BlockResult, WritableTile
from napari_unet.image import Image
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import Key, SegmentPlan


class EngineCrew:
    """A `napari_unet.execution.run.Crew`; making one opens a job of the engine.

    Parameters
    ----------
    engine : Engine
        Computes, and writes the labels.
    plan : SegmentPlan
        What to compute.
    decode : DecodeSettings
        Thresholds.
    image : Image
        What to read.
    output : Path
        OME-Zarr folder of the labels.
    """

    def __init__(
        self, engine: Engine, plan: SegmentPlan, decode: DecodeSettings, image: Image, output: Path
    ) -> None:
        self._engine, self._plan, self._image = engine, plan, image
        self.ahead = ahead_for(plan)
        begin = {"plan": plan.to_json().decode(), "decode": decode.model_dump()}
        engine.begin({"op": OPEN, "output": str(output), **begin})

    def compute(self, key: Key) -> None:
        """Order the objects of a block."""
        (plane, number), plan = key, self._plan
        pixels = plan.read(self._image, plane, plan.covering(number))
        self._engine.send(order_block(key, pixels))

    def write(self, closing: WritableTile) -> None:
        """Order a tile to be written."""
        self._engine.send(order_tile(closing))

    def drop(self, keys: list[Key]) -> None:
        """Forget blocks."""
        if keys:
            self._engine.send(order_to_forget(keys))

    def collect(self, timeout: float) -> list[BlockResult | WritableTile]:
        """Return what is done, waiting up to `timeout` seconds for the first."""
        return [answer(message) for message in self._engine.receive(timeout)]

    def stop(self) -> None:
        """Nothing: the job's orders are void as soon as the engine's job is cancelled."""
