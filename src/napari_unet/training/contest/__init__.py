"""Parents that compete for what is painted: each one's attempt, its exam, and who goes on."""
