"""What several benchmarks share; nothing here is measured by itself."""
