"""Damaged files: made from small ones by a seed, and opened in processes that may die."""
