"""What the panel's parts share: results, jobs, the open region, runs on large images."""
