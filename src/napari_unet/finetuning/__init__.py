"""Use case: retrain a model from what was painted. Gather → train → judge → keep or refuse.

Gathering happens where the images are; training happens in the engine for the panel, and in this
process for the command line and library calls.
"""

from napari_unet.finetuning.gathering import at_once, gather_all
from napari_unet.finetuning.in_process import finetune

__all__ = ["at_once", "finetune", "gather_all"]
