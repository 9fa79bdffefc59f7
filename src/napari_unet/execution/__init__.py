"""Runs of a plan: what is ordered, who computes it, and the events that tell what is done."""
