"""Label images: from probability maps to objects, objects across tiles, what a person painted."""
