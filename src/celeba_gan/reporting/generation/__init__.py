"""Pictures of what steers a generator."""
