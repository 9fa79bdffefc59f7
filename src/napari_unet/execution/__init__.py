"""Runs of a plan: orders, executors, and the events of a run."""
