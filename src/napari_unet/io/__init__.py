"""Files in and out: images, label TIFFs, OME-Zarr, tables."""
