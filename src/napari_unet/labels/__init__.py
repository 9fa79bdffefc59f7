"""Label images: from class maps to objects, objects across tiles, what a person painted."""
