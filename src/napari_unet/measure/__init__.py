"""Measurements of the objects of a label image: for a table, and kept right while one paints."""

from napari_unet.measure.table import ObjectTable, measure, measure_linked

__all__ = ["ObjectTable", "measure", "measure_linked"]
