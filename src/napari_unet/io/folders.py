"""What a folder needs so that a file put into it survives a power cut."""

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


def sync_folder(folder: Path) -> None:
    """Make a new name survive a power cut, where the system can."""
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:  # the file itself is complete and in place
        logger.info("The folder %s cannot be flushed: %s", folder, error)
