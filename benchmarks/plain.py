"""The old place of `benchmarks.common.plain`, for a test that still imports it from here."""

from benchmarks.common.plain import probabilities

__all__ = ["probabilities"]
