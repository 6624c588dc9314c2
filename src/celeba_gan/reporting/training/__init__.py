"""Training for people: curves, progress, the plan."""
