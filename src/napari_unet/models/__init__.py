"""Models: the card (what a model is), the library (where models are), the weights (torch)."""
