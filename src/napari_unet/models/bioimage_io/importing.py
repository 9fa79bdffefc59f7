"""A package of BioImage.IO into the library: as our own model, or as an imported network.

Runs torch, so it belongs to the command line's process, never to the viewer's.
"""

import io
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.errors import ModelError
from napari_unet.intensity import normalise
from napari_unet.labels.watershed import decode, object_diameters, typical_diameter
from napari_unet.models import store
from napari_unet.models.bioimage_io.packages import Package
from napari_unet.models.bioimage_io.reading import class_names, described, understand
from napari_unet.models.card import SUFFIX, ModelCard, plain
from napari_unet.models.names import PUNCTUATION
from napari_unet.models.weights import save_script
from napari_unet.network.imported import CLASS, DISTANCE, IGNORED, ImportedSpec
from napari_unet.network.outputs import Kind
from napari_unet.network.torchscript import ImportedNetwork, load_script
from napari_unet.settings import MOST_DIAMETER, DecodeSettings

TOLERANCE = 0.01  # of a number of the test output, absolute and relative
UNLIKE = 0.001  # share of the numbers that may differ more
RANGES = {DISTANCE: 0.1}  # how far from 0 to 1 an output may go; others hardly
SLACK = 0.01
LONGEST_NAME = 60  # characters


def import_package(path: Path, outputs: Sequence[str] = ()) -> Path:
    """Check a package of BioImage.IO, run its test, and put the model into the library.

    A package that this plugin exported becomes the model again that it was.

    Parameters
    ----------
    path : Path
        A zip file, a folder, or the description in a folder.
    outputs : sequence of str
        What each output channel is, such as "foreground" and "boundary"; default what their names
        say.

    Returns
    -------
    Path
        The file in the library.

    Raises
    ------
    ModelError
        Naming the part that is not understood, or that is damaged.
    SaveError
        If the library cannot be written.
    """
    package = Package(path)
    own = package.own_model()
    with tempfile.TemporaryDirectory(prefix="napari-unet-") as temporary:
        file = Path(temporary) / f"imported{SUFFIX}"
        if own is not None:
            file.write_bytes(package.read(own))
        else:
            script, card = _translated(package, outputs)
            save_script(file, script, card)
        return store.import_model(file)


def _translated(package: Package, outputs: Sequence[str]) -> tuple[bytes, ModelCard]:
    model = described(package)
    spec = understand(model, outputs)
    told = package.fields["weights"]
    weights = told.get("torchscript") or told["pytorch_script"]  # as format 0.3 calls it
    script = package.read(weights["source"], weights.get("sha256"))
    network = ImportedNetwork(spec, load_script(script, package.path.name))
    maps = _tested(network, package)
    return script, ModelCard(
        name=_name(model.name, package.path),
        spec=spec,
        kind=Kind.CLASSES if CLASS in spec.parts else Kind.INSTANCES,
        object_diameter=_diameter(network, maps),
        diameter_range=(1, MOST_DIAMETER),  # what it was trained on is not told
        class_names=class_names(model, spec) if CLASS in spec.parts else _objects(),
        description=plain(f"{model.description} By {', '.join(a.name for a in model.authors)}."),
        licence=plain(str(model.license or "")),
        created=f"{model.timestamp.root:%Y-%m-%d}",
    )


def _objects() -> tuple[str, ...]:
    names: tuple[str, ...] = ModelCard.model_fields["class_names"].default
    return names


def _name(name: str, path: Path) -> str:
    kept = "".join(c if c.isalnum() or c in PUNCTUATION else "-" for c in plain(name))
    return kept.strip(PUNCTUATION)[:LONGEST_NAME].strip(PUNCTUATION) or path.stem


def _tested(network: ImportedNetwork, package: Package) -> torch.Tensor:
    """Compute the package's own test; returns the outputs ``(1, M, H, W)`` of its test input."""
    spec = network.spec
    given, wanted = (_tensors(package, which) for which in ("input", "output"))
    if len(given) != 1 or len(wanted) != len(spec.output_axes):
        raise ModelError(f"{package.path.name} holds no test. Ask its authors for one that does.")
    image = _arranged(given[0], spec.axes)
    if len(image) != spec.in_channels:
        raise _other(package, f"its test input has {len(image)} channels")
    limits = spec.scaling.limits(image.reshape(len(image), -1), bright_objects=False)
    scaled = np.stack([normalise(c, k, None) for c, k in zip(image, limits, strict=True)])
    with torch.inference_mode():
        maps = network.maps(torch.from_numpy(scaled)[None])
    lost = spec.lost
    inner = maps[0, :, lost : maps.shape[2] - lost, lost : maps.shape[3] - lost].numpy()
    expected = [_arranged(one, axes) for one, axes in zip(wanted, spec.output_axes, strict=True)]
    told = np.concatenate(expected) if len({e.shape[1:] for e in expected}) == 1 else None
    if told is None or told.shape != inner.shape:
        raise _other(package, f"an output of {inner.shape}")
    differs = np.abs(inner - told) > TOLERANCE * (1 + np.abs(told))
    if not np.isfinite(inner).all() or differs.mean() > UNLIKE:
        raise _other(package, f"{differs.mean():.0%} of the numbers differ")
    _check_ranges(spec, inner)
    return maps


def _check_ranges(spec: ImportedSpec, maps: NDArray[np.float32]) -> None:
    """Refuse what is called a probability or a distance from 0 to 1 and is none."""
    for part, channel in zip(spec.parts, maps, strict=True):
        slack = RANGES.get(part, SLACK)
        low, high = float(channel.min()), float(channel.max())
        if part not in (CLASS, IGNORED) and not -slack <= low <= high <= 1 + slack:
            raise ModelError(
                f"The model's output {part!r} goes from {low:.3g} to {high:.3g} in its test, and "
                "should go from 0 to 1. Its postprocessing lacks a step that makes it so; choose "
                "another model."
            )


def _tensors(package: Package, which: str) -> list[NDArray[Any]]:
    """Read the test inputs or outputs, from either format."""
    sources = package.fields.get(f"test_{which}s")
    if sources is None:
        sources = [one.get("test_tensor") for one in package.fields[f"{which}s"]]
    found = []
    for source in sources:
        entry = source if isinstance(source, dict) else {"source": source}
        content = package.read(entry.get("source"), entry.get("sha256"))
        try:
            found.append(np.load(io.BytesIO(content), allow_pickle=False))
        except (OSError, ValueError, EOFError, MemoryError) as error:
            raise ModelError(
                f"The test of {package.path.name} cannot be read ({plain(str(error))}). Download "
                "it again."
            ) from error
    return found


def _arranged(array: NDArray[Any], axes: str) -> NDArray[Any]:
    """Bring a test tensor into the order ``(C, Y, X)``, of the first of several images."""
    if array.ndim != len(axes) or not array.size:
        raise ModelError(f"A test tensor has the shape {array.shape}, its axes are {axes}.")
    if "b" in axes:
        array, axes = array.take(0, axis=axes.index("b")), axes.replace("b", "")
    if "c" not in axes:
        array, axes = array[None], f"c{axes}"
    return array.transpose([axes.index(letter) for letter in "cyx"])


def _diameter(network: ImportedNetwork, maps: torch.Tensor) -> float:
    """Return the diameter of the objects in the test image, or the usual one without any."""
    usual = float(ModelCard.model_fields["object_diameter"].default)
    if CLASS in network.spec.parts:
        return usual
    logits = network.meaning(maps)[0]
    shown = torch.cat([logits[:3].softmax(dim=0)[1:], logits[3:].clamp(0, 1)])
    quantised = (shown * 255).round().to(torch.uint8).numpy()
    found = object_diameters(decode(quantised, DecodeSettings()))
    if not found.size:
        return usual
    return float(min(MOST_DIAMETER, max(1.0, math.floor(typical_diameter(found)))))


def _other(package: Package, reason: str) -> ModelError:
    return ModelError(
        f"The test of {package.path.name} gives something else here than its description tells "
        f"({reason}), so the model is not imported. Choose another model."
    )
