"""Blocks computed apart, by threads or machines, and put together: images of any size."""
