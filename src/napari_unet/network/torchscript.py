"""A network in TorchScript that a stranger may have made, run as one of ours.

TorchScript is no Python, but its operations can write and read files. So what is run is an archive
made anew from the members that were looked at, and an operation that touches a file is refused.
"""

import io
import re
import zipfile
import zlib
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from napari_unet.errors import ModelError
from napari_unet.network.imported import (
    BACKGROUND,
    BOUNDARY,
    CLASS,
    DISTANCE,
    FOREGROUND,
    IGNORED,
    ImportedSpec,
    Step,
)

LARGEST_ARCHIVE = 10**9  # bytes, unpacked
# Reads or writes files; runs while it is loaded; code of extensions, which nobody knows.
FORBIDDEN = re.compile(
    rb"\b(save|from_file|__setstate__|__getstate__)\b|\btorch\s*\.\s*classes\b"
    rb"|\bops\s*\.\s*(?!prim\b)\w+"
)
REMARKS = ".debug_pkl"  # lines of the authors' program, for messages; left out
NUMBERS = (["data"], ["constants"])  # folders of tensors, which may hold any bytes
LEAST = 1e-6  # of a probability, so that its logarithm is a number


def load_script(content: bytes, name: str) -> nn.Module:
    """Load TorchScript that touches no file.

    Parameters
    ----------
    content : bytes
        The archive.
    name : str
        Of the model, for messages.

    Raises
    ------
    ModelError
        If it is no TorchScript, is too large, or could touch files.
    """
    checked, jit = _checked(content, name), cast("Any", torch.jit)
    try:
        script: nn.Module = jit.load(io.BytesIO(checked), map_location="cpu")
    except (RuntimeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"The TorchScript of {name} cannot be loaded ({str(error).splitlines()[0]}). Use "
            "another model."
        ) from error
    return script.eval()


def _checked(content: bytes, name: str) -> bytes:
    """Return an archive of exactly the members that were looked at."""
    made = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(made, "w") as copy:
            members = given.infolist()
            total = sum(member.file_size for member in members)
            if total > LARGEST_ARCHIVE or len({m.filename for m in members}) < len(members):
                raise ValueError(f"{total} bytes, or a name that stands twice")
            for member in (m for m in members if not m.filename.lower().endswith(REMARKS)):
                part = given.read(member)
                _check_part(member.filename.lower(), part, name)
                copy.writestr(member.filename, part)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError,
            ValueError, RuntimeError) as error:  # fmt: skip
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"The weights of {name} are no TorchScript ({error}). Use another model."
        ) from error
    return made.getvalue()


def _check_part(path: str, part: bytes, name: str) -> None:
    if path.endswith("model.json"):  # there, code may lie in files of any name
        raise ValueError("they are of a form that torch no longer writes")
    found = None if path.split("/")[1:2] in NUMBERS else FORBIDDEN.search(part)
    if found:
        raise ModelError(
            f"The TorchScript of {name} contains {found[0].decode('latin-1')!r}, which could read "
            "or change files of this computer, so it is not run. Use another model."
        )


class ImportedNetwork(nn.Module):
    """Computes what `UNet.forward` would: logits of the classes, and the distance.

    Parameters
    ----------
    spec : ImportedSpec
        What goes in and comes out.
    script : Module
        The network itself.
    """

    def __init__(self, spec: ImportedSpec, script: nn.Module) -> None:
        super().__init__()
        self.spec, self.script = spec, script

    def forward(self, image: Tensor) -> Tensor:
        """Compute ``(1, O, H, W)`` from scaled grey values ``(1, C, H, W)`` of any size."""
        return self.meaning(self.maps(image))

    def meaning(self, maps: Tensor) -> Tensor:
        """Turn what `maps` computed into logits, and the distance."""
        if CLASS in self.spec.parts:
            kept = [i for i, part in enumerate(self.spec.parts) if part != IGNORED]
            return maps[:, kept]  # the highest wins, be they probabilities or not
        return objects(maps, self.spec.parts)

    def maps(self, image: Tensor) -> Tensor:
        """Compute the outputs as the network's makers mean them, ``(1, M, H, W)``."""
        spec, (height, width) = self.spec, image.shape[-2:]
        margin, side = spec.reach, spec.least
        if spec.step or max(height, width) <= side:
            return self._window(image)[..., :height, :width]
        core = side - 2 * margin
        rows, columns = (range(0, max(1, n - 2 * margin), core) for n in (height, width))
        right, below = columns[-1] + side - width, rows[-1] + side - height
        wide = pad(image, (0, right, 0, below), mode="replicate")
        inner = [
            torch.cat([self._inner(wide, y, x) for x in columns], dim=-1) for y in rows
        ]  # each (1, M, core, n·core)
        whole = pad(torch.cat(inner, dim=-2), (margin,) * 4, mode="replicate")
        return whole[..., :height, :width]

    def _inner(self, image: Tensor, y: int, x: int) -> Tensor:
        """Compute one tile of fixed size, without its margins."""
        side, margin = self.spec.least, self.spec.reach
        output = self._window(image[..., y : y + side, x : x + side])
        return output[..., margin : side - margin, margin : side - margin]

    def _window(self, image: Tensor) -> Tensor:
        """Compute a tile, made as large as the network takes; what it takes away is empty."""
        spec, (height, width) = self.spec, image.shape[-2:]
        below, right = spec.fitting(height) - height, spec.fitting(width) - width
        x = pad(image, (0, right, 0, below), mode="replicate")
        for step in spec.before:
            x = apply(x, step)
        found = self._run(_arranged(x, spec.axes))
        outputs = [found] if isinstance(found, Tensor) else found
        if not isinstance(outputs, list | tuple) or not all(isinstance(o, Tensor) for o in outputs):
            raise _unexpected(f"a {type(found).__name__}", "images")
        if len(outputs) != len(spec.output_axes):
            raise _unexpected(f"{len(outputs)} outputs", f"{len(spec.output_axes)}")
        maps = [
            self._output(*one) for one in zip(outputs, spec.output_axes, spec.after, strict=True)
        ]
        joined = pad(torch.cat(maps, dim=1), (spec.lost,) * 4)
        wanted = (1, len(spec.parts), *x.shape[-2:])
        if joined.shape != wanted:
            raise _unexpected(str(tuple(joined.shape)), str(wanted))
        return joined

    def _run(self, x: Tensor) -> Any:
        try:
            return self.script(x)
        except RuntimeError as error:
            if "memory" in str(error).lower():  # then it is given less
                raise
            raise ModelError(
                "The imported network failed on a tile of "
                f"{tuple(x.shape)} ({str(error).splitlines()[-1]}). Use another model."
            ) from error

    @staticmethod
    def _output(output: Tensor, axes: str, steps: tuple[Step, ...]) -> Tensor:
        if output.ndim != len(axes):
            raise _unexpected(f"{output.ndim} axes", axes)
        missing = [letter for letter in "bcyx" if letter not in axes]
        for letter in missing:
            output, axes = output[None], letter + axes
        x = output.permute([axes.index(letter) for letter in "bcyx"]).float()
        for step in steps:
            x = apply(x, step)
        return x


def objects(maps: Tensor, parts: tuple[str, ...]) -> Tensor:
    """Turn outputs into logits of background, cell and border, and the distance.

    Parameters
    ----------
    maps : Tensor
        ``(1, M, H, W)``, probabilities and a distance from 0 to 1.
    parts : tuple of str
        What each channel is.

    Returns
    -------
    Tensor
        ``(1, 4, H, W)``. Boundaries go around whole objects in most networks, and their foreground
        includes them; where a background is told, the three exclude one another.
    """
    known = {part: maps[:, i : i + 1].clamp(0, 1) for i, part in enumerate(parts)}
    empty = torch.zeros_like(maps[:, :1])
    border = known.get(BOUNDARY, empty)
    cell = known.get(FOREGROUND)
    if cell is None:  # boundaries alone: all that lies between them are objects
        cell, border = 1 - border, empty
    elif BACKGROUND not in known:
        cell, border = cell * (1 - border), cell * border
    background = (1 - cell - border).clamp(0, 1)
    classes = torch.cat([background, cell, border], dim=1).clamp_min(LEAST).log()
    return torch.cat([classes, known.get(DISTANCE, cell)], dim=1)


def apply(x: Tensor, step: Step) -> Tensor:
    """Apply one step to ``(N, C, Y, X)``."""
    if step.name == "sigmoid":
        return x.sigmoid()
    if step.name == "softmax":
        return x.softmax(dim=1)
    first, second = (
        torch.tensor(v, dtype=x.dtype, device=x.device)[None, :, None, None]
        for v in (step.first, step.second)
    )
    if step.name == "binarize":
        return (x > first).to(x.dtype)
    return first * x + second if step.name == "linear" else x.clamp(first, second)


def _arranged(x: Tensor, axes: str) -> Tensor:
    """Bring ``(1, C, Y, X)`` into the order of axes that the network takes."""
    for letter in ("c", "b"):
        if letter not in axes:
            x = x.select(dim="bcyx".index(letter), index=0)
    order = [letter for letter in "bcyx" if letter in axes]
    return x.permute([order.index(letter) for letter in axes]).contiguous()


def _unexpected(found: str, wanted: str) -> ModelError:
    return ModelError(
        f"The imported network gave {found}, and its description tells of {wanted}. Use another "
        "model."
    )
