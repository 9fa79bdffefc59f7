"""Campaigns that try to break what the README promises; see `docs/reliability.md`."""
