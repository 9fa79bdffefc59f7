"""What a description of BioImage.IO says, in our words, or a sentence which part is not understood.

The package bioimageio.spec, an extra, reads both formats; it opens no file and no connection here.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from napari_unet.errors import ModelError
from napari_unet.intensity import Scaling
from napari_unet.models.bioimage_io.packages import Package
from napari_unet.models.card import plain
from napari_unet.network.imported import (
    BACKGROUND,
    BOUNDARY,
    CLASS,
    DISTANCE,
    FOREGROUND,
    IGNORED,
    PARTS,
    UNSCALED,
    ImportedSpec,
    Step,
    kind_of,
)
from napari_unet.network.outputs import Kind

# Pixels that are cut off where a description tells of none, or of fewer: tiles are large here, so
# more costs little, and many descriptions tell of fewer than a deep network looks at.
MARGIN = 64
LARGEST = 3.0e38  # of float32: no limit
MEMORY_FILTERS = 64  # as many filters as networks of others may have, to guess their memory
WORDS = {
    BACKGROUND: ("background", "bg"),
    BOUNDARY: ("boundary", "boundaries", "border", "borders", "membrane", "membranes", "contour",
               "contours", "outline", "outlines", "edge", "edges"),
    DISTANCE: ("distance", "distances"),
    FOREGROUND: ("foreground", "fg", "cell", "cells", "nucleus", "nuclei", "interior", "object",
                 "objects", "mask", "organoid", "bacteria"),
}  # fmt: skip
LONGEST_NAME = 40  # characters of a class's name
LETTERS = {"batch": "b", "channel": "c"}
TOLD_BY = "--outputs"  # how a person says what outputs are; the panel asks where it reads this
OURS = "or retrain a model of this plugin on your images."


def described(package: Package) -> Any:
    """Return a package's description in the newest format.

    Raises
    ------
    ModelError
        If the extra is missing, or the description does not keep to the format.
    """
    try:
        from bioimageio.spec import (  # noqa: PLC0415  an extra
            InvalidDescr,
            ValidationContext,
            build_description,
        )
    except ModuleNotFoundError as error:
        raise ModelError(
            f"Models of BioImage.IO need the module {error.name}, which is not installed. Install "
            "the plugin with its extra 'bioimageio': pip install \".[bioimageio]\" in a clone."
        ) from error
    nowhere = Path(__file__).parent  # no file is looked at
    context = ValidationContext(root=nowhere, perform_io_checks=False, log_warnings=False)
    try:
        found = build_description(package.fields, context=context, format_version="latest")
    except Exception as error:
        raise ModelError(
            f"The description in {package.path.name} cannot be read ({plain(str(error))}). "
            "Download the package again."
        ) from error
    if isinstance(found, InvalidDescr) or found.type != "model":
        problems = [e for d in found.validation_summary.details for e in d.errors]
        first = (
            f"{'.'.join(str(p) for p in problems[0].loc)}: {problems[0].msg}" if problems else ""
        )
        raise ModelError(
            f"The description in {package.path.name} does not keep to BioImage.IO's format "
            f"({plain(first)}). Ask its authors for a valid package."
        )
    return found


def understand(model: Any, outputs: Sequence[str] = ()) -> ImportedSpec:
    """Return the network that a description tells of.

    Parameters
    ----------
    model : ModelDescr of bioimageio.spec
        The description.
    outputs : sequence of str
        What each output channel is, of `PARTS`; default what their names say.

    Raises
    ------
    ModelError
        Naming the part that is not understood.
    """
    if model.weights.torchscript is None:
        formats = ", ".join(name for name, value in model.weights if value is not None)
        raise _refusal(
            f"its weights are {formats}",
            "Only torchscript is run: it needs no program of its authors",
        )
    if len(model.inputs) != 1:
        names = ", ".join(plain(str(one.id)) for one in model.inputs)
        raise _refusal(f"it takes {len(model.inputs)} inputs ({names})", "One image is given")
    [image] = model.inputs
    axes, channels = _axes(image), _channels(image)
    output_axes = tuple(_axes(one) for one in model.outputs)
    scaling, before = _preprocessing(image, len(channels))
    after = [_steps(one.postprocessing, len(_channels(one))) for one in model.outputs]
    least, step = _sizes(image)
    reach, lost = _margins(model.outputs, image)
    parts = _parts([name for one in model.outputs for name in _channels(one)], outputs)
    objects = kind_of(parts) == Kind.INSTANCES
    return ImportedSpec(
        in_channels=len(channels),
        classes=3 if objects else sum(part != IGNORED for part in parts),
        distance=objects,
        base_filters=MEMORY_FILTERS,
        parts=tuple(parts),
        least=least,
        step=step,
        reach=reach,
        lost=lost,
        axes=axes,
        output_axes=output_axes,
        before=tuple(before),
        after=tuple(tuple(steps) for steps in after),
        scaling=scaling,
    )


def class_names(model: Any, spec: ImportedSpec) -> tuple[str, ...]:
    """Return the names of the classes, shortened."""
    names = [plain(name, LONGEST_NAME) for one in model.outputs for name in _channels(one)]
    return tuple(n for n, part in zip(names, spec.parts, strict=True) if part != IGNORED)


def _refusal(part: str, why: str) -> ModelError:
    return ModelError(f"This model cannot be imported: {part}. {why}. Choose another model, {OURS}")


def _axes(tensor: Any) -> str:
    """Return the letters of a tensor's axes, b, c, y and x."""
    letters = "".join(LETTERS.get(axis.type, str(axis.id)) for axis in tensor.axes)
    if sorted(letters.replace("b", "").replace("c", "")) != ["x", "y"] or len(letters) > 4:
        names = ", ".join(plain(str(axis.id)) for axis in tensor.axes)
        raise _refusal(
            f"its tensor {plain(str(tensor.id))!r} has the axes {names}",
            "Batch, channel, y and x are understood, for planes one by one",
        )
    return letters


def _channels(tensor: Any) -> list[str]:
    """Return the names of a tensor's channels; that of the tensor where it has none."""
    for axis in tensor.axes:
        if axis.type == "channel":
            return [str(name) for name in axis.channel_names]
    return [str(tensor.id)]


def _parts(names: Sequence[str], told: Sequence[str]) -> list[str]:
    """Return what each output channel is."""
    if told:
        wrong = [part for part in told if part not in PARTS]
        if wrong or len(told) != len(names):
            raise ModelError(
                f"The outputs were said to be {', '.join(map(plain, told))}; the model has "
                f"{len(names)} ({', '.join(map(plain, names))}). Say for each one of "
                f"{', '.join(PARTS)}, in their order ({TOLD_BY})."
            )
        return list(told)
    found = [_part(name) for name in names]
    if len(names) > 1 and found[0] == BACKGROUND and None in found:
        return [CLASS] * len(names)  # the background, and things that have names of their own
    if None in found:
        raise UnnamedOutputsError(names)
    return [part for part in found if part]


class UnnamedOutputsError(ModelError):
    """Output channels whose names do not say what they are.

    Parameters
    ----------
    names : sequence of str
        Their names.
    """

    def __init__(self, names: Sequence[str]) -> None:
        listed = ", ".join(map(plain, names))
        super().__init__(
            f"The names of the model's outputs ({listed}) do not say what they are. Say what each "
            f"is, in their order ({TOLD_BY}): {', '.join(PARTS)} are known, such as "
            "foreground,boundary."
        )


def _part(name: str) -> str | None:
    words = re.findall(r"[a-z]+", name.lower())
    found = [part for part, known in WORDS.items() if any(word in known for word in words)]
    if DISTANCE in found:  # "distance to the border" and "boundary distance"
        return DISTANCE if words in (["distance"], ["distances"]) else None
    return found[0] if found else None


def _sizes(image: Any) -> tuple[int, int]:
    """Return the smallest length that the network takes, and the step; 0 = no other length."""
    sizes = [axis.size for axis in image.axes if axis.type == "space"]
    pairs = {
        (size, 0) if isinstance(size, int) else (getattr(size, "min", 0), getattr(size, "step", 0))
        for size in sizes
    }
    if len(pairs) == 1 and next(iter(pairs))[0] > 0:
        return next(iter(pairs))
    raise _refusal(
        f"its input has the sizes {', '.join(plain(str(size)) for size in sizes)}",
        "Height and width must be free alike, or fixed alike",
    )


def _margins(outputs: Iterable[Any], image: Any) -> tuple[int, int]:
    """Return the pixels at each side that are cut off, and those of them that the network takes."""
    found, sizes = set(), {axis.id: axis.size for axis in image.axes if axis.type == "space"}
    for output in outputs:
        for axis in output.axes:
            if axis.type == "space":
                given = next(a for a in image.axes if a.id == axis.id)
                lost = _lost(axis.size, sizes.get(axis.id), image.id)
                if lost is None or axis.scale != given.scale:
                    raise _refusal(
                        f"its output {plain(str(output.id))!r} has another size than its input",
                        "Both must have one pixel for each pixel of the image",
                    )
                found.add((getattr(axis, "halo", None), lost))
    halos = [halo for halo, _ in found if halo is not None]
    rims = {rim for _, rim in found}
    if len(rims) > 1:
        raise _refusal("its outputs differ in size", "They must be alike")
    [rim] = rims
    told = max(halos, default=None)
    least, step = _sizes(image)
    usual = 0 if rim else MARGIN if step else min(MARGIN, least // 4)
    return rim + (usual if told is None else max(told, usual) if step else told), rim


def _lost(size: Any, given: Any, image: Any) -> int | None:
    """Return the pixels that an output lacks at each side; None where that is not told."""
    if isinstance(size, int) and isinstance(given, int):
        lost = given - size
    elif hasattr(size, "tensor_id") and size.tensor_id == image:
        lost = -size.offset
    else:
        return None
    return lost // 2 if lost >= 0 and lost % 2 == 0 else None


def _preprocessing(image: Any, channels: int) -> tuple[Scaling, list[Step]]:
    """Return which grey values become 0 and 1, and the steps after that."""
    steps = list(image.preprocessing)
    for place, step in enumerate(steps):
        if step.id in ("scale_range", "zero_mean_unit_variance"):
            before = [one.id for one in steps[:place] if one.id != "ensure_dtype"]
            if before:
                raise _refusal(
                    f"{before[0]} comes before {step.id} in its preprocessing",
                    "Grey values of the whole image must decide, so that step must be the first",
                )
            return _scaling(step, image), _steps(steps[place + 1 :], channels)
    return UNSCALED, _steps(steps, channels)


def _scaling(step: Any, image: Any) -> Scaling:
    kwargs = step.kwargs
    over = {str(axis) for axis in kwargs.axes or ("batch", "channel", "y", "x")}
    if not {"x", "y"} <= over or getattr(kwargs, "reference_tensor", None) not in (None, image.id):
        raise _refusal(
            f"{step.id} in its preprocessing looks at {', '.join(sorted(over))} or at another "
            "tensor",
            "Each channel or all of them must be scaled over y and x",
        )
    joint = "channel" in over
    if step.id == "zero_mean_unit_variance":
        return Scaling(kind="deviation", clip=None, joint=joint)
    low, high = kwargs.min_percentile, kwargs.max_percentile
    return Scaling(low=low, high=high, clip=None, joint=joint)


def _steps(given: Iterable[Any], channels: int) -> list[Step]:
    """Return steps that are the same for every pixel; others are refused by name."""
    steps = list(given)
    types = [step.kwargs.dtype for step in steps if step.id == "ensure_dtype"]
    if types and types[-1] != "float32":
        raise _refusal(f"its numbers are of type {types[-1]}", "Networks are given float32")
    return [_step(step, channels) for step in steps if step.id != "ensure_dtype"]


def _step(step: Any, channels: int) -> Step:
    kwargs: Any = getattr(step, "kwargs", None)
    if str(getattr(kwargs, "axis", "channel")) != "channel":
        raise _refusal(f"its step {step.id} goes along {kwargs.axis}", "Channels may differ only")
    if step.id in ("sigmoid", "softmax"):
        return Step(step.id)
    if step.id == "clip" and kwargs.min_percentile is None and kwargs.max_percentile is None:
        low, high = (getattr(kwargs, name) for name in ("min", "max"))
        return Step(
            "clip", (-LARGEST if low is None else low,), (LARGEST if high is None else high,)
        )
    if step.id == "binarize":
        return Step("binarize", _each(kwargs.threshold, channels), (0.0,))
    if step.id == "scale_linear":
        return Step("linear", _each(kwargs.gain, channels), _each(kwargs.offset, channels))
    if step.id == "fixed_zero_mean_unit_variance":
        means, stds = _each(kwargs.mean, channels), _each(kwargs.std, channels)
        pairs = list(zip(means, stds, strict=True))
        return Step("linear", tuple(1 / s for _, s in pairs), tuple(-m / s for m, s in pairs))
    raise _refusal(f"its step {plain(str(step.id))!r} is unknown here", "It may matter")


def _each(value: Any, channels: int) -> tuple[float, ...]:
    """Return one value, or one for each channel."""
    values = tuple(float(one) for one in value) if isinstance(value, Sequence) else (float(value),)
    if len(values) not in (1, channels):
        raise _refusal(
            f"a step has {len(values)} values for {channels} channels", "Each channel needs one"
        )
    return values
