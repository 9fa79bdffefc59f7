"""Looks at an image and decides: grey values, object size, model, and the frozen plan."""
