"""Which bundled model is chosen for an image nobody said anything about.

    python -m benchmarks.chosen              writes the table in docs/accuracy.md
    python -m benchmarks.chosen --limit 3 --dry

Validation images of all sets, each looked at as the panel does; the model that fits is named by
the set: `cells-phase` for whole cells in phase contrast, `nuclei` for all others.
"""

import tempfile
from pathlib import Path

from benchmarks.accuracy import DOCUMENT, options_for
from benchmarks.image_sets import CELLS, Sample, cell_samples, samples
from benchmarks.tables import markdown, write_table
from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.models.library import Model, bundled_models
from napari_unet.planning.model_selection import best_model
from napari_unet.planning.planner import Where
from napari_unet.segmentation import Notes

HEADER = ("set", "images", "nuclei chosen", "cells-phase chosen")


def chosen(sample: Sample, models: list[Model], folder: Path) -> str:
    """Name of the model that an image gets."""
    looking = best_model(sample.image(), models, ThreadExecutor(), Where(), folder / "class-maps")
    return Notes().follow(looking).card.name


def main() -> None:
    """Read the command line, look, write the table."""
    arguments = options_for(__doc__).parse_args()
    data, limit = arguments.data, arguments.limit
    models = sorted(bundled_models(), key=lambda model: model.card.name != "nuclei")
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="napari-unet-") as folder:
        for sample in [*samples(data, "val", limit), *cell_samples(data, limit)]:
            name = chosen(sample, models, Path(folder))
            found.setdefault(sample.group, []).append(name)
            if name != ("cells-phase" if sample.group == CELLS else "nuclei"):
                print(sample.group, sample.image_path.name, name, flush=True)
    names = [model.card.name for model in models]
    rows = [[g, str(len(n)), *(str(n.count(one)) for one in names)] for g, n in found.items()]
    print(markdown(HEADER, rows))
    if not (arguments.dry or limit):
        write_table(DOCUMENT, "chosen", HEADER, rows, command="python -m benchmarks.chosen")


if __name__ == "__main__":
    main()
