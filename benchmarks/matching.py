"""The old place of `benchmarks.common.matching`, for tests that still import it from here."""

from benchmarks.common.matching import count, match

__all__ = ["count", "match"]
