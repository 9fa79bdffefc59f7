"""What each choice of the bundled model is worth: short trainings of equal time, one change each.

    python -m benchmarks.ablations                      the rows that are missing, then the table
    python -m benchmarks.ablations --rows "sum skips"   one of them
    python -m benchmarks.ablations --minutes 20         longer, into a table of its own
    python -m benchmarks.ablations --minutes 1 --dry    a quick look; writes no document
    python -m benchmarks.ablations --beside FILE        a model trained for long, beside `nuclei`

Every row is `scripts/train_base_model.py nuclei --change '{...}'` and a look at the validation
images. They are shown at their true scale, so the network is compared and not the estimate of the
diameter.
Rows are of the recipe as it was when they were measured; a changed recipe makes them old, and they
stay in the table, marked, until they are measured anew.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed
from skimage.transform import resize

from benchmarks.common.evaluation import DOCUMENT, Array, given, options_for, probabilities
from benchmarks.common.image_sets import Sample, samples
from benchmarks.common.matching import Matching, bootstrap, count, match, shown
from benchmarks.common.rows import RESULTS, Row, Rows
from benchmarks.common.tables import ROOT, markdown, write_table
from benchmarks.common.trainings import trained
from napari_unet.labels.watershed import decode
from napari_unet.models.card import ModelCard
from napari_unet.network.unet import UNet
from napari_unet.tiling.resample import resized
from scripts.base_recipe import NUCLEI_ALONE

KEY = ("name", "minutes", "limit", "recipe")
MINUTES = 6.0  # of one core for each training
LATER = {"far", "made_up", "diameter"}  # knobs that came after the first rows; nothing where unset
SHOWN = ((0.5, 0), (0.7, 2), (0.9, 5))  # thresholds, and where they are among all
LONG = ((0.5, 0), (0.7, 2), (0.8, 4), (0.9, 5))
HEADER = (
    "change", "steps",
    *(f"fluorescence {t}" for t, _ in SHOWN), *(f"others {t}" for t, _ in SHOWN),
)  # fmt: skip
NO_INSTANCES = {"kind": "classes"}  # the library decodes three classes and a distance only
CELL, BORDER = 1, 2  # classes of the network


@dataclass(frozen=True, slots=True)
class Looking:
    """How probability maps are made and decoded.

    Attributes
    ----------
    flips : bool
        Whether the probabilities are the mean over the eight flips and turns.
    seeds : {"prominence", "components"}
        Summits of the distance, as the library has it, or connected pixels with p(cell) > 0.5.
    grid : {"image", "network"}
        Where objects are made; from the network's grid they are enlarged or reduced afterwards.
    """

    flips: bool = False
    seeds: Literal["prominence", "components"] = "prominence"
    grid: Literal["image", "network"] = "image"


AS_IT_IS = Looking()


@dataclass(frozen=True, slots=True)
class Choice:
    """One row: what is trained otherwise, and what is looked at otherwise.

    Attributes
    ----------
    name : str
        For people.
    change : dict
        Knobs of `scripts/base_recipe.py`.
    looking : Looking
        How probability maps are made and decoded.
    """

    name: str
    change: dict[str, Any] = field(default_factory=dict)
    looking: Looking = AS_IT_IS


CHOICES = (
    Choice("as chosen"),
    Choice("two classes", {"classes": 2, "distance": False, **NO_INSTANCES}),
    Choice("three classes, no distance", {"distance": False, **NO_INSTANCES}),
    Choice("two classes and a distance, no border", {"classes": 2, **NO_INSTANCES}),
    Choice("distance weighs a tenth", {"distance_weight": 0.1}),
    Choice("distance weighs as much as the classes", {"distance_weight": 1.0}),
    Choice("w(x) of the paper, w0 = 10", {"weight_peak": 10.0}),
    Choice("touching border weighs as much as the rest", {"border": 1.0}),
    Choice("elastic deformation of the paper, 10 px", {"augmentation": {"elastic": 10.0}}),
    Choice("no elastic deformation", {"augmentation": {"elastic": 0.0}}),
    Choice("images of 13 to 48 px as they are", {"diameter_range": [13.0, 48.0]}),
    Choice("contrast as it is", {"polarity": "given"}),
    Choice("colours averaged only", {"mixed": False}),
    Choice("colour input", {"in_channels": 3}),
    Choice("valid convolutions, as in the paper", {"variant": "paper", "crop": 284}),
    Choice("sum skips", {"skip": "sum"}),
    Choice("no skips", {"skip": "none"}),
    Choice("24 filters", {"base_filters": 24}),
    Choice("32 filters", {"base_filters": 32}),
    Choice("as chosen, mean of 8 flips and turns", looking=Looking(flips=True)),
    Choice("as chosen, seeds where p > 0.5", looking=Looking(seeds="components")),
    Choice("as chosen, decoded on the network's grid", looking=Looking(grid="network")),
)
BY_NAME = {choice.name: choice for choice in CHOICES}


def fingerprint(change: dict[str, Any]) -> str:
    """Short name of the recipe for nuclei with other knobs; another recipe has another."""
    recipe = NUCLEI_ALONE.changed(change)
    knobs, card = recipe.record(), recipe.card.model_dump(mode="json")
    for part in (knobs, card["spec"]):  # rows measured before there were these knobs stay valid
        for name in LATER & part.keys():
            if not part[name]:
                del part[name]
    content = [knobs, card]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]


def fingerprint_of(name: str) -> str | None:
    """Fingerprint of a row by its name; None if it is no choice any more."""
    return fingerprint(BY_NAME[name].change) if name in BY_NAME else None


def train(change: dict[str, Any], minutes: float, data: Path) -> Path:
    """Train, or find it trained; returns the model's file."""
    run = ROOT / "runs" / "ablations" / f"{fingerprint(change)}-{minutes:g}min"
    knobs = {**change, "minutes": minutes}
    return trained("nuclei-alone", run / "nuclei.safetensors", knobs, data)


def measure(choice: Choice, minutes: float, data: Path, limit: int | None) -> Row:
    """Train one row and look at the validation images."""
    from napari_unet.models.weights import load_model

    network, card = load_model(train(choice.change, minutes, data))
    row: Row = {"name": choice.name, "minutes": minutes, "limit": limit}
    row["recipe"] = fingerprint(choice.change)
    row["steps"] = card.recipe["done"]
    return row | look(network, card, choice.looking, data, limit)


def look(
    network: UNet, card: ModelCard, looking: Looking, data: Path, limit: int | None
) -> dict[str, Any]:
    """Return AP with its interval at every threshold, of fluorescence and of the others."""
    row: dict[str, Any] = {}
    found: dict[str, list[Any]] = {}
    for sample in samples(data, "val", limit):
        kind = "fluorescence" if "fluo" in sample.group or "mnf" in sample.group else "others"
        found.setdefault(kind, []).append(look_at(sample, network, card, looking))
    for kind, matchings in found.items():
        estimate = bootstrap(count(matchings), pooled=True)
        row[kind] = [[float(v) for v in e] for e in (estimate.value, estimate.low, estimate.high)]
    return row


def look_at(sample: Sample, network: UNet, card: ModelCard, looking: Looking) -> Matching:
    """Segment one image with a network and compare with the truth."""
    truth = sample.truth().astype(np.int32)
    image = given(sample.image(), card)
    diameter = sample.diameter()
    zoom = card.zoom(diameter) if diameter else 1.0
    maps = probability_map(network, card, image, zoom, looking)
    return match(truth, labels_of(maps, truth.shape, card, looking))


def probability_map(
    network: UNet, card: ModelCard, image: Array, zoom: float, looking: Looking
) -> NDArray[np.uint8]:
    """Return the probability map ``(3, Y, X)`` on the network's grid, with outputs made up."""
    shape = (round(image.shape[1] * zoom), round(image.shape[2] * zoom))
    image = resized(image, shape)
    turns = [(0, False)]
    if looking.flips:
        turns = [(k, flip) for k in range(4) for flip in (False, True)]
    found = np.mean([_turned(network, image, k, flip) for k, flip in turns], axis=0)
    classes = card.spec.classes
    cell = found[CELL]
    border = found[BORDER] if classes > BORDER else np.zeros_like(cell)
    distance = found[classes] if card.spec.distance else distance_of(cell > 0.5)
    return np.rint(np.clip(np.stack([cell, border, distance]), 0, 1) * 255).astype(np.uint8)


def _turned(network: UNet, image: Array, turns: int, flip: bool) -> Array:
    """Probabilities of a turned image ``(C, Y, X)``, turned back."""
    turned = np.rot90(image[:, ::-1] if flip else image, turns, axes=(1, 2))
    found = np.rot90(probabilities(network, np.ascontiguousarray(turned)), -turns, axes=(1, 2))
    return found[:, ::-1] if flip else found


def distance_of(mask: NDArray[np.bool_]) -> Array:
    """Distance to the edge of each connected piece, scaled to reach 1 in it."""
    pieces, count = ndimage.label(mask)
    distance = ndimage.distance_transform_edt(mask)
    largest = np.maximum(ndimage.maximum(distance, pieces, np.arange(count + 1)), 1)
    scaled: Array = (distance / np.asarray(largest)[pieces]).astype(np.float32)
    return scaled


def labels_of(
    maps: NDArray[np.uint8], shape: tuple[int, ...], card: ModelCard, looking: Looking
) -> NDArray[Any]:
    """Make objects of a probability map, on the image's grid of `shape`."""
    size = (shape[0], shape[1])
    if looking.grid == "image" and maps.shape[1:] != size:
        maps = np.rint(resized(maps.astype(np.float32), size)).astype(np.uint8)
    found = decode(maps, card.decode) if looking.seeds == "prominence" else components(maps)
    if found.shape == size:
        return found
    return resize(found, size, order=0, anti_aliasing=False, preserve_range=True).astype(np.int32)


def components(maps: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Connected pixels of the cell class, grown over the touching border."""
    seeds, _ = ndimage.label(maps[0] > 127)
    mask = maps[:2].sum(axis=0, dtype=np.int32) > 127
    grown: NDArray[np.int32] = watershed(-maps[0].astype(np.int32), seeds, mask=mask)
    return grown


def cells(row: Row) -> list[str]:
    """One line of the table."""
    old = row.get("recipe") != fingerprint_of(row["name"])
    line = [f"{row['name']}, *recipe before*" if old else row["name"], str(row["steps"])]
    for kind in ("fluorescence", "others"):
        value, low, high = row[kind]
        line += [shown(value[i], low[i], high[i]) for _, i in SHOWN]
    return line


def show(
    rows: Rows, choices: Sequence[Choice], minutes: float, limit: int | None, *, write: bool
) -> None:
    """Print the table in the order of the choices, and put it into the document."""
    of_this = [r for r in rows.all() if (r["minutes"], r["limit"]) == (minutes, limit)]
    newest = {row["name"]: row for row in of_this}
    newest |= {r["name"]: r for r in of_this if r.get("recipe") == fingerprint_of(r["name"])}
    have = [newest[choice.name] for choice in choices if choice.name in newest]
    lines = [cells(row) for row in have]
    print(markdown(HEADER, lines))
    if write:
        measured = sorted({f"{row['commit']}, {row['date']}" for row in have})
        note = f"{minutes:g} minutes of one core for each training; commits of the rows: "
        note += "; ".join(measured) + "."
        command, name = "python -m benchmarks.ablations", "ablations"
        if minutes != MINUTES:
            command, name = f"{command} --minutes {minutes:g}", f"{name}-{minutes:g}"
        write_table(DOCUMENT, name, HEADER, lines, command=command, note=note)


def show_beside(files: Sequence[Path], data: Path, limit: int | None, *, write: bool) -> None:
    """Compare models that were trained for long with `nuclei`, all with its thresholds."""
    from napari_unet.models.library import find_model
    from napari_unet.models.weights import load_model

    loaded = [load_model(path) for path in (find_model("nuclei"), *files)]
    decode, lines = loaded[0][1].decode, []
    for network, card in loaded:
        card = card.model_copy(update={"decode": decode})
        row = look(network, card, AS_IT_IS, data, limit)
        line = [card.name, f"{card.recipe['done']:,}"]
        for value, low, high in (row["fluorescence"], row["others"]):
            line += [shown(value[i], low[i], high[i]) for _, i in LONG]
        lines.append(line)
    header = ("model", "steps", *(f"{k} {t}" for k in ("fluorescence", "others") for t, _ in LONG))
    print(markdown(header, lines))
    if write:
        command = "python -m benchmarks.ablations --beside FILE"
        write_table(DOCUMENT, "ablations-long", header, lines, command=command)


def main() -> None:
    """Read the command line, measure what is missing."""
    parser = options_for(__doc__)
    add = parser.add_argument
    add("--rows", nargs="*", help="names of rows; default all")
    add("--minutes", type=float, default=MINUTES, help="of training")
    add("--rows-file", type=Path, default=RESULTS / "ablations.jsonl", help="file of the rows")
    add("--beside", nargs="+", type=Path, help="files of trained models, beside `nuclei`")
    arguments = parser.parse_args()
    if arguments.beside:
        limit = arguments.limit
        write = not (arguments.dry or limit)
        show_beside(arguments.beside, arguments.data, limit, write=write)
        return
    chosen = [c for c in CHOICES if not arguments.rows or c.name in arguments.rows]
    minutes, limit = arguments.minutes, arguments.limit
    rows = Rows(arguments.rows_file, KEY)
    for choice in chosen:
        recipe = fingerprint(choice.change)
        if rows.find(name=choice.name, minutes=minutes, limit=limit, recipe=recipe) is None:
            rows.add(measure(choice, minutes, arguments.data, limit))
    show(rows, CHOICES, minutes, limit, write=not (arguments.dry or limit))


if __name__ == "__main__":
    main()
