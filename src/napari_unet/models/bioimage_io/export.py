"""A model as a package of BioImage.IO, which other programs run: torchscript and a description.

The package bioimageio.core is an extra. Its own test runs the package before it is handed over.
"""

import io
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unet.errors import ModelError, SaveError
from napari_unet.intensity import CLIP, HIGH_PERCENTILE, LOW_PERCENTILE
from napari_unet.io.atomic import write_bytes
from napari_unet.models.bioimage_io.packages import CONFIG, MODEL
from napari_unet.models.card import SUFFIX, ModelCard, describe, sha256_of
from napari_unet.models.library import find_model
from napari_unet.models.weights import load_model
from napari_unet.network.outputs import Activation
from napari_unet.network.spec import UNetSpec
from napari_unet.network.unet import UNet, activated
from napari_unet.settings import explain

DEVELOPERS = "The Interactive U-Net developers"
PAPER = (
    "Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation. "
    "MICCAI 2015"
)
PAPER_DOI = "10.1007/978-3-319-24574-4_28"
SIDE = 256  # pixels, at least, of the test input
BLOBS = 40  # objects of the test input
WHOLE = f"{MODEL}{SUFFIX}"  # the model's own file, for whoever imports the package here
DOCUMENTATION = """# {name}

A U-Net of the napari plugin *napari-unet-interactive*.

## Input

Images with objects of about {diameter:g} pixels in diameter; {low:g} to {high:g} pixels need no
resizing. Grey values are scaled from the percentiles {low_percentile:g} and {high_percentile:g} of
each channel to 0 and 1, as the description says.{dark}{nuclei}

## Output

{output}

## Validation

Compare the objects with outlines drawn by a person, for example by average precision at an
intersection over union of 0.5. The plugin measured the scores below.

## About this model

{rows}
"""
OBJECTS = (
    "Probabilities of background, cell and the border where two cells touch, then the distance to "
    "the nearest border, 0 to 1 from border to centre. Objects are made of them by a watershed: "
    "`napari_unet.labels.watershed.decode` does so."
)
CLASSES = "The probability of each class; the most probable one is the label."


class Exported(nn.Module):
    """A network with the activations of its outputs: what the package computes."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Compute ``(N, M, Y, X)``, the outputs of a probability map, from ``(N, C, Y, X)``."""
        return activated(self.network(image), self.network.spec)


def export_bioimageio(
    name: str | Path, target: Path, *, authors: Sequence[str] = (), overwrite: bool = False
) -> Path:
    """Write a model as a BioImage.IO package, tested by bioimageio.core.

    Parameters
    ----------
    name : str or Path
        Model in the library, or path of its file.
    target : Path
        File to write, ending in ``.zip``.
    authors : sequence of str
        Names; default the developers of the plugin.
    overwrite : bool, default False
        Whether a file that exists already may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError
        If there is no such model, it is damaged, the extra is missing, or the test fails.
    SaveError
        If the file exists or cannot be written.
    """
    core = _bioimageio()
    if target.suffix.lower() != ".zip" or (target.exists() and not overwrite):
        raise SaveError(
            f"{target} exists already or does not end in .zip. Choose another name, or --overwrite."
        )
    model = find_model(name)
    network, card = load_model(model)
    with tempfile.TemporaryDirectory(prefix="napari-unet-") as temporary:
        folder = Path(temporary)
        package = folder / "package.zip"
        shutil.copyfile(model, folder / WHOLE)
        try:
            description = _description(network, card, folder, authors or [DEVELOPERS])
            core.save_bioimageio_package(description, output_path=package)
        except ValueError as error:  # that of pydantic among them
            raise ModelError(
                f"{card.name!r} cannot be described for BioImage.IO ({explain(error)}). Change its "
                "name or the authors, or export it without --bioimageio."
            ) from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's, of torchscript
            summary = core.test_model(package)
        if summary.status != "passed":
            raise ModelError(
                f"The package of {card.name!r} failed the test of bioimageio.core and is not "
                f"written. {_first_error(summary)}"
            )
        return write_bytes(target, package.read_bytes())


def _bioimageio() -> Any:
    try:
        import bioimageio.core as core  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        raise ModelError(
            f"BioImage.IO packages need the module {error.name}, which is not installed. Install "
            "the plugin with its extra 'bioimageio': pip install \".[bioimageio]\" in a clone."
        ) from error
    return core


def _description(network: UNet, card: ModelCard, folder: Path, authors: Sequence[str]) -> Any:
    """Write what belongs to a package into a folder, and describe it."""
    from bioimageio.spec.model import v0_5  # noqa: PLC0415  an extra

    image = made_up(card, 0)
    scaled = torch.from_numpy(_scaled(image))
    exported = Exported(network).eval()
    with torch.inference_mode():
        result = exported(scaled).numpy()
    np.save(folder / "test_input.npy", image)
    np.save(folder / "test_output.npy", result)
    _trace(exported, scaled, folder / "weights.pt")
    (folder / "README.md").write_text(_documentation(card), encoding="utf-8")
    spec = card.spec
    torch_version = torch.__version__.partition("+")[0]
    return v0_5.ModelDescr(
        name=_plain_name(card.name),
        description=(card.description or f"U-Net {card.name}")[:1024],
        authors=[v0_5.Author(name=author) for author in authors],
        cite=[v0_5.CiteEntry(text=PAPER, doi=v0_5.Doi(PAPER_DOI))],
        license=_licence(v0_5, card.licence),
        documentation=_file(v0_5, folder / "README.md"),
        tags=["unet", "segmentation", "2d", "pytorch", "napari"],
        attachments=[_file(v0_5, folder / WHOLE)],
        config=v0_5.Config(**{CONFIG: {MODEL: WHOLE}}),
        inputs=[_input(v0_5, spec, folder)],
        outputs=[_output(v0_5, card, folder)],
        weights=v0_5.WeightsDescr(
            torchscript=v0_5.TorchscriptWeightsDescr(
                source=folder / "weights.pt",
                sha256=sha256_of(folder / "weights.pt"),
                pytorch_version=v0_5.Version(torch_version),
            )
        ),
    )


def _trace(exported: Exported, image: Tensor, path: Path) -> None:
    """Save the network as torchscript; sizes stay free."""
    content, jit = io.BytesIO(), cast("Any", torch.jit)
    with warnings.catch_warnings():
        # torch wants torch.export instead, which no other program of BioImage.IO reads; and it
        # warns that the check of the size is left out.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", jit.TracerWarning)
        jit.save(jit.trace(exported, image), content)
    path.write_bytes(content.getvalue())


def made_up(card: ModelCard, seed: int) -> NDArray[np.float32]:
    """Draw bright blobs of the size that a network expects, ``(1, C, Y, X)``: a test input."""
    spec, random = card.spec, np.random.default_rng(seed)
    side = spec.next_valid_length(max(SIDE, 2 * spec.halo + spec.divisor))
    rows, columns = np.ogrid[:side, :side]
    picture = np.zeros((side, side))
    for y, x in random.uniform(0, side, (BLOBS, 2)):
        radius = card.object_diameter / 2 * random.uniform(0.7, 1.3)
        distance = np.hypot(rows - y, columns - x)
        picture = np.maximum(picture, 1 / (1 + np.exp(distance - radius)))
    noisy = 200 + 1000 * picture + random.normal(0, 20, (spec.in_channels, side, side))
    return noisy[None].astype(np.float32)


def _scaled(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale grey values as a reader of the package does."""
    low, high = np.percentile(image, (LOW_PERCENTILE, HIGH_PERCENTILE), axis=(2, 3), keepdims=True)
    scaled: NDArray[np.float32] = np.clip((image - low) / (high - low + 1e-6), *CLIP)
    return scaled.astype(np.float32)


def _input(v0_5: Any, spec: UNetSpec, folder: Path) -> Any:
    least = spec.next_valid_length(2 * spec.halo + 1)
    size = v0_5.ParameterizedSize(min=least, step=spec.divisor)
    names = [f"channel{i}" for i in range(spec.in_channels)]
    axes = [v0_5.BatchAxis(), v0_5.ChannelAxis(channel_names=names)]
    axes += [v0_5.SpaceInputAxis(id=v0_5.AxisId(axis), size=size) for axis in "yx"]
    percentiles = {"min_percentile": LOW_PERCENTILE, "max_percentile": HIGH_PERCENTILE}
    plane = (v0_5.AxisId("y"), v0_5.AxisId("x"))
    scale = v0_5.ScaleRangeKwargs(axes=plane, **percentiles)
    clip = v0_5.ClipKwargs(min=CLIP[0], max=CLIP[1])
    return v0_5.InputTensorDescr(
        id=v0_5.TensorId("image"),
        description="Grey values of one plane.",
        axes=axes,
        data=v0_5.IntervalOrRatioDataDescr(type="float32"),
        test_tensor=_file(v0_5, folder / "test_input.npy"),
        preprocessing=[v0_5.ScaleRangeDescr(kwargs=scale), v0_5.ClipDescr(kwargs=clip)],
    )


def _output(v0_5: Any, card: ModelCard, folder: Path) -> Any:
    spec = card.spec
    names = [name for one in spec.outputs if one.mapped for name in _channels(card, one.name)]
    axes: list[Any] = [v0_5.BatchAxis(), v0_5.ChannelAxis(channel_names=names)]
    for axis in "yx":
        whole = v0_5.SizeReference(
            tensor_id=v0_5.TensorId("image"), axis_id=v0_5.AxisId(axis), offset=-2 * spec.shrink
        )
        one = {"id": v0_5.AxisId(axis), "size": whole}
        halo = spec.halo - spec.shrink
        axes.append(
            v0_5.SpaceOutputAxisWithHalo(**one, halo=halo)
            if halo > 0
            else v0_5.SpaceOutputAxis(**one)
        )
    return v0_5.OutputTensorDescr(
        id=v0_5.TensorId("maps"),
        description=(OBJECTS if card.finds_objects else CLASSES)[:128],
        axes=axes,
        data=v0_5.IntervalOrRatioDataDescr(type="float32"),
        test_tensor=_file(v0_5, folder / "test_output.npy"),
    )


def _channels(card: ModelCard, output: str) -> list[str]:
    """Return the names of the channels of an output."""
    one = next(known for known in card.spec.outputs if known.name == output)
    if one.activation == Activation.SOFTMAX and len(card.class_names) == one.channels:
        return list(card.class_names)
    return [output] if one.channels == 1 else [f"{output}{i}" for i in range(one.channels)]


def _file(v0_5: Any, path: Path) -> Any:
    return v0_5.FileDescr(source=path, sha256=sha256_of(path))


def _licence(v0_5: Any, text: str) -> Any:
    """Return a licence by its SPDX name, None where the card's text is none; the README has it."""
    try:
        return v0_5.LicenseId(text)
    except ValueError:
        return None


def _plain_name(name: str) -> str:
    """Return a name of the characters that BioImage.IO allows."""
    kept = "".join(c if c.isalnum() or c in "_+- ()" else "-" for c in name).strip()
    return f"Interactive U-Net {kept}"[:128]


def _documentation(card: ModelCard) -> str:
    low, high = card.diameter_range
    bright = " Dark objects on a bright ground must be inverted first."
    nuclei = " Where it takes a channel of nuclei besides, that is left empty here."
    return DOCUMENTATION.format(
        name=card.name,
        diameter=card.object_diameter,
        low=low,
        high=high,
        low_percentile=LOW_PERCENTILE,
        high_percentile=HIGH_PERCENTILE,
        dark=bright if card.polarity == "bright" else "",
        nuclei=nuclei if card.spec.nuclei else "",
        output=OBJECTS if card.finds_objects else CLASSES,
        rows="\n".join(f"- **{title}**: {value}" for title, value in describe(card)),
    )


def _first_error(summary: Any) -> str:
    errors = [error.msg for detail in summary.details for error in detail.errors]
    return f"It says: {errors[0]}" if errors else ""
