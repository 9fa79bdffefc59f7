"""The napari plugin: panels, jobs, and the hooks the manifest names."""
