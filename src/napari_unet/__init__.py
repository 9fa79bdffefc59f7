"""Interactive U-Net for napari: segment cells, and train the network with your own strokes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unet.errors import UNetError
    from napari_unet.finetuning import finetune
    from napari_unet.image import Image
    from napari_unet.io.images import read_image
    from napari_unet.io.tiff import save_labels
    from napari_unet.labels.painted import BACKGROUND
    from napari_unet.models.library import load_model
    from napari_unet.segmentation import Segmentation, open_image, segment
    from napari_unet.settings import DecodeSettings, SegmentSettings

__version__ = "0.1.0"

_HOME = {
    "BACKGROUND": "labels.painted",
    "UNetError": "errors",
    "Image": "image",
    "read_image": "io.images",
    "save_labels": "io.tiff",
    "Segmentation": "segmentation",
    "load_model": "models.library",
    "finetune": "finetuning",
    "open_image": "segmentation",
    "segment": "segmentation",
    "DecodeSettings": "settings",
    "SegmentSettings": "settings",
}

__all__ = [
    "BACKGROUND",
    "DecodeSettings",
    "Image",
    "SegmentSettings",
    "Segmentation",
    "UNetError",
    "finetune",
    "load_model",
    "open_image",
    "read_image",
    "save_labels",
    "segment",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing the package is instant."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
