"""Which images of the further sets are trained on, and which are kept to validate on.

Two images of one patient, organ or preparation are alike; the split keeps them together, as far as
a set has several. Never trained on: the `isbi2012_em` set.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

Sample = dict[str, Any]
Part = Literal["train", "val", "neither"]

HELD_PATIENTS = ("03", "10")  # of tnbc
# Of nuinsseg, by number: images are in the order of organs, about 20 of each. Those beside a
# held-out stretch may show the same organ and are used for neither.
HELD_NUMBERS = ((200, 250), (480, 530))
BESIDE = 12
# One preparation of sbsst265, one image of each small set; zo1_mdck and cell_aap have one
# preparation only.
HELD_NAMES = {
    "sbsst265": ("Neuroblastoma_",),
    "embryo_tissue": ("micropattern_",),
    "cell_aap": ("cell_aap_1",),
    "zo1_mdck": ("MDCK_Myo1c_KO_Zo_1_7", "MDCK_Myo1c_KO_Zo_1_10"),
}
EVERY = 10  # of cellsium_bacteria every tenth is held out: each is made up for itself
FURTHER = (
    "sbsst265",
    "tnbc",
    "nuinsseg",
    "embryo_tissue",
    "cell_aap",
    "zo1_mdck",
    "cellsium_bacteria",
)


def part_of(group: str, name: str) -> Part:
    """Return what an image is used for, by its set and its name without ending."""
    if group == "tnbc":
        return "val" if name.split("_")[0] in HELD_PATIENTS else "train"
    if group == "cellsium_bacteria":
        return "val" if int(name.split("_")[1]) % EVERY == 0 else "train"
    if group != "nuinsseg":
        return "val" if name.startswith(HELD_NAMES[group]) else "train"
    number = int(name.split("_")[1])
    if any(low <= number < high for low, high in HELD_NUMBERS):
        return "val"
    near = any(low - BESIDE <= number < high + BESIDE for low, high in HELD_NUMBERS)
    return "neither" if near else "train"


def cluster_of(group: str, name: str) -> str:
    """Return the patient, organ (nearly) or preparation that an image shows."""
    first, _, rest = name.partition("_")
    if group == "nuinsseg":
        return f"organ-{int(rest) // 20}"
    if group == "cellsium_bacteria":
        return rest.partition("_")[2]  # how the cells lie, and the microscopy
    return first if group in ("tnbc", "sbsst265") else name


def further_images(data: Path, part: Part) -> Iterator[Sample]:
    """List the images of the further sets that belong to one part of the split."""
    for group in FURTHER:
        for image in sorted((data / group / "images").glob("*.png")):
            if part_of(group, image.stem) == part:
                mask = data / group / "masks" / image.name
                cluster = cluster_of(group, image.stem)
                yield {"image": image, "mask": mask, "group": group, "cluster": cluster}


def further_training_images(data: Path) -> list[Sample]:
    """List the images of the further sets that are trained on."""
    return list(further_images(data, "train"))
