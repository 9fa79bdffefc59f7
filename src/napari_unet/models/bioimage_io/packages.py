"""Files of a BioImage.IO package that a stranger may have made: read, never unpacked or run.

A package is a zip file or a folder with a description, `rdf.yaml`, that names the other files. No
name in it is ever used to write a file.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from napari_unet.errors import ModelError
from napari_unet.models.card import plain
from napari_unet.models.files import LARGEST_FILE

PACKAGE_SUFFIX = ".zip"
DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml")
ENDINGS = (".bioimageio.yaml", ".rdf.yaml")
LONGEST_DESCRIPTION = 10**6  # bytes; those of the model zoo have some thousand
MOST_PARTS = 20_000  # of a description, with all that is repeated by reference
MOST_FILES = 10_000
CONFIG = "napari_unet"  # where our own packages say which file is the whole model
MODEL = "model"


def is_package(path: Path) -> bool:
    """Whether a path looks like a package: a zip file, a folder, or the description in one."""
    return path.suffix.lower() in (PACKAGE_SUFFIX, ".yaml", ".yml") or path.is_dir()


class Package:
    """A package that is only read.

    Parameters
    ----------
    path : Path
        A zip file, a folder, or the description in a folder.

    Attributes
    ----------
    path : Path
        As given.
    fields : dict
        The description, as plain values.

    Raises
    ------
    ModelError
        If it is no package, or its description is not plain YAML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = None if path.suffix.lower() == PACKAGE_SUFFIX else _folder(path)
        names = self._names()
        found = sorted((n for n in names if _describes(n)), key=lambda n: (n.count("/"), len(n), n))
        if path.is_file() and self._folder is not None:
            found = [path.name]
        if not found:
            raise ModelError(
                f"{path.name} holds no description such as {DESCRIPTIONS[0]}, so it is no package "
                "of BioImage.IO. Choose a package, or a model file of this plugin."
            )
        self._beside = found[0].rpartition("/")[0]
        self.fields = self._understood(self._content(found[0], LONGEST_DESCRIPTION))

    def read(self, source: object, sha256: str | None = None) -> bytes:
        """Return a file that the description names.

        Parameters
        ----------
        source : str or a value that prints as one
            Its name; it must lie in the package.
        sha256 : str, optional
            What the description says its checksum is.

        Raises
        ------
        ModelError
            If it lies elsewhere, is too large, is missing, or has another checksum.
        """
        name = str(source)
        parts = name.replace("\\", "/").split("/")
        if ":" in name or name.startswith(("/", "\\")) or ".." in parts:
            raise ModelError(
                f"{self.path.name} names the file {plain(name)!r}, which lies outside the package; "
                "nothing is read from there. Download the whole package as a zip file."
            )
        inner = "/".join(part for part in (self._beside, *parts) if part not in ("", "."))
        content = self._content(inner, LARGEST_FILE)
        if sha256 is not None and hashlib.sha256(content).hexdigest() != str(sha256):
            raise ModelError(
                f"{plain(name)} in {self.path.name} is not the file its description tells of: the "
                "checksum differs. Download the package again."
            )
        return content

    def own_model(self) -> str | None:
        """Return the name of the whole model in a package that this plugin made."""
        config = self.fields.get("config")
        ours = config.get(CONFIG) if isinstance(config, Mapping) else None
        name = ours.get(MODEL) if isinstance(ours, Mapping) else None
        return name if isinstance(name, str) else None

    def _names(self) -> list[str]:
        if self._folder is not None:
            return [one.name for one in self._folder.iterdir() if one.is_file()]
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = archive.namelist()
        except FileNotFoundError as error:
            raise ModelError(f"There is no file at {self.path}. Check the path.") from error
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise self._damaged(error) from error
        if len(names) > MOST_FILES:
            raise self._damaged(f"it holds {len(names)} files, at most {MOST_FILES} are read")
        return names

    def _content(self, name: str, most: int) -> bytes:
        """Return at most so many bytes, whatever the archive says of its size."""
        try:
            if self._folder is not None:
                content = self._in_folder(self._folder, name, most)
            else:
                with zipfile.ZipFile(self.path) as archive, archive.open(name) as file:
                    content = file.read(most + 1)
        except KeyError as error:
            raise ModelError(
                f"{self.path.name} names the file {plain(name)!r} and does not hold it. Download "
                "the whole package as a zip file."
            ) from error
        except (OSError, zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError,
                RuntimeError, EOFError) as error:  # fmt: skip
            if isinstance(error, ModelError):
                raise
            raise self._damaged(error) from error
        if len(content) > most:
            raise ModelError(
                f"{plain(name)} in {self.path.name} is larger than {most / 1e6:g} MB, the most "
                "that is read. Use another model."
            )
        return content

    @staticmethod
    def _in_folder(folder: Path, name: str, most: int) -> bytes:
        path = folder / name
        if not path.is_file():
            raise KeyError(name)
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ModelError(
                f"{plain(name)} in {folder.name} is a link to a file outside the package; nothing "
                "is read from there. Download the package as a zip file."
            )
        with path.open("rb") as file:
            return file.read(most + 1)

    def _understood(self, content: bytes) -> dict[str, Any]:
        try:
            text = content.decode("utf-8")
            if _parts(yaml.compose(text, yaml.SafeLoader), {}) > MOST_PARTS:
                raise ValueError(f"it has more than {MOST_PARTS} parts")
            # a tag that asks for anything but plain values is an error
            fields = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise self._damaged(plain(str(error)) or type(error).__name__) from error
        if not isinstance(fields, dict) or fields.get("type") != "model":
            raise ModelError(
                f"{self.path.name} describes no model of BioImage.IO. Choose the package of a "
                "model."
            )
        return fields

    def _damaged(self, reason: object) -> ModelError:
        return ModelError(
            f"{self.path.name} is damaged or is no package of BioImage.IO ({reason}). Download it "
            "again."
        )


def _folder(path: Path) -> Path:
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise ModelError(f"There is no file at {path}. Check the path.")
    return folder


def _parts(node: Any, known: dict[int, int]) -> int:
    """Count the values of a description; parts repeated by reference count each time."""
    if id(node) not in known:
        known[id(node)] = MOST_PARTS + 1  # as long as it is looked at: it may hold itself
        children = node.value if isinstance(node, yaml.CollectionNode) else ()
        flat = (
            part for child in children for part in (child if type(child) is tuple else (child,))
        )
        known[id(node)] = 1 + sum(_parts(part, known) for part in flat)
    return known[id(node)]


def _describes(name: str) -> bool:
    last = name.rpartition("/")[2]
    return name.count("/") <= 1 and (last in DESCRIPTIONS or last.endswith(ENDINGS))
