"""Linking through Z and time, measured on made-up volumes and movies.

    python -m benchmarks.linking                        all; writes docs/stacks.md
    python -m benchmarks.linking --only volumes         or movies
    python -m benchmarks.linking --seeds 1              a quick look; writes nothing

Truth is known: `benchmarks/common/made_up_stacks.py` draws ellipsoids and movies, as labels and as
pictures. Movies are judged by the metrics of traccuracy, which the extra `benchmarks` installs; it
needs an environment of its own, because it holds back click.
"""

import argparse
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common.made_up_stacks import (
    SPACING,
    Labels,
    Movie,
    Scene,
    apart,
    movie,
    volume,
    with_wrong_planes,
)
from benchmarks.common.matching import count, match
from benchmarks.common.tables import ROOT, markdown, write_table
from napari_unet.image import Image, Spacing
from napari_unet.labels.linking import link
from napari_unet.segmentation import segment
from napari_unet.settings import LinkSettings

DOCUMENT = ROOT / "docs" / "stacks.md"
SEEDS = 4
FIRST = 100  # seed; lower ones were looked at while the linking was made
PLAIN = LinkSettings(gap=0, waist=0)  # overlap from plane to plane, and nothing else
VOLUMES = ("planes", "volumes", "objects", "found", "AP 0.5", "AP 0.7")
MOVIES = ("frames", "movies", "objects in frames", "divisions", "LNK", "edge F1", "division F1")
THRESHOLDS = (0.5, 0.7)
SCENES = {
    "moving": Scene(),
    "fast": Scene(speed=7.0),
    "crowded": Scene(cells=60),
    "dividing": Scene(cells=15, dividing=0.02),
    "lost for a frame": Scene(lost=0.03),
    "all of it": Scene(cells=30, speed=4.0, dividing=0.01, lost=0.02),
}
HARDEST = "all of it"


# ---- volumes -----------------------------------------------------------------------------------


def networks_planes(image: Any, axes: str) -> Labels:
    """Return what the bundled model finds in each plane."""
    sizes = {"Z": float(SPACING), "Y": 1.0, "X": 1.0}
    spacing = {axis: Spacing(sizes[axis], "micrometer") for axis in axes if axis in sizes}
    opened = Image(image, axes, spacing=spacing)
    return segment(opened, "nuclei").labels.astype(np.int64)


def volume_row(name: str, pairs: Sequence[tuple[Labels, Labels]]) -> list[str]:
    """Compare found volumes with true ones, those of all volumes together."""
    matchings = [match(truth, found) for truth, found in pairs]
    counts = count(matchings, THRESHOLDS)
    true, found = counts.objects.sum(axis=0)
    return [name, str(len(pairs)), str(true), str(found), *(f"{ap:.3f}" for ap in counts.pooled)]


def volumes(seeds: int) -> list[list[str]]:
    """Rows of the table of volumes."""
    kinds: dict[str, list[tuple[Labels, Labels]]] = {}
    for seed in range(FIRST, FIRST + seeds):
        truth, image = volume(seed)
        planes = {
            "perfect": apart(truth, seed),
            "some wrong": apart(with_wrong_planes(truth, seed), seed),
            "the network's": networks_planes(image, "ZYX"),
        }
        for name, labels in planes.items():
            for more, settings in (("", None), (", by overlap alone", PLAIN)):
                linked = link(labels, "ZYX", settings, depth=SPACING).applied(labels)
                kinds.setdefault(name + more, []).append((truth, linked.astype(np.int64)))
    return [volume_row(name, pairs) for name, pairs in kinds.items()]


# ---- movies ------------------------------------------------------------------------------------


def tracking_graph(labels: Labels, parents: dict[int, int]) -> Any:
    """Describe tracks as traccuracy wants them: a node for each object and frame."""
    import networkx
    from traccuracy import TrackingGraph

    graph, first, last = networkx.DiGraph(), dict[int, int](), dict[int, int]()
    for t, frame in enumerate(labels):
        for number in np.unique(frame[frame > 0]).tolist():
            node = graph.number_of_nodes() + 1
            graph.add_node(node, t=t, segmentation_id=number)
            if number in last:
                graph.add_edge(last[number], node)
            first.setdefault(number, node)
            last[number] = node
    for child, parent in parents.items():
        if child in first and parent in last:
            graph.add_edge(last[parent], first[child])
    return TrackingGraph(graph, labels)


def scores(scene: Movie, labels: Labels) -> list[float]:
    """Link the frames of a movie; return LNK, edge F1 and division F1."""
    from traccuracy import run_metrics
    from traccuracy.matchers import IOUMatcher
    from traccuracy.metrics import BasicMetrics, CTCMetrics, DivisionMetrics

    links = link(labels, "TYX")
    found = links.applied(labels).astype(np.int64)
    values = []
    for metric, path in (
        (CTCMetrics(), ("LNK",)),
        (BasicMetrics(), ("Edge F1",)),
        (DivisionMetrics(), ("Frame Buffer 0", "Division F1")),
    ):
        true, own = tracking_graph(scene.truth, scene.parents), tracking_graph(found, links.parents)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says how it finds the boxes of objects
            results, _ = run_metrics(true, own, IOUMatcher(0.51, one_to_one=True), [metric])
        value = results[0]["results"]
        for key in path:
            value = value[key]
        values.append(float(value))
    return values


def movie_row(name: str, scenes: Sequence[Movie], frames: Sequence[Labels]) -> list[str]:
    """Return the mean scores of some movies."""
    each = np.array([scores(s, f) for s, f in zip(scenes, frames, strict=True)])
    objects = sum(len(np.unique(frame)) - 1 for s in scenes for frame in s.truth)
    divisions = sum(len(set(s.parents.values())) for s in scenes)
    shown = [f"{mean:.3f}" for mean in each[:, :2].mean(axis=0)]
    divided = f"{np.nanmean(each[:, 2]):.3f}" if divisions else "–"
    return [name, str(len(scenes)), str(objects), str(divisions), *shown, divided]


def movies(seeds: int) -> list[list[str]]:
    """Rows of the table of movies."""
    rows, made = [], dict[str, list[Movie]]()
    for name, scene in SCENES.items():
        made[name] = [movie(scene, seed) for seed in range(FIRST, FIRST + seeds)]
        frames = [apart(m.truth, seed) for seed, m in enumerate(made[name])]
        rows.append(movie_row(f"perfect, {name}", made[name], frames))
        print(rows[-1], flush=True)
    found = [networks_planes(m.image, "TYX") for m in made[HARDEST]]
    return [*rows, movie_row(f"the network's, {HARDEST}", made[HARDEST], found)]


# ---- the command -------------------------------------------------------------------------------

PARTS = {"volumes": (VOLUMES, volumes), "movies": (MOVIES, movies)}


def main() -> None:
    """Measure the parts asked for; another number of seeds is not written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="volumes and movies of each kind")
    asked = parser.parse_args()
    for part in asked.only:
        header, measured = PARTS[part]
        rows = measured(asked.seeds)
        print(markdown(header, rows))
        if asked.seeds == SEEDS:
            command = f"python -m benchmarks.linking --only {part}"
            write_table(DOCUMENT, f"linking-{part}", header, rows, command=command)


if __name__ == "__main__":
    main()
