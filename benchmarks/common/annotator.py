"""A simulated person who looks at a result, and paints cells and background with a brush.

The person sees one view after the other: a window of an image with the current result on it. In
each view a few cells are painted and a few strokes drawn on background. Which cells, is the mode:

- ``worst``: those of the view that the result gets most wrong; slivers, of less than half the usual
  diameter, come last: a person sees a large cell that is missed before them;
- ``random``: any of the view.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import MCP_Geometric
from skimage.measure import regionprops

from benchmarks.common.image_sets import Scene
from napari_unet.image import Box
from napari_unet.labels.painted import BACKGROUND, UNLABELLED

MODES = ("worst", "random")
VIEW = 512  # pixels seen at once
PER_VIEW = 5  # cells painted before the person moves on
CELLS_PER_STROKE = 3
BRUSH = 1 / 6  # of the cell's diameter
JITTER = 1.0  # pixels that the edge is off at most
SMALLEST = 5.0  # pixels; cells of a smaller diameter are not painted
SLIVER = 0.5  # of the usual diameter: smaller cells are painted last
STROKE_WIDTH = (6.0, 10.0)  # pixels
STROKE_LENGTH = (60.0, 100.0)  # pixels
ON_FALSE = 0.75  # of the strokes begin on an object that is not there, if one is in view
FALSE = 0.5  # of a found object that must lie on background

Point = tuple[float, float]
Labels = NDArray[np.integer]
Mask = NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class Sheet:
    """What is painted on one scene so far.

    Attributes
    ----------
    scene : Scene
        The image and the truth.
    painted : ndarray of uint32
        ``(Y, X)``, see `napari_unet.labels.painted`.
    done : set of int
        Ids in the truth of the cells that were painted.
    """

    scene: Scene
    painted: NDArray[np.uint32]
    done: set[int] = field(default_factory=set)

    @classmethod
    def blank(cls, scene: Scene) -> "Sheet":
        """Take an image on which nothing is painted."""
        return cls(scene, np.zeros(scene.truth.shape, np.uint32))


@dataclass(frozen=True, slots=True)
class Cell:
    """A true object.

    Attributes
    ----------
    id : int
        In the truth.
    centre : tuple of float
        ``(y, x)``.
    box : Box
        Smallest around it.
    """

    id: int
    centre: Point
    box: Box


def cells_of(truth: NDArray[np.integer]) -> list[Cell]:
    """List the true objects that are large enough to be painted."""
    least = np.pi / 4 * SMALLEST**2
    regions = regionprops(np.asarray(truth))  # type: ignore[no-untyped-call]
    return [
        Cell(
            int(r.label), (float(r.centroid[0]), float(r.centroid[1])), Box(r.bbox[:2], r.bbox[2:])
        )
        for r in regions
        if r.area >= least
    ]


class Annotator:
    """The person, and all the sheets.

    Parameters
    ----------
    scenes : sequence of Scene
        All of a domain.
    mode : {"worst", "random"}
        Which cells are painted.
    seed : int
        Decides views and strokes.
    """

    def __init__(self, scenes: Sequence[Scene], mode: str, seed: int) -> None:
        self.sheets = [Sheet.blank(scene) for scene in scenes]
        self.mode, self.seed = mode, seed
        usable = [i for i, scene in enumerate(scenes) if scene.painted_on]
        order: list[int] = np.random.default_rng(seed).permutation(usable).tolist()
        self._order = order
        self._cells = {i: cells_of(scenes[i].truth) for i in usable}

    @property
    def count(self) -> int:
        """Cells painted so far."""
        return sum(len(sheet.done) for sheet in self.sheets)

    def paint(self, total: int, found: Callable[[int], Labels]) -> None:
        """Paint until there are `total` cells in all, or nothing is left to paint.

        What comes depends on the seed, on what is painted already, and on what the person sees:
        `found` gives the labels ``(Y, X)`` of a scene, by its number.
        """
        views, strokes = (np.random.default_rng([self.seed, self.count, i]) for i in (1, 2))
        turn, empty = self.count // PER_VIEW, 0
        while self.count < total and empty < len(self._order):
            number = self._order[turn % len(self._order)]
            view = self._view(number, views)
            chosen = self._chosen(number, view, found, views)[: min(PER_VIEW, total - self.count)]
            empty = 0 if chosen else empty + 1
            if chosen:
                self._paint_view(number, chosen, view, found(number), strokes)
            turn += 1

    def _left(self, number: int) -> list[Cell]:
        return [c for c in self._cells[number] if c.id not in self.sheets[number].done]

    def _view(self, number: int, random: Generator) -> Box:
        """Show the surroundings of a cell that is not painted yet."""
        left = self._left(number)
        height, width = self.sheets[number].scene.truth.shape
        if not left:
            return Box((0, 0), (height, width))
        centre = left[int(random.integers(len(left)))].centre
        starts = [
            int(np.clip(c - VIEW / 2, 0, max(0, n - VIEW)))
            for c, n in zip(centre, (height, width), strict=True)
        ]
        box = Box((starts[0], starts[1]), (starts[0] + VIEW, starts[1] + VIEW))
        return box.intersect(Box((0, 0), (height, width)))

    def _chosen(
        self, number: int, view: Box, labels: Callable[[int], Labels], random: Generator
    ) -> list[Cell]:
        """Cells to paint, the first ones first."""
        left = self._left(number)
        seen = [c for c in left if _holds(view, c.centre)]
        order = [seen[i] for i in random.permutation(len(seen))]
        if self.mode == "random":
            return order
        truth, found = self.sheets[number].scene.truth, labels(number)
        areas = np.bincount(found.ravel())
        sizes = [int((truth[c.box.slices] == c.id).sum()) for c in self._cells[number]]
        sliver = float(np.median(sizes)) * SLIVER**2

        def wrong(cell: Cell) -> tuple[bool, float]:
            size = int((truth[cell.box.slices] == cell.id).sum())
            return size < sliver, overlap(cell, truth, found, areas)[1]

        return sorted(order, key=wrong)

    def _paint_view(
        self, number: int, chosen: list[Cell], view: Box, found: Labels, strokes: Generator
    ) -> None:
        sheet = self.sheets[number]
        for cell in chosen:
            paint_cell(sheet, cell, found, strokes)
        for _ in range(max(1, round(len(chosen) / CELLS_PER_STROKE))):
            paint_stroke(sheet, view, found, strokes)


def _holds(box: Box, point: Point) -> bool:
    return all(a <= p < b for a, p, b in zip(box.start, point, box.stop, strict=True))


def overlap(
    cell: Cell,
    truth: NDArray[np.integer],
    found: NDArray[np.integer],
    areas: NDArray[np.intp],
) -> tuple[int, float]:
    """Found object that overlaps a cell best and their IoU; (0, 0.0) if none touches it.

    Parameters
    ----------
    cell : Cell
        The true object.
    truth, found : ndarray of int
        ``(Y, X)``.
    areas : ndarray of int
        Pixels of every id in `found`.
    """
    inside = truth[cell.box.slices] == cell.id
    shared = np.bincount(found[cell.box.slices][inside], minlength=len(areas))
    iou = shared / np.maximum(areas + inside.sum() - shared, 1)
    iou[0] = 0
    best = int(iou.argmax())
    return (best, float(iou[best])) if iou[best] > 0 else (0, 0.0)


def paint_cell(
    sheet: Sheet, cell: Cell, found: NDArray[np.integer], random: Generator
) -> NDArray[np.bool_]:
    """Paint a cell over what was found there; its id is the found one's, or a new one.

    Returns the pixels painted, ``(Y, X)``.
    """
    around = cell.box.grow(4).intersect(Box((0, 0), sheet.scene.image.shape))
    mask = np.zeros(sheet.painted.shape, bool)
    mask[around.slices] = brushed(sheet.scene.truth[around.slices] == cell.id, random)
    mask &= (sheet.painted == UNLABELLED) | (sheet.painted == BACKGROUND)
    best, _ = overlap(cell, sheet.scene.truth, found, np.bincount(found.ravel()))
    sheet.painted[mask] = free_id(sheet, best, found)
    sheet.done.add(cell.id)
    return mask


def free_id(sheet: Sheet, wanted: int, found: NDArray[np.integer]) -> int:
    """Return the id wanted if it is one and not painted yet, else a new one, as napari's M does."""
    painted = sheet.painted[sheet.painted != BACKGROUND]
    if wanted > 0 and not (painted == wanted).any():
        return wanted
    return max(int(painted.max(initial=0)), int(found.max(initial=0))) + 1


def brushed(inside: Mask, random: Generator) -> Mask:
    """Fill an object with a round brush, the edge not quite met.

    The brush's width is `BRUSH` of the object's diameter: what is narrower is left out.

    Parameters
    ----------
    inside : ndarray of bool
        ``(Y, X)``, the object, with room around it.
    random : Generator
        Decides the strokes.
    """
    radius = BRUSH * float(np.sqrt(inside.sum() / np.pi))
    reached = _distance(inside) > radius
    opened = _distance(~reached) <= radius if reached.any() else inside
    wobble = ndimage.gaussian_filter(random.normal(size=inside.shape), 2.0)
    wobble = np.clip(wobble / max(float(wobble.std()), 1e-9) * JITTER / 2, -JITTER, JITTER)
    edge = np.where(opened, _distance(opened) - 0.5, 0.5 - _distance(~opened))  # > 0 inside
    painted = largest_piece(edge + wobble > 0)
    return painted if painted.any() else inside


def _distance(mask: Mask) -> NDArray[np.float64]:
    """Distance of every pixel of a mask to the nearest one outside of it."""
    if mask.all():
        return np.full(mask.shape, np.inf)
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(mask)
    return distance


def largest_piece(mask: Mask) -> Mask:
    """Keep the largest connected piece."""
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    kept: Mask = pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax())
    return kept


def paint_stroke(
    sheet: Sheet, view: Box, found: NDArray[np.integer], random: Generator
) -> NDArray[np.bool_]:
    """Draw a stroke on the background of a view; returns the pixels painted, ``(Y, X)``."""
    background = (sheet.scene.truth == 0) & (sheet.painted == UNLABELLED)
    on_background = np.bincount(found[sheet.scene.truth == 0], minlength=int(found.max()) + 1)
    wrong = on_background > FALSE * np.bincount(found.ravel())
    wrong[0] = False
    mask = np.zeros(sheet.painted.shape, bool)
    mask[view.slices] = stroke(background[view.slices], wrong[found[view.slices]], random)
    sheet.painted[mask] = BACKGROUND
    return mask


def stroke(background: Mask, wrong: Mask, random: Generator) -> Mask:
    """Draw one stroke that keeps to the middle of the background and seeks false objects.

    Parameters
    ----------
    background : ndarray of bool
        ``(Y, X)``, where it may go.
    wrong : ndarray of bool
        ``(Y, X)``, objects that are not there.
    random : Generator
        Decides the strokes.
    """
    if not background.any():
        return np.zeros(background.shape, bool)
    depth = np.minimum(_distance(background), 2 * STROKE_WIDTH[1])
    begin = _begin(depth, wrong, random)
    length = random.uniform(*STROKE_LENGTH)
    path = _path(depth, wrong, begin, length, random)
    width = min(random.uniform(*STROKE_WIDTH), 2 * float(np.median(depth[tuple(path.T)])))
    line = np.zeros(background.shape, bool)
    line[tuple(path.T)] = True
    drawn: Mask = (_distance(~line) <= width / 2) & background
    return drawn


def _begin(depth: NDArray[np.float64], wrong: Mask, random: Generator) -> tuple[int, int]:
    likely = depth * wrong
    if not likely.any() or random.random() > ON_FALSE:
        likely = depth
    chances = likely.ravel() ** 2
    place = int(random.choice(chances.size, p=chances / chances.sum()))
    y, x = divmod(place, depth.shape[1])
    return y, x


def _path(
    depth: NDArray[np.float64],
    wrong: Mask,
    begin: tuple[int, int],
    length: float,
    random: Generator,
) -> NDArray[np.intp]:
    """Pixels of a way through the background, ``(N, 2)``, at most `length` pixels long."""
    reach = round(length)
    y0, x0 = (max(0, b - reach) for b in begin)
    near = (slice(y0, begin[0] + reach + 1), slice(x0, begin[1] + reach + 1))
    cost = (1 + 4 / np.maximum(depth[near], 0.5)) * np.where(wrong[near], 0.5, 1.0)
    ways = MCP_Geometric(np.where(depth[near] > 0, cost, -1.0))  # type: ignore[no-untyped-call]
    start = (begin[0] - y0, begin[1] - x0)
    costs, _ = ways.find_costs([start])  # type: ignore[no-untyped-call]
    rows, columns = np.nonzero(np.isfinite(costs))
    far = np.hypot(rows - start[0], columns - start[1])
    ends = np.flatnonzero((far > 0.6 * length) & (far <= length))
    end = int(random.choice(ends)) if len(ends) else int(far.argmax())
    way = np.array(ways.traceback((rows[end], columns[end])), np.intp)  # type: ignore[no-untyped-call]
    steps = np.hypot(*np.diff(way, axis=0).T)
    kept = way[: 1 + int((np.cumsum(steps) <= length).sum())]
    return kept + np.array([y0, x0], np.intp)
