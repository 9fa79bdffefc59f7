"""Objects through time: which object of one time point is which of the next, and who divided.

LapTrack solves it as a linear assignment (Jaqaman et al., Nature Methods 2008): first between
neighbouring frames, then over gaps and for the second daughter of a division. A division that it
proposes counts only if the two daughters look like daughters.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.settings import LinkSettings

# What two daughters of a division look like: of similar size, each smaller than their mother, who
# may have shrunk in the frames before, and she lay between them.
SIBLINGS = 0.5  # size of the smaller one in that of the larger one, at least
DAUGHTER = 0.85  # size of the larger one in the mother's largest, at most
RECENT = 5  # frames in which the mother's size is looked for
WINDOW = 64  # frames that are solved at once: the time grows with the square of its tracks
BETWEEN = 0.5  # diameters from the mother to the point between her daughters, at most

Node = tuple[int, int]
"""Number of a frame, and of an object in it."""
Edge = tuple[Node, Node]
"""An object, and the same one or a daughter in a later frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The objects of one time point.

    Attributes
    ----------
    centre : ndarray of float64
        ``(N, D)``, in diameters of a typical object.
    size : ndarray of float64
        ``(N,)``, pixels or voxels.
    ids : ndarray of int64
        ``(N,)``, ids before linking.
    locked : ndarray of bool
        ``(N,)``, whether a person gave that id.
    changed : bool
        Whether its links are looked for; see `stitching.Given`.
    """

    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    ids: NDArray[np.int64]
    locked: NDArray[np.bool_]
    changed: bool = True


def track(
    frames: Sequence[Frame], settings: LinkSettings, parents: dict[int, int] | None = None
) -> list[Edge]:
    """Link the objects of a movie.

    Parameters
    ----------
    frames : sequence of Frame
        In the order of time.
    settings : LinkSettings
        Distance, gap and divisions.
    parents : dict, optional
        Parent of an id, as it was known before.

    Returns
    -------
    list of (node, node)
        Sorted; each object has at most one before it, and at most two after it.
    """
    certain = set(_same_ids(frames, settings.gap))
    divisions = set(known_divisions(frames, parents or {}, settings.gap))
    certain |= divisions
    edges = set(certain)
    taken = {later for _, later in edges}
    followers = Counter(earlier for earlier, _ in edges)
    for start, stop in _windows(frames, settings.gap):
        inside = [e for e in edges if start <= e[0][0] and e[1][0] < stop]
        for one, other in _assigned(frames[start:stop], settings, start, inside):
            span = frames[one[0] : other[0] + 1]
            if other in taken or not any(frame.changed for frame in span):
                continue
            if followers[one] > (1 if other[0] - one[0] == 1 else 0):
                continue  # two daughters at most, and a gap is closed from the end of a track
            edges.add((one, other))
            taken.add(other)
            followers[one] += 1
    likely = _without_doubtful(edges, certain, frames)
    return sorted(_without_conflicts(likely, frames, divisions))


def _windows(frames: Sequence[Frame], gap: int) -> Iterator[tuple[int, int]]:
    """Yield first frames and ones past the last, of every part in which links are looked for.

    They overlap, so that every gap lies within one. What one found is certain for the next.
    """
    start = stop = -1
    for number in (i for i, frame in enumerate(frames) if frame.changed):
        first = max(0, number - gap - 1)
        if start < 0:
            start = first
        elif first > stop or stop - start >= WINDOW:
            yield start, stop
            start = first if first > stop else stop - gap - 2
        stop = min(len(frames), number + gap + 2)
    if start >= 0:
        yield start, stop


def _assigned(
    frames: Sequence[Frame], settings: LinkSettings, first: int, fixed: Sequence[Edge]
) -> Iterator[Edge]:
    """Yield the links that LapTrack finds in some frames, of which the first has a number."""
    from laptrack import LapTrack  # noqa: PLC0415  takes a second to import

    if sum(len(frame.ids) > 0 for frame in frames) < 2:
        return
    most = settings.most_distance**2
    tracker = LapTrack(
        cutoff=most,
        gap_closing_cutoff=most if settings.gap else False,
        gap_closing_max_frame_count=settings.gap + 1,
        splitting_cutoff=most if settings.divisions else False,
        segment_start_cost=most,
        segment_end_cost=most,
        no_splitting_cost=most,
        no_merging_cost=most,
    )
    shifted = [((a - first, i), (b - first, j)) for (a, i), (b, j) in _two_each(fixed)]
    found = tracker.predict([frame.centre for frame in frames], shifted or None)
    for (a, i), (b, j) in found.edges():
        yield (int(a) + first, int(i)), (int(b) + first, int(j))


def _two_each(edges: Sequence[Edge]) -> Iterator[Edge]:
    """Yield at most two links of each object, which is what LapTrack takes for a division."""
    followers = Counter[Node]()
    for one, other in sorted(edges):
        followers[one] += 1
        if followers[one] <= 2:
            yield one, other


def _same_ids(frames: Sequence[Frame], gap: int) -> Iterator[Edge]:
    """Yield links that are certain: of one locked id, or of one id where nothing changed."""
    last: dict[int, Node] = {}
    changed = -1  # the last frame that did
    for number, frame in enumerate(frames):
        if frame.changed:
            changed = number
        for i, own in enumerate(frame.ids.tolist()):
            before = last.get(own)
            sure = frame.locked[i] or (before is not None and changed < before[0])
            if before is not None and sure and number - before[0] <= gap + 1:
                yield before, (number, i)
            last[own] = (number, i)


def known_divisions(frames: Sequence[Frame], parents: dict[int, int], gap: int) -> Iterator[Edge]:
    """Yield the links from parents to children that were known, where nothing changed."""
    if not parents:
        return
    first: dict[int, Node] = {}
    last: dict[int, Node] = {}
    for number, frame in enumerate(frames):
        for i, own in enumerate(frame.ids.tolist()):
            first.setdefault(own, (number, i))
            last[own] = (number, i)
    for child, parent in parents.items():
        if child in first and parent in last:
            one, other = last[parent], first[child]
            known = not any(frame.changed for frame in frames[one[0] : other[0] + 1])
            if known and 0 < other[0] - one[0] <= gap + 1:
                yield one, other


def _without_doubtful(edges: set[Edge], certain: set[Edge], frames: Sequence[Frame]) -> set[Edge]:
    """Leave out the farther daughter of each division that does not look like one."""
    before = {later: earlier for earlier, later in edges}
    after: dict[Node, list[Node]] = {}
    for earlier, later in sorted(edges):
        after.setdefault(earlier, []).append(later)
    kept = set(edges)
    for mother, daughters in after.items():
        found = [d for d in daughters if (mother, d) not in certain]
        if len(daughters) < 2 or not found or _is_division(mother, daughters, before, frames):
            continue
        place = frames[mother[0]].centre[mother[1]]
        distances = [float(np.linalg.norm(frames[t].centre[i] - place)) for t, i in found]
        kept.discard((mother, found[int(np.argmax(distances))]))
    return kept


def _without_conflicts(
    edges: set[Edge], frames: Sequence[Frame], divisions: set[Edge]
) -> set[Edge]:
    """Leave out links that would make one track of two ids that a person gave."""
    owner: dict[Node, int] = {}
    followers = Counter(earlier for earlier, _ in edges)
    kept = set(edges)
    for earlier, later in sorted(edges, key=lambda edge: edge[1]):
        one, other = (owner.get(n, 0) or _locked_id(n, frames) for n in (earlier, later))
        if followers[earlier] > 1 or (earlier, later) in divisions:
            continue
        if one and other and one != other:
            kept.discard((earlier, later))
        elif one or other:
            owner[later] = one or other
    return kept


def _locked_id(node: Node, frames: Sequence[Frame]) -> int:
    """Return the id of an object if a person gave it, else 0."""
    frame = frames[node[0]]
    return int(frame.ids[node[1]]) if frame.locked[node[1]] else 0


def _is_division(
    mother: Node, daughters: Sequence[Node], before: dict[Node, Node], frames: Sequence[Frame]
) -> bool:
    """Whether two objects look like the daughters of a third."""
    if len(daughters) != 2 or daughters[0][0] != daughters[1][0]:
        return False
    sizes = sorted(float(frames[t].size[i]) for t, i in daughters)
    largest, node = 0.0, mother
    for _ in range(RECENT):
        largest = max(largest, float(frames[node[0]].size[node[1]]))
        if node not in before:
            break
        node = before[node]
    middle = np.mean([frames[t].centre[i] for t, i in daughters], axis=0)
    away = float(np.linalg.norm(middle - frames[mother[0]].centre[mother[1]]))
    return sizes[0] >= SIBLINGS * sizes[1] and sizes[1] <= DAUGHTER * largest and away <= BETWEEN
