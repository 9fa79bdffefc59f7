"""The person's folder of models: add, rename, duplicate, delete, import, export.

Works without torch, in the viewer's process. Whatever happens, no model is lost: a file appears
in the folder whole and checked or not at all, never in the place of another one (also if two
programs do it at once), and what is deleted goes to a bin beside the folder.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_unet.errors import ModelError, SaveError, UNetError
from napari_unet.io.atomic import move_new, part_file, sweep, sync_folder
from napari_unet.models.card import SUFFIX, plain, read_card, sha256_of
from napari_unet.models.files import check_copy, check_model, copy_model, explained
from napari_unet.models.library import (
    bundled_folder,
    check_bundled,
    find_model,
    model_files,
    user_folder,
)
from napari_unet.models.names import first_usable, free_name, save_name

BINNED = re.compile(r"(?P<name>.+)-(?P<time>\d{8}-\d{6}(-\d+)?)")
FORMER_KEPT = 50
TRIES = 100  # two programs that take the same name again and again


def bin_folder() -> Path:
    """Folder deleted models go to; it may not exist yet."""
    return user_folder().parent / "bin"


def add(path: Path, name: str) -> Path:
    """Move a finished model file into the person's folder.

    Parameters
    ----------
    path : Path
        The new file, outside the folder; it is gone afterwards.
    name : str
        Name to give it; if it is taken, the next free one is used (see `free_name`).

    Returns
    -------
    Path
        The file in the folder; its stem is the name the model got.

    Raises
    ------
    ModelError
        If the name or the file cannot be used.
    SaveError
        If the folder cannot be written; the new file is untouched.
    """
    made = _install(path, save_name(name))
    with explained(f"Removing {path.name}"):
        path.unlink()
    return made


def import_model(path: Path) -> Path:
    """Copy a model file from elsewhere into the person's folder, checked completely before.

    It gets the name on its card, or that of the file, with a number if it is taken.

    Returns
    -------
    Path
        The file in the folder.

    Raises
    ------
    ModelError
        If the file is no model of this plugin, is damaged, or holds what is no number.
    SaveError
        If the folder cannot be written.
    """
    card = check_model(path)
    return _install(path, first_usable(card.name, path.stem, "imported model"))


def export_model(name: str, target: Path, *, overwrite: bool = False) -> Path:
    """Copy a model to a file or folder elsewhere.

    Parameters
    ----------
    name : str
        Model of the library.
    target : Path
        File to write (the suffix is added if it lacks), or an existing folder.
    overwrite : bool, default False
        Whether a file that exists already may be replaced.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    ModelError
        If there is no such model, or it is damaged.
    SaveError
        If the file exists or cannot be written.
    """
    source = find_model(name)
    check_bundled(source)
    if target.is_dir():
        target = target / source.name
    elif target.suffix != SUFFIX:
        target = target.with_name(target.name + SUFFIX)
    if os.path.realpath(target) == os.path.realpath(source):
        raise SaveError(f"{target} is the model itself. Choose another file.")
    if target.exists() and not overwrite:
        raise _exists(target)
    with (
        explained(f"Exporting {name!r} to {target}"),
        part_copy(source, target.parent, {}) as part,
    ):
        if overwrite:
            os.replace(part, target)
        else:
            try:
                move_new(part, target)
            except FileExistsError as error:
                raise _exists(target) from error
    sync_folder(target.parent)
    return target


def rename(name: str, new: str) -> Path:
    """Give a model of the person another name, in its card too; return its file.

    Models retrained from it still find it: the card keeps the sha256 it had.

    Raises
    ------
    ModelError
        If there is no such model, it comes with the plugin, or the new name cannot be used.
    SaveError
        If the folder cannot be written; the model keeps its name.
    """
    source, target_name = _own(name, "renamed"), save_name(new)
    if target_name == name:
        return source
    if target_name.casefold() == name.casefold() and target_name not in model_files():
        return _change_capitals(name, target_name)
    made = _place(source, target_name)
    with explained(f"Removing the old file of {name!r}"):
        source.unlink()
    return made


def _change_capitals(name: str, new: str) -> Path:
    """Rename by way of another name, as some disks take both for one file."""
    between = rename(name, free_name(name)).stem
    try:
        return rename(between, new)
    except UNetError:
        rename(between, name)
        raise


def renamed(sha: str, known: Iterable[str]) -> str:
    """Return the name that a model has now whose file is gone; empty if it was deleted.

    Parameters
    ----------
    sha : str
        sha256 of the file that is gone.
    known : iterable of str
        Names there were before; a copy among them is not what it was renamed to.
    """
    found = []
    for path in model_files().values():
        with contextlib.suppress(ModelError, OSError):  # a damaged one is nobody's new name
            if sha in read_card(path).former_shas:
                found.append((path.stem not in known, path.stat().st_mtime_ns, path.stem))
    is_new, _, name = max(found, default=(False, 0, ""))
    if name and not is_new and any(sha256_of(path) == sha for path in binned()[:1]):
        return ""
    return name


def duplicate(name: str, new: str) -> Path:
    """Copy a model of the library, also a bundled one, under a new name; return its file.

    Raises
    ------
    ModelError
        If there is no such model, it is damaged, or the new name cannot be used.
    SaveError
        If the folder cannot be written.
    """
    source = _listed(name)
    check_bundled(source)
    return _place(source, save_name(new))


def delete(name: str) -> Path:
    """Move a model of the person to the bin, also a damaged one; return its file there.

    Raises
    ------
    ModelError
        If there is no such model, or it comes with the plugin.
    SaveError
        If it cannot be moved; then it is still in the library.
    """
    source = _own(name, "deleted")
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    with explained(f"Deleting {name!r}"):
        bin_folder().mkdir(parents=True, exist_ok=True)
        for number in range(1, TRIES):
            target = bin_folder() / f"{stem}{f'-{number}' if number > 1 else ''}{SUFFIX}"
            with contextlib.suppress(FileExistsError):
                move_new(source, target)
                sync_folder(target.parent)
                return target
    raise SaveError(f"Deleting {name!r} did not work: the bin is full of models of that name.")


def binned() -> list[Path]:
    """Return the files in the bin, the one deleted last first."""
    matches = ((BINNED.fullmatch(path.stem), path) for path in bin_folder().glob(f"*{SUFFIX}"))
    found = [(match["time"], path) for match, path in matches if match]
    return [path for _, path in sorted(found, reverse=True)]


def restore(path: Path) -> Path:
    """Bring a deleted model back from the bin; return its file in the library.

    It gets its name again, with a number if that has been taken since.

    Raises
    ------
    ModelError
        If the file is not in the bin, or its name is taken and it is too damaged to be renamed.
    SaveError
        If it cannot be moved; then it is still in the bin.
    """
    match = BINNED.fullmatch(path.stem)
    if match is None or path not in binned():
        raise ModelError(f"There is no deleted model at {path}. Choose one that is in the bin.")
    name = match["name"]
    with explained(f"Restoring {name!r}"):
        user_folder().mkdir(parents=True, exist_ok=True)
        if name not in model_files():
            with contextlib.suppress(FileExistsError):
                target = user_folder() / f"{name}{SUFFIX}"
                move_new(path, target)
                sync_folder(target.parent)
                return target
    made = _install(path, name)
    with explained(f"Removing {path.name} from the bin"):
        path.unlink()
    return made


def deleted_model(name: str) -> Path:
    """Return the file in the bin of the model of that name that was deleted last."""
    for path in binned():
        match = BINNED.fullmatch(path.stem)
        if match is not None and name in (match["name"], path.name, path.stem):
            return path
    raise ModelError(f"There is no deleted model called {name!r} in the bin. Check the name.")


def _install(source: Path, name: str) -> Path:
    """Copy a checked model into the folder under the first free name."""
    check_model(source)
    for _ in range(TRIES):
        try:
            return _place(source, free_name(name))
        except _TakenError:  # another program took the name in between
            continue
    raise SaveError(f"No name like {name!r} is free. Choose another name.")


class _TakenError(ModelError):
    """A name that a model in the folder has, perhaps since this moment."""


def _place(source: Path, name: str) -> Path:
    """Copy a model file into the folder as `name`, which must be free."""
    target = user_folder() / f"{name}{SUFFIX}"
    card = read_card(source)
    changes: dict[str, Any] = {}
    if card.name != name:
        shas = dict.fromkeys((*card.former_shas, sha256_of(source)))
        changes = {"name": name, "former_shas": list(shas)[-FORMER_KEPT:]}
    taken = _TakenError(f"There is a model called {name!r} already. Choose another name.")
    if name.casefold() in {known.casefold() for known in model_files()}:
        raise taken
    with explained(f"Saving the model {name!r}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with part_copy(source, target.parent, changes) as part:
            try:
                move_new(part, target)
            except FileExistsError as error:
                raise taken from error
        sync_folder(target.parent)
    return target


@contextlib.contextmanager
def part_copy(source: Path, folder: Path, changes: Mapping[str, Any]) -> Iterator[Path]:
    """Write a checked copy to a temporary file in `folder`, removed at the end if still there."""
    sweep(folder)
    with part_file(folder / source.name) as part:
        with part.open("r+b") as stream:
            copy_model(source, stream, changes)
            stream.flush()
            os.fsync(stream.fileno())
        check_copy(source, part, changes)
        yield part


def _listed(name: str) -> Path:
    """Return the file of a model given by its name, never by a path."""
    known = model_files()
    if name not in known:
        raise ModelError(
            f"There is no model called {plain(name)!r}; the library has {', '.join(known)}. "
            "Choose one of those."
        )
    return known[name]


def _own(name: str, deed: str) -> Path:
    path = _listed(name)
    if path.parent == bundled_folder():
        raise ModelError(
            f"The model {name!r} comes with the plugin and cannot be {deed}. Duplicate it, and "
            "change the copy."
        )
    return path


def _exists(target: Path) -> SaveError:
    return SaveError(f"{target} exists already. Choose another name, or allow it to be replaced.")
