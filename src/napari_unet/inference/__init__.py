"""Tiles (pure integers), resampling, prediction (torch) and the store of class maps."""
