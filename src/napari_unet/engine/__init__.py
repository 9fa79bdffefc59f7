"""The engine: the process that owns torch, and how to talk to it."""
