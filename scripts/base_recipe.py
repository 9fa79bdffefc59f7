"""Every knob of the bundled models' training, in one place; a run changes them by name.

`Recipe.changed({"weight_peak": 0})` is one row of the ablations; `NUCLEI` and `CELLS` are bundled.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from napari_unet.models.card import ModelCard
from napari_unet.network.spec import UNetSpec
from napari_unet.training.augment import Augmentation


class Phase(BaseModel):
    """Part of the training: linear warm-up over a tenth of it, then cosine to zero."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    rate: float  # peak learning rate of AdamW
    augmentation: Augmentation
    crowded: float = 0.0  # of the crops are of images that objects were copied into


class Recipe(BaseModel):
    """How one model is trained.

    Attributes
    ----------
    card : ModelCard
        What is known of the model before it is trained.
    shares : dict
        Group of images to its share of the crops.
    phases : tuple of Phase
        One after the other.
    crop, batch : int
        Pixels, crops.
    border : float
        Weight of a touching-border pixel in the loss.
    distance_weight : float
        Weight of the distance in the loss.
    weight_peak : float
        w0 of the paper's weight map (section 3, eq. 2); 0 = none.
    mixed : bool
        Whether colour images are seen in several mixtures of their channels, not the average only.
    minutes : float or None
        The training ends after this time of the processor, all threads together, whatever the
        steps; None = after the steps.
    averaging : float
        Moving average of the weights; the average is what ships.
    without : tuple of str
        Fields of view that are left out, to be measured on afterwards.
    misfit : float
        Share of the crops that show objects far too large or too small, as background: a model
        that says nothing at a wrong size lets the size of an image's objects be found.
    far : float
        Share of the crops that show objects much too large or too small, for the network's
        diameter output only: nothing else is learned from them.
    made_up : int
        Images of made-up cells, group "made_up".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: ModelCard
    shares: dict[str, float]
    phases: tuple[Phase, ...]
    seed: int = 20261122
    crop: int = 256
    batch: int = 8
    border: float = 4.0
    distance_weight: float = 1.0
    weight_peak: float = 0.0
    mixed: bool = True
    minutes: float | None = None
    averaging: float = 0.998
    decay: float = 1e-4
    clip: float = 1.0
    on_object: float = 0.9  # of the crops are centred on an object
    misfit: float = 0.0
    far: float = 0.0
    made_up: int = 0
    without: tuple[str, ...] = ()

    @field_validator("card", mode="before")
    @classmethod
    def _card(cls, value: Any) -> Any:
        return ModelCard.model_validate(value) if isinstance(value, dict) else value

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    @property
    def truths(self) -> int:
        """Planes of a sample before its image: distance, weights, classes, and the diameter."""
        return 3 + int(self.card.spec.diameter)

    @property
    def is_crowded(self) -> bool:
        """Whether some phase shows images that objects were copied into."""
        return any(phase.crowded for phase in self.phases)

    def phase(self, progress: float) -> tuple[Phase, float]:
        """Return the phase that a share of the training falls into, and the share of it done."""
        step = progress * self.steps
        for phase in self.phases[:-1]:
            if step < phase.steps:
                return phase, step / phase.steps
            step -= phase.steps
        return self.phases[-1], step / self.phases[-1].steps

    def changed(self, changes: Mapping[str, Any]) -> "Recipe":
        """Return this recipe with other knobs.

        Parameters
        ----------
        changes : mapping
            Name to value. A field of the network's specification or of the card is meant where
            the recipe has none of that name; `augmentation` changes fields of every phase's.
        """
        values = self.model_dump()
        for name, value in changes.items():
            if name == "augmentation":
                for phase in values["phases"]:
                    phase["augmentation"] = {**phase["augmentation"], **value}
            elif name in values:
                values[name] = value
            elif name in values["card"]["spec"]:
                values["card"]["spec"][name] = value
            elif name in values["card"]:
                values["card"][name] = value
            else:
                raise ValueError(f"there is no knob {name!r}")
        return Recipe.model_validate(values)

    def record(self) -> dict[str, Any]:
        """Return the knobs as plain values for the model's card."""
        knobs = self.model_dump(exclude={"card", "phases"})
        phases = [{**p.model_dump(), "augmentation": asdict(p.augmentation)} for p in self.phases]
        return {**knobs, "phases": phases}


# Sizes and looks change much at first, so that many are known; unchanged geometry at the end, for
# outlines as sharp as the images. Right angles only: outlines stay on the pixel grid.
VARIED = Augmentation(scale=(0.7, 1.45), rotate=False, elastic=2.0, intensity=1.0, invert=0.05)
SHARP = Augmentation(scale=(1.0, 1.0), rotate=False, elastic=0.0, intensity=0.6, invert=0.03)
# The size of an image's objects is estimated, so the last thing learned is not one size only.
TOLERANT = Augmentation(
    scale=(0.5, 2.0), rotate=False, elastic=2.0, intensity=1.0, invert=0.05, still=0.3
)
SETTLED = Augmentation(
    scale=(0.7, 1.45), rotate=False, elastic=0.0, intensity=0.7, invert=0.03, still=0.5
)
# Other laboratories' images are blurred and noisy, too.
SPOILED = replace(SETTLED, blur=3.0, noise=0.2)

# From random weights, on two sets; the network was chosen with it, see docs/accuracy.md.
NUCLEI_ALONE = Recipe(
    card=ModelCard(
        name="nuclei",
        spec=UNetSpec(in_channels=1, classes=3, distance=True, base_filters=16, depth=4),
        object_diameter=24.0,
        diameter_range=(20.0, 29.0),
        polarity="bright",
        description="Nuclei in fluorescence, bright-field and stained tissue; grey values or "
        "colour, bright or dark objects, 6 to 120 pixels in diameter. Weak on crowded and stained "
        "tissue, and where blur or noise is strong.",
        licence="BSD-3-Clause",
        data="Data Science Bowl 2018 stage 1 with the community's mask fixes (CC0), training "
        "split; MNFinder training images (MIT, (c) 2023 L. DiPeso).",
    ),
    shares={"fluo": 0.56, "mnfinder": 0.14, "colour": 0.22, "brightfield_grey": 0.08},
    misfit=0.1,
    phases=(
        Phase(steps=3300, rate=2e-3, augmentation=VARIED),
        Phase(steps=1700, rate=1e-3, augmentation=SHARP),
        Phase(steps=3500, rate=1.5e-3, augmentation=VARIED),
        Phase(steps=1200, rate=1e-3, augmentation=SHARP),
        Phase(steps=1900, rate=1.5e-3, augmentation=TOLERANT),
        Phase(steps=1000, rate=1e-3, augmentation=SETTLED),
        Phase(steps=2300, rate=1.2e-3, augmentation=SPOILED, crowded=0.3),
    ),
)

# The paper's network (section 2): valid convolutions, no BatchNorm. Ahead of all after minutes, so
# it was given a long training, too; it is not bundled. See docs/accuracy.md.
NUCLEI_VALID = NUCLEI_ALONE.changed(
    {
        "name": "nuclei-valid",
        "variant": "paper",
        "crop": 348,  # of which 164 are predicted
        "batch": 6,
        "misfit": 0.0,
        "phases": (
            Phase(steps=1900, rate=2e-3, augmentation=VARIED),
            Phase(steps=900, rate=1e-3, augmentation=SHARP),
        ),
    }
)

# Other laboratories' phase contrast has other halos, magnifications and contrasts.
FOREIGN = Augmentation(
    scale=(0.6, 1.6), rotate=True, elastic=4.0, intensity=1.0, invert=0.1, halo=1
)
NEAR = Augmentation(
    scale=(0.9, 1.1), rotate=False, elastic=0.0, intensity=0.7, invert=0.03, halo=0.5
)

CELLS_PHASE = Recipe(
    card=ModelCard(
        name="cells-phase",
        spec=UNetSpec(in_channels=1, classes=3, distance=True, base_filters=16, depth=4),
        object_diameter=40.0,
        diameter_range=(33.0, 48.0),
        description="Whole mammalian cells in phase contrast, also elongated and touching ones. "
        "Taught on one cell line at 10x; outlines are rough, and other cells may need a few "
        "strokes and Retrain.",
        licence="BSD-3-Clause",
        data="Usiigaci training images, T98G glioblastoma (MIT, (c) 2018 OIST).",
    ),
    shares={"usiigaci": 1.0},
    phases=(
        Phase(steps=1400, rate=2e-3, augmentation=FOREIGN),
        Phase(steps=700, rate=1e-3, augmentation=NEAR),
        Phase(steps=1900, rate=1.5e-3, augmentation=FOREIGN),
        Phase(steps=900, rate=1e-3, augmentation=NEAR),
    ),
)

# Any cell: made-up ones show what no set has, real ones what cannot be made up.
ANY = Augmentation(scale=(0.6, 1.6), rotate=True, elastic=3.0, intensity=1.0, invert=0.3, halo=0.2)
CALM = Augmentation(
    scale=(0.7, 1.4), rotate=False, elastic=0.0, intensity=0.7, invert=0.3, still=0.3
)

CELLS = Recipe(
    card=ModelCard(
        name="cells",
        spec=UNetSpec(
            in_channels=1,
            classes=3,
            distance=True,
            base_filters=16,
            depth=4,
            diameter=True,
            nuclei=True,
        ),
        object_diameter=30.0,
        diameter_range=(23.0, 39.0),
        polarity="given",
        description="Any cell: whole cells in phase contrast, DIC, bright field and with stained "
        "membranes, bacteria, nuclei in fluorescence and stained tissue.",
        licence="BSD-3-Clause",
        data="Made-up cells; Data Science Bowl 2018 stage 1 with the community's mask fixes (CC0); "
        "mnfinder (MIT, (c) 2023 L. DiPeso); Usiigaci (MIT, (c) 2018 OIST); S-BSST265 (CC0, Kromp "
        "et al. 2020); TNBC (CC BY 4.0, Naylor et al. 2019); NuInsSeg (CC BY 4.0, Mahbod et al. "
        "2024); embryo tissue (MIT, (c) 2020 T. Rito); Cell-AAP (MIT, (c) 2024 A. Virdi); ZO-1 "
        "MDCK (MIT, (c) 2025 JahnJ); CellSium (BSD-2-Clause, (c) C. Sachs, FZ Juelich).",
    ),
    shares={
        "made_up": 0.41,
        "usiigaci": 0.13,
        "fluo": 0.09,
        "mnfinder": 0.04,
        "colour": 0.05,
        "brightfield_grey": 0.03,
        "sbsst265": 0.05,
        "tnbc": 0.04,
        "nuinsseg": 0.05,
        "cell_aap": 0.05,
        "zo1_mdck": 0.02,
        "cellsium_bacteria": 0.03,
        "embryo_tissue": 0.01,
    },
    far=0.15,
    made_up=2400,
    phases=(
        Phase(steps=7000, rate=2e-3, augmentation=ANY),
        Phase(steps=6000, rate=1.5e-3, augmentation=ANY),
        Phase(steps=3000, rate=1e-3, augmentation=CALM),
    ),
)

# Goes on from `cells`: it has seen any blur, noise and size, and learns to find nuclei only.
NUCLEI = CELLS.changed(
    {
        "name": "nuclei",
        "nuclei": False,
        # many nuclei have 22 px: to enlarge them takes twice the time and finds no more
        "diameter_range": [21.5, 39.0],
        "description": "Nuclei in fluorescence, bright field and stained tissue; grey values or "
        "colour, bright or dark objects, 6 to 120 pixels in diameter.",
        "shares": {
            **dict.fromkeys(CELLS.shares, 0.0),
            "fluo": 0.33,
            "mnfinder": 0.08,
            "colour": 0.12,
            "brightfield_grey": 0.05,
            "sbsst265": 0.15,
            "tnbc": 0.09,
            "nuinsseg": 0.11,
            "embryo_tissue": 0.02,
            "made_up": 0.05,
        },
        "phases": (
            Phase(steps=2000, rate=1e-3, augmentation=replace(ANY, blur=3.0, noise=0.2, halo=0.0)),
            Phase(steps=1500, rate=7e-4, augmentation=replace(CALM, blur=3.0, noise=0.2)),
        ),
    }
)
RECIPES = {
    "nuclei": NUCLEI,
    "nuclei-alone": NUCLEI_ALONE,
    "nuclei-valid": NUCLEI_VALID,
    "cells-phase": CELLS_PHASE,
    "cells": CELLS,
}
