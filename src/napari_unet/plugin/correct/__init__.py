"""The panel's part for corrections: painting, keys, classes, uncertain regions."""
