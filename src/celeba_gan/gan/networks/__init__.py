"""The networks: a file per family, and `build` to make a pair of them from its settings."""
