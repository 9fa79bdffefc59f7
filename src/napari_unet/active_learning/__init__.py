"""Where painting would help most: how unsure a probability map is, and the regions to show."""
