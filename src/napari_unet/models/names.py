"""What a model may be called."""

import contextlib
import re
import unicodedata

from napari_unet.errors import ModelError
from napari_unet.models.card import SUFFIX, plain
from napari_unet.models.library import bundled_folder, model_files

LONGEST_NAME = 80  # characters
LONGEST_BYTES = 200  # file systems take 255, and the bin adds the time to the name
PUNCTUATION = " -_.()"
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def save_name(name: str) -> str:
    """Return the name a model may be saved under, surrounding spaces removed.

    Letters and digits of any script, spaces and ``-_.()``, at most 80 characters, beginning with
    a letter or a digit; it becomes a file's name on any system.

    Raises
    ------
    ModelError
        If the name cannot be used, or belongs to a model that comes with the plugin.
    """
    cleaned = valid_name(name)
    bundled = {path.stem.casefold() for path in bundled_folder().glob(f"*{SUFFIX}")}
    if cleaned.casefold() in bundled:
        raise ModelError(f"{cleaned!r} is a model that comes with the plugin. Choose another name.")
    return cleaned


def free_name(stem: str) -> str:
    """Return `stem`, or with the lowest number that makes it new: "mine", "mine 2" and so on."""
    return _free(valid_name(stem), {name.casefold() for name in model_files()})


def valid_name(name: str) -> str:
    """Return a name as it is written in the library; `ModelError` if it cannot be a name."""
    cleaned = unicodedata.normalize("NFC", name).strip()
    wrong = next((c for c in cleaned if not _is_allowed(c)), None)
    if wrong is not None:
        problem = f"{plain(wrong) or 'an invisible character'} cannot be part of it"
    elif not cleaned or cleaned[0] in PUNCTUATION or unicodedata.category(cleaned[0])[0] == "M":
        problem = "it must begin with a letter or a digit"
    elif len(cleaned) > LONGEST_NAME or len(cleaned.encode()) > LONGEST_BYTES:
        problem = f"it is too long; at most {LONGEST_NAME} letters"
    elif cleaned.endswith(".") or cleaned.lower().endswith(SUFFIX) or RESERVED.fullmatch(cleaned):
        problem = "as the name of a file it means something else"
    else:
        return cleaned
    raise ModelError(
        f"A model cannot be called {plain(name, LONGEST_NAME)!r}: {problem}. Use letters, digits, "
        f"spaces and {PUNCTUATION.strip()}"
    )


def _is_allowed(character: str) -> bool:
    return character in PUNCTUATION or unicodedata.category(character)[0] in "LNM"


def first_usable(*names: str) -> str:
    """Return the first of some names that can be one; bundled models' names count."""
    for name in names:
        with contextlib.suppress(ModelError):
            return valid_name(name)
    raise ModelError(f"None of the names {names} can be used.")


def _free(stem: str, taken: set[str]) -> str:
    if stem.casefold() not in taken:
        return stem
    counted = re.fullmatch(r"(.+) \d+", stem)
    if counted and counted[1].casefold() in taken:
        stem = counted[1]  # "mine 2" is the second "mine", not the first "mine 2"
    while len(stem) > LONGEST_NAME - 8 or len(stem.encode()) > LONGEST_BYTES - 8:
        stem = stem[:-1].rstrip()
    number = 2
    while f"{stem} {number}".casefold() in taken:
        number += 1
    return f"{stem} {number}"
