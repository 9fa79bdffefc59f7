"""The channels of an image: what they are called, and the two stains that colours tell."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError

COLOURS = ("Red", "Green", "Blue")
OPACITY = "Opacity"
STAINS = ("Haematoxylin", "Eosin")
SPELLED = {"hematoxylin": "haematoxylin"}  # as others write it
BY_NAME = "Channel {} was taken as the name of a channel; its number, from 0, is {}."

Channel = int | str
"""A channel as a person gives it: its number from 0, or its name."""


def offered(names: tuple[str, ...], count: int, dtype: Any, *, at_end: bool) -> tuple[str, ...]:
    """Return a name for each channel that can be chosen; empty where there is none.

    Parameters
    ----------
    names : tuple of str
        As the file gives them; empty = unknown.
    count : int
        Channels that are stored.
    dtype : dtype
        Of the pixels.
    at_end : bool
        Whether the channels are the last axis; nameless bytes there are colours.

    Returns
    -------
    tuple of str
        The stored channels by number, then the `STAINS` if they are red, green and blue.
    """
    kind = np.dtype(dtype)
    coloured = at_end and kind == np.uint8 and count in (3, 4)
    found = names or ((*COLOURS, OPACITY)[:count] if coloured else ("",) * count)
    of_colour = tuple(map(str.casefold, found[:3])) == tuple(map(str.casefold, COLOURS))
    # of whole numbers it is known which of them is white
    return (*found, *STAINS) if of_colour and kind in (np.uint8, np.uint16) else found


def find_channel(
    wanted: Channel | None, choices: tuple[str, ...], stored: int
) -> tuple[int | None, tuple[str, ...]]:
    """Return the number of a channel, and notices.

    Parameters
    ----------
    wanted : int, str or None
        A number from 0, or a name in any case. Text that is both counts as a name.
    choices : tuple of str
        The name of each channel.
    stored : int
        Channels that are stored; the others are computed.

    Raises
    ------
    InputError
        If no channel is called so, or several are.
    """
    if not isinstance(wanted, str):
        return wanted, ()
    name = wanted.strip().casefold()
    name = SPELLED.get(name, name)
    found = [i for i, one in enumerate(choices) if one and one.strip().casefold() == name]
    if len(found) == 1:
        other = name.isdecimal() and int(name) != found[0]
        return found[0], (BY_NAME.format(name, found[0]),) if other else ()
    if not found and name.isdecimal():
        return int(name), ()
    problem = "Several channels are called so" if found else "There is none of that name"
    raise InputError(
        f"The channel {wanted!r} was asked for. {problem}; the image has {listed(choices, stored)}."
        " Give one of these names, or a number from 0."
    )


def listed(choices: tuple[str, ...], stored: int) -> str:
    """Return the channels in words."""
    if not any(choices):
        return f"channels 0 to {stored - 1} without names"
    return "the channels " + ", ".join(f"{i} {one}".rstrip() for i, one in enumerate(choices))


def check_channels(
    channel: int | None, nuclei: int | None, choices: tuple[str, ...], stored: int
) -> None:
    """Raise `InputError` if an image has no such channel, or none of nuclei beside another."""
    if channel is not None and not 0 <= channel < len(choices):
        raise InputError(
            f"Channel {channel} was asked for; the image has {listed(choices, stored)}. Choose one "
            "of those, or the average."
        )
    if nuclei is not None and not (
        0 <= nuclei < len(choices) and len(choices) > 1 and nuclei != channel
    ):
        raise InputError(
            f"Channel {nuclei} was named as that of the nuclei; the image has "
            f"{listed(choices, stored)}, of which one other must show the cells. Choose another."
        )


def stain(colours: NDArray[Any], number: int) -> NDArray[np.float32]:
    """Return how much of one of the `STAINS` each pixel holds, by colour deconvolution.

    Parameters
    ----------
    colours : ndarray
        ``(3 or more, Y, X)``: red, green, blue.
    number : int
        Which stain.

    Returns
    -------
    ndarray of float32
        ``(Y, X)``; each pixel depends on itself only.
    """
    from skimage.color import rgb2hed  # noqa: PLC0415  loads SciPy

    found: NDArray[Any] = rgb2hed(np.moveaxis(colours[:3], 0, -1))[..., number]
    return found.astype(np.float32)
