"""One worker against two: the same slide on dask clusters of one-thread workers.

    python -m benchmarks.scale_out
    python -m benchmarks.scale_out --side 4096 --workers 1 2

Workers are processes of one thread on this computer. The labels must be the same.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster

from benchmarks.slides import write_slide
from benchmarks.tables import ROOT, markdown, write_table
from napari_unet.segmentation import segment_slide
from napari_unet.settings import SegmentSettings

SIDE = 8192  # pixels
DOCUMENT = ROOT / "docs" / "performance.md"
HEADER = ("workers", "megapixels", "s", "megapixels per s", "times one worker")
SETTINGS = SegmentSettings(diameter=27)


def measure(slide: Path, output: Path, workers: int) -> float:
    """Segment a slide; return the seconds, without the start of the cluster."""
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        begun = time.perf_counter()
        segment_slide(slide, output, settings=SETTINGS, client=client)
        return time.perf_counter() - begun


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="napari-unet-scale-") as temporary:
        slide = write_slide(Path(temporary) / "slide.zarr", arguments.side)
        area, first, labels = arguments.side**2 / 1e6, 0.0, None
        for workers in arguments.workers:
            output = Path(temporary) / f"labels{workers}.zarr"
            seconds = measure(slide, output, workers)
            found = _labels(output)
            if labels is not None and not np.array_equal(found, labels):
                raise RuntimeError(f"{workers} workers found something else")
            labels, first = found, first or seconds
            cells = (f"{area:.1f}", f"{seconds:.1f}", f"{area / seconds:.2f}")
            rows.append([str(workers), *cells, f"{first / seconds:.2f}"])
            print(rows[-1], flush=True)
    print(markdown(HEADER, rows))
    if arguments.side == SIDE:
        write_table(DOCUMENT, "scale-out", HEADER, rows, command="python -m benchmarks.scale_out")


def _labels(output: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint32]]":
    import zarr

    level: zarr.Array = zarr.open_array(output / "0", mode="r")  # type: ignore[type-arg]
    return np.asarray(level[:])


if __name__ == "__main__":
    main()
