"""The part of the panel that hides objects by what was measured."""
