"""Parents that compete for what is painted: each one's attempt, its evaluation, and who goes on."""
