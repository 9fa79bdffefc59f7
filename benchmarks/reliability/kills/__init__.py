"""A real napari window that is killed: what a person painted, saved and exported must be there."""
