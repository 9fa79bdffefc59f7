"""A result after it is made: saved, restored, opened again, kept for comparison."""
