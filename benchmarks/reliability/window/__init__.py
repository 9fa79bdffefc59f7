"""Random actions through the real panel in a real napari window."""
