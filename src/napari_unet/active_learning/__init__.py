"""Where painting would help most: how unsure a class map is, and the regions to show."""
