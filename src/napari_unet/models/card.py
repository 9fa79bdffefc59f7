"""A model's card: everything about a model but its weights, kept in the file's header.

A model file is safetensors; the card is JSON under the key `CARD_KEY` of its metadata, so it is
read without torch and without running anything the file brings along.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from safetensors import SafetensorError, safe_open

from napari_unet.errors import ModelError
from napari_unet.network.spec import UNetSpec
from napari_unet.settings import DecodeSettings, explain

CARD_KEY = "napari_unet_card"
SUFFIX = ".safetensors"
LARGEST_ZOOM = 4.0
LARGEST_HEADER = 10**6  # bytes; a card and the list of a network's tensors need some ten thousand
Diameter = Annotated[float, Field(ge=1, le=4000)]


class ModelCard(BaseModel):
    """What a model is, made from, and good for.

    Attributes
    ----------
    name : str
        Name in the library.
    spec : UNetSpec
        The network.
    kind : {"instances", "classes"}
        "instances": softmax of background, cell, touching border, plus the distance; decoded to
        one id per object. "classes": the argmax of the softmax is the label.
    object_diameter : float
        Pixels; the diameter the network saw most in training.
    diameter_range : tuple of float
        Pixels; objects in this range need no rescaling.
    decode : DecodeSettings
        Thresholds chosen on validation images.
    class_names : tuple of str
        Name of each class, background first.
    description, licence, data, created, parent : str
        For people: what it is good and bad at, licence, training images, date, parent model.
    scores : dict
        Name of a measure to its value, as measured when the model was released.
    recipe : dict
        Seed, steps and knobs of the training.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    spec: UNetSpec
    kind: Literal["instances", "classes"] = "instances"
    object_diameter: Diameter = 20.0
    diameter_range: tuple[Diameter, Diameter] = (8.0, 50.0)
    decode: DecodeSettings = DecodeSettings()
    class_names: tuple[str, ...] = ("background", "cell", "touching border")
    description: str = ""
    licence: str = ""
    data: str = ""
    created: str = ""
    parent: str = ""
    scores: dict[str, float] = {}
    recipe: dict[str, Any] = {}

    @field_validator("spec", mode="before")
    @classmethod
    def _spec_from_json(cls, value: Any) -> Any:
        return UNetSpec.from_dict(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _outputs_fit_the_kind(self) -> Self:
        if self.kind == "instances" and (self.spec.classes != 3 or not self.spec.distance):
            raise ValueError("instances need three classes and the distance as outputs")
        return self

    def zoom(self, diameter: float) -> float:
        """Factor to resize an image by, so that objects of `diameter` px suit the network.

        1.0 (no resizing) as long as the diameter lies in `diameter_range`; never more than
        `LARGEST_ZOOM`, which costs its square in time.
        """
        low, high = self.diameter_range
        if low <= diameter <= high:
            return 1.0
        return min(LARGEST_ZOOM, self.object_diameter / diameter)


def read_card(path: Path) -> ModelCard:
    """Read the card of a model file; anything that is not one of ours raises `ModelError`."""
    _check_header(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path.name} is damaged or is not a model file ({error}). Copy or export it again."
        ) from error
    if CARD_KEY not in metadata:
        raise ModelError(
            f"{path.name} holds weights but no card of this plugin, so its network is unknown. "
            "Use a model that was saved or exported here."
        )
    try:
        return ModelCard.model_validate(json.loads(metadata[CARD_KEY]))
    except (ValueError, RecursionError) as error:  # ValidationError and ModelError among them
        raise ModelError(
            f"The card of {path.name} cannot be understood ({explain(error)}). Update the "
            "plugin, or use another model."
        ) from error


def _check_header(path: Path) -> None:
    """Refuse a header so long that reading it would be an attack, before it is read."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
    except FileNotFoundError as error:
        raise ModelError(f"There is no model file at {path}. Check the path.") from error
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error}). Check the file.") from error
    if length > LARGEST_HEADER:
        raise ModelError(
            f"{path.name} is damaged or is not a model file (its header claims {length} bytes, at "
            f"most {LARGEST_HEADER} are read). Copy or export it again."
        )


def sha256_of(path: Path) -> str:
    """Return the file's sha256 as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
