"""What is known of a result's objects: numbers, colours, and which ones a filter hides."""
