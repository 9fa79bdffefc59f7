"""Command line: ``napari-unet segment | finetune | models | demo``."""
