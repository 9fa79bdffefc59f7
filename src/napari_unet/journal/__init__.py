"""What a person painted, on disk: an append-only journal for each image, and its recovery."""
