"""What a person chose last, for the next time the panel is opened."""

import json
import logging
from pathlib import Path

import platformdirs
from pydantic import ValidationError

from napari_unet.errors import SaveError
from napari_unet.io.atomic import write_bytes
from napari_unet.models.card import SUFFIX
from napari_unet.models.library import bundled_folder, model_files
from napari_unet.settings import APPLICATION, FinetuneSettings, Settings

log = logging.getLogger(__name__)


class Preferences(Settings):
    """What is remembered.

    Attributes
    ----------
    model : str
        Name of a model of one's own; empty for those that the panel chooses among by itself.
    time_limit : float
        Of a retraining, seconds.
    """

    model: str = ""
    time_limit: float = FinetuneSettings().time_limit

    @property
    def own_model(self) -> str:
        """The model, if it is still in the library; else empty."""
        return self.model if self.model in model_files() else ""


def read_preferences() -> Preferences:
    """Return what was chosen last; the defaults where nothing, or nothing readable, is there."""
    try:
        return Preferences.model_validate(json.loads(_file().read_text("utf-8")))
    except FileNotFoundError:
        return Preferences()
    except (OSError, ValueError, ValidationError) as error:
        log.warning("preferences were not read: %s", error)
        return Preferences()


def write_preferences(model: str, time_limit: float) -> None:
    """Remember what was chosen; of the bundled models the panel takes what fits an image."""
    own = "" if (bundled_folder() / f"{model}{SUFFIX}").exists() else model
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        chosen = Preferences(model=own, time_limit=time_limit)
        write_bytes(_file(), chosen.model_dump_json().encode())
    except (OSError, SaveError) as error:  # the window closes: nobody is there to be told
        log.warning("preferences were not written: %s", error)


def _file() -> Path:
    return Path(platformdirs.user_data_path(APPLICATION)) / "preferences.json"
