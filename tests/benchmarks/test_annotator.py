"""The simulated person: what is painted is true, sparse, repeatable; the rest is scored fairly."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from benchmarks import never_worse
from benchmarks.common.annotator import (
    JITTER,
    MODES,
    Annotator,
    Sheet,
    brushed,
    cells_of,
    paint_cell,
    stroke,
)
from benchmarks.common.image_sets import Scene
from benchmarks.common.matching import count, match
from benchmarks.common.retraining import rest
from benchmarks.common.rows import Row, Rows, read_rows
from benchmarks.painting import newest, table
from napari_unet.image import Image
from napari_unet.labels.painted import BACKGROUND, painted_objects

SIZE = 200


def discs(shape: tuple[int, int] = (SIZE, SIZE), step: int = 40, radius: int = 12) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    y, x = np.ogrid[: shape[0], : shape[1]]
    number = 0
    for cy in range(step // 2, shape[0], step):
        for cx in range(step // 2, shape[1], step):
            number += 1
            labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return labels


def scene(truth: np.ndarray | None = None, **purpose: bool) -> Scene:
    truth = discs() if truth is None else truth
    return Scene("discs", Image(truth.astype(np.float32), "YX"), truth, **purpose)


def nothing(_: int) -> np.ndarray:
    return np.zeros((SIZE, SIZE), np.int32)


@pytest.mark.parametrize("mode", MODES)
def test_paints_as_many_cells_as_asked_and_some_background(mode: str) -> None:
    person = Annotator([scene(), scene()], mode, seed=3)
    person.paint(7, nothing)
    assert person.count == 7
    objects = sum(len(painted_objects(sheet.painted)) for sheet in person.sheets)
    background = sum(int((sheet.painted == BACKGROUND).sum()) for sheet in person.sheets)
    assert objects == 7
    assert 300 < background < 6000


def test_the_same_seed_paints_the_same_also_after_a_stop() -> None:
    first, second = (Annotator([scene(), scene()], "worst", seed=5) for _ in range(2))
    for total in (2, 10):
        first.paint(total, nothing)
    second.paint(2, nothing)
    third = Annotator([scene(), scene()], "worst", seed=5)
    for sheet, known in zip(third.sheets, second.sheets, strict=True):
        sheet.painted, sheet.done = known.painted.copy(), set(known.done)
    third.paint(10, nothing)
    for one, other in zip(first.sheets, third.sheets, strict=True):
        assert np.array_equal(one.painted, other.painted)
        assert one.done == other.done


def test_more_cells_keep_what_was_painted() -> None:
    person = Annotator([scene()], "random", seed=1)
    person.paint(3, nothing)
    before = person.sheets[0].painted.copy()
    person.paint(9, nothing)
    now = person.sheets[0].painted
    kept = (before > 0) & (before != BACKGROUND)
    assert np.array_equal(now[kept], before[kept])


def test_worst_are_those_that_are_missed() -> None:
    truth = discs()
    missed = {3, 11, 17}
    found = np.where(np.isin(truth, list(missed)), 0, truth)
    person = Annotator([scene(truth)], "worst", seed=0)
    person.paint(3, lambda _: found)
    assert person.sheets[0].done == missed


def test_stops_when_nothing_is_left() -> None:
    person = Annotator([scene()], "random", seed=0)
    person.paint(500, nothing)
    assert person.count == 25


def test_scenes_that_are_only_scored_stay_blank() -> None:
    person = Annotator([scene(scored=False), scene(painted_on=False)], "random", seed=0)
    person.paint(6, nothing)
    assert person.sheets[0].painted.any()
    assert not person.sheets[1].painted.any()


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 30), st.integers(3, 30), st.integers(0, 1000))
def test_brush_stays_within_a_pixel_of_the_edge(height: int, width: int, seed: int) -> None:
    inside = np.zeros((height + 12, width + 12), bool)
    inside[6:-6, 6:-6] = True
    painted = brushed(inside, np.random.default_rng(seed))
    outside = ndimage.distance_transform_edt(~inside)
    assert painted.any()
    assert outside[painted].max() <= JITTER + 0.5
    assert ndimage.label(painted)[1] == 1


def test_brush_is_too_wide_for_a_thin_tail() -> None:
    inside = np.zeros((80, 120), bool)
    inside[20:60, 10:50] = True
    inside[39:41, 50:110] = True
    painted = brushed(inside, np.random.default_rng(0))
    assert painted[25:55, 15:45].all()
    assert not painted[:, 60:].any()


def test_corrected_object_keeps_the_id_that_was_found() -> None:
    truth = discs()
    sheet = Sheet.blank(scene(truth))
    hand = np.random.default_rng(0)
    merged = np.where(np.isin(truth, [1, 2]), 40, 0)
    first, second = cells_of(truth)[:2]
    paint_cell(sheet, first, merged, hand)
    paint_cell(sheet, second, merged, hand)
    assert set(np.unique(sheet.painted)) == {0, 40, 41}


@pytest.mark.parametrize("seed", range(5))
def test_stroke_keeps_to_background(seed: int) -> None:
    background = discs() == 0
    drawn = stroke(background, np.zeros_like(background), np.random.default_rng(seed))
    assert background[drawn].all()
    assert 150 < drawn.sum() < 1200
    assert ndimage.label(drawn, np.ones((3, 3)))[1] == 1


def test_strokes_seek_false_objects() -> None:
    background = np.ones((SIZE, SIZE), bool)
    wrong = np.zeros_like(background)
    wrong[150:170, 150:170] = True
    hits = [
        (stroke(background, wrong, np.random.default_rng(seed)) & wrong).any() for seed in range(20)
    ]
    assert sum(hits) >= 10


def test_thin_background_gets_a_thin_stroke() -> None:
    background = np.zeros((SIZE, SIZE), bool)
    background[::25] = background[1::25] = background[:, ::25] = True
    drawn = stroke(background, np.zeros_like(background), np.random.default_rng(0))
    assert background[drawn].all()
    assert drawn.sum() > 30


def test_no_background_no_stroke() -> None:
    none = np.zeros((20, 20), bool)
    assert not stroke(none, none, np.random.default_rng(0)).any()


# ---- the rest ------------------------------------------------------------------------------------


def test_painted_cells_count_on_neither_side() -> None:
    truth = discs()
    sheet = Sheet.blank(scene(truth))
    for cell in cells_of(truth)[:4]:
        paint_cell(sheet, cell, truth, np.random.default_rng(0))
    left, found = rest(sheet, truth + (truth > 0) * 100)
    assert set(np.unique(left)) == {0, *range(5, 26)}
    assert set(np.unique(found)) == {0, *range(105, 126)}
    wrong = np.where(np.isin(truth, [1, 2, 3, 4]), 0, truth)  # finds only the rest, and all of it
    assert count([match(*rest(sheet, wrong))], (0.5, 0.8)).pooled.tolist() == [1, 1]


def test_object_merged_with_an_unpainted_one_still_counts_as_found() -> None:
    truth = np.zeros((SIZE, SIZE), np.int32)
    truth[50:70, 50:70], truth[50:90, 70:110] = 1, 2
    sheet = Sheet.blank(scene(truth))
    paint_cell(sheet, cells_of(truth)[0], truth, np.random.default_rng(0))
    _, found = rest(sheet, (truth > 0).astype(np.int32))
    assert found.any()


# ---- rows and tables -----------------------------------------------------------------------------


def test_rows_are_found_again_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = Rows(path, ("k",))
    rows.add({"k": 2, "ap": 0.5})
    with open(path, "a") as file:
        file.write('{"k": 5, "ap')
    again = Rows(path, ("k",))
    assert again.find(k=5) is None
    again.add({"k": 5, "ap": 0.6})
    assert [row["k"] for row in read_rows(path)] == [2, 5]
    assert Rows(path, ("k",)).find(k=5, method="any")["ap"] == 0.6  # type: ignore[index]


def row(domain: str, before: float, after: float, **more: object) -> Row:
    known = {"parent": "nuclei", "parent_sha": "a", "cells": 10, "time": 60, "domain": domain}
    scores = {
        name: dict.fromkeys(("0.5", "0.7"), value)
        for name, value in (("before", before), ("after", after))
    }
    following = {f"next_{name}": value for name, value in scores.items()}
    return {
        **known, **scores, **following, "outcome": "accepted", "base_before": 0.8,
        "base_after": 0.7, **more,
    }  # fmt: skip


def test_refused_models_are_not_in_use_and_better_previews_are() -> None:
    rows = [
        row("rods", 0.2, 0.6),
        row("rods", 0.2, 0.6, outcome="refused"),
        row("tnbc", 0.2, 0.6, outcome="preview"),
        row("nuclei", 0.2, 0.6),
    ]
    cells = {line[0]: line[1:] for line in table(rows)}
    assert cells["rods, nuclei, 10"][:3] == ["0.200", "0.600", "0.400"]
    assert cells["tnbc, nuclei, 10"][2] == "0.600"
    assert cells["mean without nuclei, nuclei, 10"][2] == "0.467"
    assert cells["rods, nuclei, 10"][6] == "1, 0, 1"


def test_only_the_last_weights_of_a_parent_are_shown() -> None:
    rows = [row("rods", 0.1, 0.2), row("rods", 0.1, 0.3, parent_sha="b"), row("rods", 0.1, 0.3)]
    rows[-1]["outcome"] = "error"
    assert [r["parent_sha"] for r in newest(rows)] == ["b"]


# ---- wrong strokes -------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_a_share_of_the_cells_is_painted_wrongly(share: float) -> None:
    sheets = [Sheet.blank(scene()), Sheet.blank(scene())]
    wrong = never_worse.paint(sheets, 12, share, np.random.default_rng(4))
    assert wrong == round(share * 12)
    true = 0
    for sheet in sheets:
        for one in painted_objects(sheet.painted):
            mask = sheet.painted == one.id
            under = sheet.scene.truth[mask]
            same = np.bincount(under)
            same[0] = 0
            best = same.argmax()
            true += same[best] / ((sheet.scene.truth == best) | mask).sum() > 0.7
    assert 12 - wrong <= true < 12 + (wrong == 0)


def test_wilson_interval() -> None:
    low, high = never_worse.wilson(0, 20)
    assert low == 0
    assert high == pytest.approx(0.161, abs=0.001)
    assert never_worse.wilson(0, 0) == (0, 1)


def run(domain: str, change: float, gain: float) -> Row:
    pair = [0.4, 0.4 + gain]
    return {
        "domain": domain, "change": change, "held": 3, "old": 0.4, "new": 0.4 + gain,
        "certainty": 3 * gain, "learned": pair, "steady": pair,
    }  # fmt: skip


def test_matrix_counts_decisions_by_true_change() -> None:
    rows = [run("one", *of) for of in ((-0.3, -0.3), (0.3, 0.3), (0.0, 0.0)) for _ in range(3)]
    assert [line[1:5] for line in never_worse.matrix(rows)] == [
        ["3", "0", "3", "0"],
        ["3", "0", "3", "0"],  # nothing learned: as it was is better
        ["3", "3", "0", "0"],
    ]


def test_the_fit_finds_what_gains_are_worth() -> None:
    rows = [run("one", gain, gain) for gain in np.linspace(-0.3, 0.3, 40)]
    *weights, always = never_worse.fitted(rows)
    assert float(np.dot(weights, never_worse.compared(rows[-1]).gains)) == pytest.approx(
        0.3, abs=0.02
    )
    assert always == pytest.approx(0, abs=0.02)
    assert never_worse.newest(
        [{"outcome": "error", "time": 20}, *({**r, "time": 20} for r in rows)]
    )
