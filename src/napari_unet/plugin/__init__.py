"""The napari plugin: panels, what they work on, and what the manifest names."""
