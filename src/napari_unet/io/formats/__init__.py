"""What each kind of image file holds: pixels, axes, spacings, and several images."""
