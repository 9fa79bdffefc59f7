"""Geometry of a run in whole numbers: tiles, their order, resampling, and the plan itself."""
