"""Measurements behind the figures in the README and docs: one file for each claim."""
