"""What leads a person: the welcome of an empty panel, and the next sensible button."""
