"""A model's card: everything about a model but its weights, kept in the file's header.

A model file is safetensors; the card is JSON under the key `CARD_KEY` of its metadata, so it is
read without torch and without running anything the file brings along.
"""

import hashlib
import json
import unicodedata
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_serializer,
    field_validator,
    model_validator,
)
from safetensors import SafetensorError, safe_open

from napari_unet.errors import ModelError
from napari_unet.network.imported import ImportedSpec, spec_from_dict
from napari_unet.network.outputs import Channels, Kind, map_channels
from napari_unet.network.spec import UNetSpec
from napari_unet.settings import MOST_DIAMETER, DecodeSettings, explain
from napari_unet.wording import counted

CARD_KEY = "napari_unet_card"
SUFFIX = ".safetensors"
LARGEST_ZOOM = 4.0
KNOWN = 1.6  # factor by which objects may be smaller than a retrained model's parent saw most
NEAR = 1.6  # factor within which an estimate confirms the diameters a model was trained on
WELL_INSIDE = 1.25  # times the smallest diameter of the range, or the largest divided by it
LARGEST_HEADER = 10**6  # bytes; a card and the list of a network's tensors need some ten thousand
LONGEST_TEXT = 300  # characters of a card's field that are shown
MOST_SCORES = 8  # shown; a card may hold dozens
Diameter = Annotated[float, Field(ge=1, le=MOST_DIAMETER)]
Count = Annotated[int, Field(ge=0)]


class ModelCard(BaseModel):
    """What a model is, made from, and good for.

    Attributes
    ----------
    name : str
        Name in the library.
    spec : UNetSpec
        The network.
    kind : Kind
        Instances: softmax of background, cell, touching border, plus the distance; decoded to
        one id per object. Classes: the argmax of the softmax is the label.
    object_diameter : float
        Pixels; the diameter the network saw most in training.
    diameter_range : tuple of float
        Pixels; objects in this range need no rescaling.
    polarity : {"given", "bright"}
        "bright": images with dark objects on a bright ground are inverted first.
    decode : DecodeSettings
        Thresholds chosen on validation images.
    class_names : tuple of str
        Name of each class, background first.
    usual_diameter : float or None
        Pixels of the image; diameter of the objects it was trained on. None = not known, so the
        diameter is estimated from each image.
    taught_diameters : tuple of float or None
        Pixels of the image; four in five of the objects it was trained on lie between them.
    description, licence, data, created : str
        For people: what it is good and bad at, licence, training images, date.
    parent, parent_sha : str
        Name and sha256 of the model this one was retrained from; empty = trained from scratch.
    former_shas : tuple of str
        sha256 this model's file had under earlier names, oldest first: a rename rewrites the
        card, and models retrained from it must still find it.
    images : int
        Images with corrections it was retrained on.
    taught_images : tuple of str
        Fingerprints of those images, which tell whether they are open again.
    painted_objects, painted_background : int
        Corrections it was retrained on: objects, and pixels of background.
    scores : dict
        Name of a measure to its value, as measured when the model was released.
    report : dict
        How the retraining went: held-out scores of the old and the new model, whether it was
        accepted and why, seconds, steps. Plain values, or one level of dicts of them.
    recipe : dict
        Seed, steps and knobs of the training.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    spec: UNetSpec
    kind: Kind = Kind.INSTANCES
    object_diameter: Diameter = 20.0
    diameter_range: tuple[Diameter, Diameter] = (8.0, 50.0)
    polarity: Literal["given", "bright"] = "given"
    decode: DecodeSettings = DecodeSettings()
    class_names: tuple[str, ...] = ("background", "cell", "touching border")
    usual_diameter: Diameter | None = None
    taught_diameters: tuple[Diameter, Diameter] | None = None
    description: str = ""
    licence: str = ""
    data: str = ""
    created: str = ""
    parent: str = ""
    parent_sha: str = ""
    former_shas: tuple[str, ...] = ()
    images: Count = 0
    taught_images: tuple[str, ...] = ()
    painted_objects: Count = 0
    painted_background: Count = 0
    scores: dict[str, float] = {}
    report: dict[str, Any] = {}
    recipe: dict[str, Any] = {}

    @field_validator("spec", mode="before")
    @classmethod
    def _spec_from_json(cls, value: Any) -> Any:
        return spec_from_dict(value) if isinstance(value, dict) else value

    @field_serializer("spec")
    def _spec_to_json(self, spec: UNetSpec) -> dict[str, Any]:
        return spec.to_dict()

    @model_validator(mode="after")
    def _outputs_fit_the_kind(self) -> Self:
        if self.finds_objects and (self.spec.classes != 3 or not self.spec.distance):
            raise ValueError("instances need three classes and the distance as outputs")
        return self

    @property
    def finds_objects(self) -> bool:
        """Whether it tells objects apart; else it gives every pixel a class."""
        return self.kind == Kind.INSTANCES

    @property
    def map_channels(self) -> Channels:
        """Channels of its probability map."""
        return self.channels_with()

    def channels_with(self, further: Collection[str] = ()) -> Channels:
        """Channels of its probability map with outputs that are asked for by name."""
        return map_channels(self.spec.outputs, self.kind, further)

    def zoom(self, diameter: float) -> float:
        """Factor to resize an image by, so that objects of `diameter` px suit the network.

        1.0 (no resizing) as long as the diameter lies in `diameter_range`; never more than
        `LARGEST_ZOOM`, which costs its square in time. Else objects are brought to the size the
        network saw most. A retrained model may know objects of very different sizes: images are
        resized only as far as brings its objects well inside the range, and somewhat smaller ones
        not at all; larger ones a parent may have been shown as background.
        """
        low, high = self.diameter_range
        if self.taught_diameters:
            low = min(low, self.object_diameter / KNOWN)
        if low <= diameter <= high:
            return 1.0
        wanted = self.object_diameter
        if self.taught_diameters:
            wanted = (
                min(WELL_INSIDE * low, high) if diameter < low else max(high / WELL_INSIDE, low)
            )
        return min(LARGEST_ZOOM, wanted / diameter)

    def diameter_for(self, found: float | None) -> float:
        """Diameter to plan with: what it was trained on, unless an image clearly differs.

        Parameters
        ----------
        found : float or None
            Image pixels, as estimated from the image or painted on it.
        """
        usual = self.usual_diameter
        low, high = self.taught_diameters or (usual, usual)
        if usual and found and low and high and low / NEAR < found < high * NEAR:
            return usual
        return found or usual or self.object_diameter

    def decode_for(self, found: float | None) -> DecodeSettings:
        """Thresholds for an image with objects of a typical diameter.

        What is debris beside large objects may be an object among small ones. A model trained on
        certain objects leaves out no more than was decided with those.

        Parameters
        ----------
        found : float or None
            Image pixels, estimated from the image or given; None = not known.
        """
        if not found:
            return self.decode
        ratio = found / (self.usual_diameter or self.object_diameter)
        if self.usual_diameter:
            ratio = min(1.0, ratio)
        return self.decode.with_smallest(round(min(200.0, self.decode.minimum_diameter * ratio), 1))

    def child(self, sha: str, **fields: Any) -> "ModelCard":
        """Card of a model retrained from this one.

        Parameters
        ----------
        sha : str
            sha256 of this model's file.
        **fields
            What differs: name, thresholds, corrections, report, …

        Returns
        -------
        ModelCard
            This card with `fields`, its lineage one step longer.
        """
        lineage = {"parent": self.name, "parent_sha": sha, "former_shas": ()}
        return ModelCard.model_validate({**self.model_dump(), **lineage, **fields})


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


def plain(text: str, limit: int = LONGEST_TEXT) -> str:
    """Return text from a file fit to be shown: one line, no control characters, not too long."""
    shown = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text[: 4 * limit])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def describe(card: ModelCard) -> list[tuple[str, str]]:
    """Return a model's card for people, row by row.

    Returns
    -------
    list of tuple of str
        What is described and its value, both in one line; rows without a value are left out.
    """
    rows = [
        ("Name", card.name),
        ("About", card.description),
        ("Finds", _finds(card)),
        ("Made from", card.parent or _origin(card)),
        ("Made for", _images_for(card)),
        ("Trained on", card.data),
        ("Corrections", _corrections(card)),
        ("Retraining", "; ".join(_values(card.report)) or _can_learn(card)),
        ("Object size", _object_size(card)),
        ("Network", _network(card.spec)),
        ("Thresholds", _thresholds(card.decode)),
        ("Recipe", _recipe(card)),
        ("Scores", _scores(card)),
        ("Licence", card.licence),
        ("Date", card.created),
    ]
    return [(title, shown) for title, value in rows if (shown := plain(value))]


def _finds(card: ModelCard) -> str:
    if card.finds_objects:
        return "objects, a number for each"
    return f"{card.spec.classes} classes: {', '.join(card.class_names)}"


def _origin(card: ModelCard) -> str:
    return "a package of BioImage.IO" if isinstance(card.spec, ImportedSpec) else "scratch"


def _can_learn(card: ModelCard) -> str:
    """Say of a model of another program what it cannot do; a person looks here before trying."""
    fixed = isinstance(card.spec, ImportedSpec)
    return "not possible, as another program made its network" if fixed else ""


def _images_for(card: ModelCard) -> str:
    """Which images a retrained model is for: it may have forgotten others."""
    if not card.images:
        return ""
    return f"images like those that were painted; for others {card.parent!r} may be better"


def _corrections(card: ModelCard) -> str:
    if not card.images:
        return ""
    return (
        f"{counted(card.painted_objects, 'object')} and "
        f"{counted(card.painted_background, 'pixel')} of background "
        f"in {counted(card.images, 'image')}"
    )


def _object_size(card: ModelCard) -> str:
    low, high = card.diameter_range
    text = f"about {card.object_diameter:g} px; {low:g} to {high:g} px without resizing"
    if card.usual_diameter is not None:
        text += f"; trained on objects of {card.usual_diameter:g} px"
    return text


def _thresholds(decode: DecodeSettings) -> str:
    return (
        f"sensitivity {decode.sensitivity:g}, separation {decode.separation:g}, smallest object "
        f"{decode.minimum_diameter:g} px"
    )


def _network(spec: UNetSpec) -> str:
    channels = counted(spec.in_channels, "channel")
    if isinstance(spec, ImportedSpec):
        return f"TorchScript from BioImage.IO, {channels} in, {', '.join(spec.parts)} out"
    return (
        f"U-Net of {spec.depth} levels from {spec.base_filters} filters ({spec.variant}), "
        f"{channels} in{' and nuclei, if given' * spec.nuclei}, {spec.out_channels} out"
    )


def _recipe(card: ModelCard) -> str:
    """How it was trained, in a few words; the file has every knob."""
    knobs = (("done", "{} steps"), ("batch", "{} crops each"), ("seed", "seed {}"))
    return ", ".join(text.format(card.recipe[k]) for k, text in knobs if k in card.recipe)


def _scores(card: ModelCard) -> str:
    """Scores at the usual overlap of one half, as far as the card has such; else the first.

    Those of images that chose nothing come first, then those of whole sets.
    """
    usual = {name: value for name, value in card.scores.items() if name.endswith("@0.5")}
    names = sorted(usual or card.scores, key=lambda n: (" test " not in n, " all " not in n))
    return "; ".join(_values({n: card.scores[n] for n in names})[:MOST_SCORES])


def _values(fields: Mapping[str, Any], before: str = "") -> list[str]:
    """Return "name value" for the plain values of a dict, and of the dicts in it."""
    found: list[str] = []
    for key, value in fields.items():
        name = f"{before}{key}".replace("_", " ")
        if isinstance(value, bool):
            found.append(f"{name} {'yes' if value else 'no'}")
        elif isinstance(value, float):
            found.append(f"{name} {value:.3g}")
        elif isinstance(value, int | str):
            found.append(f"{name} {value}")
        elif isinstance(value, dict) and not before:
            found += _values(value, f"{name} ")
    return found
