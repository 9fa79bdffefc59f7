"""Interactive U-Net for napari."""
