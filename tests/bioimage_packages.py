"""Packages of BioImage.IO as other programs make them: a tiny network that finds bright blobs."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from scipy import ndimage
from torch import Tensor, nn

SIDE = 128


class Edges(nn.Module):
    """Foreground where a scaled image is bright, boundary where it changes; no weights to learn."""

    def __init__(self, *, order: str = "fb", logits: bool = False, valid: bool = False) -> None:
        super().__init__()
        self.order, self.logits, self.valid = order, logits, valid
        kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
        self.register_buffer("kernels", torch.stack([kernel, kernel.T])[:, None] / 8)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean(dim=1, keepdim=True)
        slope = nn.functional.conv2d(x, self.kernels, padding=0 if self.valid else 1)
        x = x[..., 1:-1, 1:-1] if self.valid else x
        found = {
            "f": 8 * (x - 0.5),
            "b": 30 * (slope.square().sum(dim=1, keepdim=True).sqrt() - 0.25),
        }
        found["g"] = -found["f"]
        maps = torch.cat([found[letter] for letter in self.order], dim=1)
        return maps if self.logits else maps.sigmoid()


def blobs(shape: tuple[int, int] = (SIDE, SIDE), seed: int = 0) -> tuple[np.ndarray, int]:
    """Discs with a gap between each two, and their number."""
    random, image = np.random.default_rng(seed), np.zeros(shape)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for y in range(14, shape[0] - 10, 28):
        for x in range(14, shape[1] - 10, 28):
            radius = random.uniform(6, 10)
            image[np.hypot(rows - y, columns - x) < radius] = 1
    _, count = ndimage.label(image)
    return (ndimage.gaussian_filter(image, 0.7) * 1000 + 100).astype(np.float32), count


def scaled(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (1, 99.8), axis=(-2, -1), keepdims=True)
    return ((image - low) / (high - low + 1e-6)).astype(np.float32)


def axes_05(size: Any, names: list[str], halo: int | None = None) -> list[dict[str, Any]]:
    space = [{"type": "space", "id": one, "size": size(one)} for one in "yx"]
    for axis in space if halo is not None else []:
        axis["halo"] = halo
    return [{"type": "batch"}, {"type": "channel", "channel_names": names}, *space]


def fields_05(names: list[str], channels: int = 1, **changes: Any) -> dict[str, Any]:
    free = {"min": 32, "step": 4}
    size = changes.pop("size", free)
    same = changes.pop("output_size", lambda one: {"tensor_id": "raw", "axis_id": one})
    scale = {"axes": ["y", "x"], "min_percentile": 1, "max_percentile": 99.8}
    image = {
        "id": "raw",
        "axes": axes_05(lambda _: size, [f"c{i}" for i in range(channels)]),
        "test_tensor": {"source": "test_input.npy"},
        "data": {"type": "float32"},
        "preprocessing": [{"id": "scale_range", "kwargs": scale}],
    }
    output = {
        "id": "maps",
        "axes": axes_05(same, names, changes.pop("halo", 8)),
        "test_tensor": {"source": "test_output.npy"},
        "data": {"type": "float32"},
    }
    return {
        "format_version": "0.5.3",
        "type": "model",
        "name": "edges of blobs",
        "description": "Bright blobs.",
        "authors": [{"name": "A. Person"}],
        "cite": [{"text": "a paper", "doi": "10.1007/978-3-319-24574-4_28"}],
        "license": "CC-BY-4.0",
        "documentation": {"source": "README.md"},
        "timestamp": "2024-05-06T07:08:09",
        "inputs": [{**image, **changes.pop("image", {})}],
        "outputs": [{**output, **changes.pop("output", {})}],
        "weights": {"torchscript": {"source": "weights.pt", "pytorch_version": "2.4"}},
        **changes,
    }


def fields_04(channels: int = 2, **changes: Any) -> dict[str, Any]:
    scale = {"axes": "yx", "mode": "per_sample", "min_percentile": 1.0, "max_percentile": 99.8}
    return {
        "format_version": "0.4.10",
        "type": "model",
        "name": "edges of blobs",
        "description": "Bright blobs.",
        "authors": [{"name": "A. Person"}],
        "cite": [{"text": "a paper", "doi": "10.1007/978-3-319-24574-4_28"}],
        "license": "CC-BY-4.0",
        "documentation": "README.md",
        "timestamp": "2022-03-01T10:00:00",
        "test_inputs": ["test_input.npy"],
        "test_outputs": ["test_output.npy"],
        "inputs": [
            {
                "name": "raw",
                "axes": "bcyx",
                "data_type": "float32",
                "data_range": [float("-inf"), float("inf")],
                "shape": {"min": [1, 1, 32, 32], "step": [0, 0, 4, 4]},
                "preprocessing": [{"name": "scale_range", "kwargs": scale}],
            }
        ],
        "outputs": [
            {
                "name": "maps",
                "axes": "bcyx",
                "data_type": "float32",
                "data_range": [0.0, 1.0],
                "halo": [0, 0, 8, 8],
                "shape": {
                    "reference_tensor": "raw",
                    "scale": [1, 0, 1, 1],
                    "offset": [0, channels / 2, 0, 0],
                },
            }
        ],
        "weights": {"torchscript": {"source": "weights.pt"}},
        **changes,
    }


def script(network: nn.Module, example: np.ndarray) -> bytes:
    content = io.BytesIO()
    torch.jit.save(torch.jit.trace(network.eval(), torch.from_numpy(example)), content)
    return content.getvalue()


def package(
    path: Path,
    fields: dict[str, Any],
    network: nn.Module | None = None,
    *,
    image: np.ndarray | None = None,
    output: np.ndarray | None = None,
    **files: bytes,
) -> Path:
    """Write a package with a test that it passes, unless another output is given."""
    network = network or Edges()
    image = blobs()[0][None, None] if image is None else image
    if output is None:
        with torch.inference_mode():
            output = network(torch.from_numpy(scaled(image))).numpy()
    arrays = {}
    for name, array in (("test_input.npy", image), ("test_output.npy", output)):
        stream = io.BytesIO()
        np.save(stream, array)
        arrays[name] = stream.getvalue()
    content = script(network, scaled(image))
    weights = fields["weights"].get("torchscript")
    if weights is not None:
        weights.setdefault("sha256", hashlib.sha256(content).hexdigest())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rdf.yaml", yaml.safe_dump(fields))
        archive.writestr("README.md", "# Blobs")
        for name, part in {"weights.pt": content, **arrays, **files}.items():
            archive.writestr(name, part)
    return path
