"""Files in and out: images, label TIFFs, tables."""
