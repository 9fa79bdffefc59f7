"""Segment all…: many images, one after the other, each into files of its own."""
