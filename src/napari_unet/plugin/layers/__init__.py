"""napari's layers to images and labels, and back."""
